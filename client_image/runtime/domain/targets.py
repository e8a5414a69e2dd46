"""Which values of a selector select nothing, and what was perhaps meant. Pure; asked by `hosts`, and by a run before it begins.

A value is missing when no selected host has it: either the inventory has no such thing, or the other filters exclude all of it.
Both are said, because both mean that somebody expects something to happen that does not.
"""

from __future__ import annotations

import difflib
import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from contracts.address import parse_address
from runtime.domain import wire
from runtime.domain.errors import NoHostMatched
from runtime.domain.model import Host, Missing, NamedTerminal, RunInfo, Selector
from runtime.domain.names import carries

NAMED = 20  # missing values that a message names
NEAR_ASKED = 10  # missing values for which near ones are looked for: each is held against every host
NEAR = 3
ALIKE = 0.6


@dataclass(frozen=True, slots=True)
class _Filter:
    """``given``: the values of a selector as texts -> what is looked for; ``has``: what a host can be selected by;
    ``named``: the texts of a host that a person may have meant; ``spelled``: a value as these are."""

    option: str
    given: Callable[[Selector], Mapping[str, Hashable]]
    has: Callable[[Host], Iterable[Hashable]]
    named: Callable[[Host], Iterable[str]]
    spelled: Callable[[str], str] = str


def missing(selector: Selector, hosts: Sequence[Host], chosen: Sequence[Host]) -> tuple[Missing, ...]:
    """The values that select none of ``chosen``, in the order of the options. ``hosts``: every entry of the inventory, also those
    that no run may select."""
    found: list[Missing] = []
    # Where no trigger is in problem the hosts are not even read, so nothing can be told of the other filters.
    unread = not hosts and bool(selector.trigger_ids or selector.trigger_names)
    for one in _FILTERS[-2:] if unread else _FILTERS:
        unused = _unused(one, selector, chosen)
        if not unused:
            continue
        open_to_runs = [host for host in hosts if not host.left_out]
        having = Counter(key for host in open_to_runs for key in {*one.has(host)})
        left_out = {key: host.left_out for host in hosts if host.left_out for key in one.has(host)}
        names = {name for host in open_to_runs for name in one.named(host)}
        for text, key in unused.items():
            why = "" if having[key] else left_out.get(key, "")
            look = not having[key] and not why and len(found) < NEAR_ASKED
            alike = near(one.spelled(text), names) if look else ()
            found.append(Missing(one.option, text, having[key], alike, why))
    return tuple(found)


def require_found(info: RunInfo, found: Sequence[Missing], chosen: Sequence[Host]) -> None:
    """Raises NoHostMatched when nothing is selected, or when a value selects nothing and the run does not go on without it."""
    if chosen and (not found or info.ignore_missing or info.scheduled):
        return
    network = info.network
    if not found:
        asked = (
            ", ".join(f"{name}={value}" for name, value in wire.selector_json(info.selector).items()) or "every host"
        )
        what = f"no host of {network} matches {asked}"
    else:
        others = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        what = f"no host of {network} matches {'; '.join(map(str, found[:NAMED]))}{others}"
    advice = "`flageemonitor-run hosts` lists every host of this network by its exact name"
    if chosen:
        advice = f"correct the values, or give --ignore-missing to go on with {counted(len(chosen))}; {advice}"
    raise NoHostMatched("no_host_matched", f"{what}. Nothing was touched.", advice)


def near(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that are most like a text: first those that end with it, as PDV201 ends many. PDV299 is like their ends, too."""
    spelled = {name.lower(): name for name in names}
    asked = text.lower()
    best = [name for name in sorted(spelled) if name.endswith(asked)][:NEAR]
    if not best:
        # Made once: it learns one of its two texts, here what is asked, and is then quick with the other.
        matcher = difflib.SequenceMatcher(None, "", asked)
        parts = asked.count("-") + 1
        scores = ((max(_likeness(matcher, part) for part in {name, _end(name, parts)}), name) for name in spelled)
        best = [name for _, name in heapq.nsmallest(NEAR, ((-score, name) for score, name in scores if score >= ALIKE))]
    return tuple(spelled[name] for name in best)


def _end(name: str, parts: int) -> str:
    return "-".join(name.split("-")[-parts:])


def _likeness(matcher: difflib.SequenceMatcher[str], name: str) -> float:
    """From 0 to 1; 0 where a quick look tells that it is below ALIKE."""
    matcher.set_seq1(name)
    if matcher.real_quick_ratio() < ALIKE or matcher.quick_ratio() < ALIKE:
        return 0.0
    return matcher.ratio()


def counted(number: int) -> str:
    return f"{number} host{'' if number == 1 else 's'}"


def places(hosts: Iterable[Host]) -> int:
    """In how many stores the hosts are. One whose store is not known counts as a store of its own."""
    stores = [host.store for host in hosts]
    return len({*stores} - {None}) + stores.count(None)


def _unused(one: _Filter, selector: Selector, chosen: Sequence[Host]) -> Mapping[str, Hashable]:
    given = one.given(selector)
    if not given or (chosen and len(given) == 1):
        return {}  # every chosen host passes the filter, so by its only value
    used = {key for host in chosen for key in one.has(host)}
    return {text: key for text, key in given.items() if key not in used}


def _words(host: Host) -> Iterator[str]:
    yield from (word for word in ("PDV", "SELF") if host.terminal is not None and carries(host.name, word, host.role))


def _terminals(host: Host) -> Iterator[int | NamedTerminal]:
    if host.terminal is not None:
        yield host.terminal
        yield from (NamedTerminal(word, host.terminal) for word in _words(host))


def _with_outer(group: str) -> Iterator[str]:
    """A nested group and those that hold it: ACME/Store 1 belongs to ACME."""
    parts = group.split("/")
    yield from ("/".join(parts[:number]) for number in range(1, len(parts) + 1))


def _address(host: Host) -> Iterator[Hashable]:
    if host.address:
        yield parse_address(host.address)


_FILTERS = (
    _Filter(
        "--loja",
        lambda asked: {str(store): store for store in asked.stores},
        lambda host: (host.store,),
        lambda host: () if host.store is None else (str(host.store),),
    ),
    _Filter(
        "--pdv",
        lambda asked: {str(terminal): terminal for terminal in asked.terminals},
        _terminals,
        lambda host: (f"{word}{host.terminal}" for word in _words(host)),
        lambda text: f"PDV{text}" if text.isdecimal() else text,
    ),
    _Filter(
        "--ip",
        lambda asked: {address: parse_address(address) for address in asked.addresses},
        _address,
        lambda host: (host.address,) if host.address else (),
    ),
    _Filter(
        "--host",
        lambda asked: {name: name.strip().lower() for name in asked.names},
        lambda host: (host.name.lower(), host.display_name.lower()),
        lambda host: (host.name, host.display_name),
    ),
    _Filter(
        "--group",
        lambda asked: {group: group.lower() for group in asked.groups},
        lambda host: (outer for group in host.groups for outer in _with_outer(group.lower())),
        lambda host: host.groups,
    ),
    _Filter(
        "--tag",
        lambda asked: {f"{name}={value}": (name, value) for name, value in asked.tags},
        lambda host: host.tags,
        lambda host: (f"{name}={value}" for name, value in host.tags),
    ),
    _Filter(
        "--trigger-id",
        lambda asked: {one: ("id", one) for one in asked.trigger_ids},
        lambda host: (("id", one) for one in host.triggers),
        lambda host: (),
    ),
    _Filter(
        "--trigger-name",
        lambda asked: {one: ("text", one) for one in asked.trigger_names},
        lambda host: (("text", one) for one in host.triggers),
        lambda host: (),
    ),
)
