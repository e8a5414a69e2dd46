"""Addresses of DNS names that an inventory has for hosts: only to protect, never to connect to what answers for a name.

Called by the Zabbix inventory, with all entries at once. The system's resolver waits many seconds for a name server that is dead,
so names are asked for in parallel by threads that nobody waits for beyond one limit for all of them; what is unknown by then is
reported, not awaited.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from contracts.text import say, some_of
from runtime.domain.machines import canonical, is_address
from runtime.domain.model import Host

LIMIT_S = 5.0
_PARALLEL = 32
_SHOWN = 5  # names in a notice
_CATCH_ALL = 8  # names; an address that more of them share is what the name server says of names that it does not know

Ask = Callable[[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """``addresses`` by name, canonical. ``unknown``: names that no answer has an address for; ``unanswered``: those that were
    still being asked for when the time was over."""

    addresses: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()


def ask_system(name: str) -> Collection[str]:
    """Raises OSError."""
    return [str(answer[4][0]) for answer in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


def resolve(names: Collection[str], *, limit: float = LIMIT_S, ask: Ask = ask_system) -> Resolved:
    """Ask for all names at once; returns after ``limit`` seconds at the latest."""
    if not names:
        return Resolved({})
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[str, tuple[str, ...]]] = queue.SimpleQueue()
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                found = tuple(dict.fromkeys(canonical(address) for address in ask(name)))
            except (OSError, UnicodeError):  # UnicodeError: a label that is too long for DNS
                found = ()
            answers.put((name, found))

    open_ones = dict.fromkeys(names)
    for name in open_ones:
        waiting.put(name)
    for _ in range(min(_PARALLEL, len(open_ones))):
        threading.Thread(
            target=work, name="resolver", daemon=True
        ).start()  # daemon: a stuck one must not hold the exit up
    known: dict[str, tuple[str, ...]] = {}
    deadline = time.monotonic() + limit
    while open_ones:
        try:
            name, found = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        del open_ones[name]
        known[name] = found
    over.set()
    unknown = tuple(name for name, found in known.items() if not found)
    return Resolved({name: found for name, found in known.items() if found}, unknown, tuple(open_ones))


def with_names_resolved(
    entries: list[Host], *, limit: float = LIMIT_S, ask: Ask = ask_system
) -> tuple[list[Host], tuple[str, ...]]:
    """The entries with what their DNS names stand for among their addresses, and notices about names that told nothing."""
    names = dict.fromkeys(text for entry in entries for text in entry.addresses if _is_name(text))
    if not names:
        return entries, ()
    found = resolve(names, limit=limit, ask=ask)
    written = {text for entry in entries for text in (entry.address, *entry.addresses)}
    times = Counter(address for addresses in found.addresses.values() for address in addresses)
    catch_all = {address for address, count in times.items() if count > _CATCH_ALL and address not in written}
    known = {
        name: tuple(address for address in addresses if address not in catch_all)
        for name, addresses in found.addresses.items()
    }
    resolved = [
        replace(
            entry,
            addresses=_with(entry.addresses, known),
            reached_as=_with(entry.reached_as, known),
        )
        if any(text in known for text in entry.addresses)
        else entry
        for entry in entries
    ]
    told: list[str] = []
    if found.unknown:
        told.append(
            say(
                "no name server knows {names}: their hosts are protected by name and by their other addresses only",
                names=some_of(found.unknown, _SHOWN),
            )
        )
    if found.unanswered:
        told.append(
            say(
                "no name server answered within {seconds} s for {names}: their hosts are protected by name and by their "
                "other addresses only",
                seconds=f"{limit:g}",
                names=some_of(found.unanswered, _SHOWN),
            )
        )
    if catch_all:
        told.append(
            say(
                "a name server answers for many unrelated names with the address {addresses}: their hosts are protected by "
                "name and by their other addresses only",
                addresses=some_of(sorted(catch_all), _SHOWN),
            )
        )
    return resolved, tuple(told)


def _with(texts: tuple[str, ...], known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*texts, *(address for text in texts for address in known.get(text, ())))))


def _is_name(text: str) -> bool:
    return text not in ("", "localhost") and not text.startswith("{") and not is_address(text)
