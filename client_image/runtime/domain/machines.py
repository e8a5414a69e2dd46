"""Which entries of an inventory may reach the same machine, so that protection can ask all of them. Pure; linear in the entries.

Called by the inventories, with everything that they know. What counts as the same machine, and why:

* An address or DNS name that two entries have, whatever their interface is for. A wrong "same" leaves a host alone and says
  which entry is to be corrected; a wrong "different" powers off a server. So sharing is believed, also through a third entry.
* Behind one address a store may have a machine for each SSH port. An address at which entries are connected to on several ports
  tells machines apart by port: else one excluded till would exclude its store, and one lock would hold for all of it. What is
  known of an entry besides the way by which it is connected to has no such port: that entry protects every machine behind the
  address, and is not taken for any of them when it comes to locks and shares.
* An entry that cannot be connected to has no port either, whatever its notes say: it is known by its addresses alone.
* One technical name under two ids, in any spelling: it is a copy, or a host that moved.
* Loopback and the like mean another machine on every machine: they tell nothing unless they are connected to.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from contracts.address import parse_address
from contracts.text import say
from runtime.domain.model import Host, Listing, Machine
from runtime.domain.names import host_key

_NOWHERE = frozenset({"", "localhost", "localhost.localdomain"})
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(
    rf"{_OCTET}(?:\.{_OCTET}){{3}}"
)  # already in its one form; what does not look like it may still be an address
_MANY = 10_000  # pairs at one address of several ports; beyond that it is one machine, so that the cost stays linear


@lru_cache(maxsize=65_536)
def canonical(text: str) -> str:
    """An address in the one form in which addresses are compared, a DNS name without case and final dot. Cached for a fleet: it
    is asked for by the inventory, the resolver and the gates in turn."""
    text = text.strip()
    if _IPV4.fullmatch(text):
        return text
    try:
        return str(parse_address(text))
    except ValueError:
        return text.rstrip(".").lower()


@lru_cache(maxsize=65_536)
def is_address(text: str) -> bool:
    """Whether a canonical text is an IP address, and no name."""
    if _IPV4.fullmatch(text):
        return True
    if text[-1:].isalpha() and ":" not in text:
        return False
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def grouped(listing: Listing) -> Listing:
    """The same entries; each that shares its machine knows the others."""
    entries = listing.entries
    machines = _machines(entries)
    if not machines:
        return listing
    found = [replace(entry, shared=machines[at]) if at in machines else entry for at, entry in enumerate(entries)]
    return replace(listing, hosts=tuple(found[: len(listing.hosts)]), others=tuple(found[len(listing.hosts) :]))


def shared_machines(entries: Iterable[Host]) -> list[Machine]:
    """The machines that several of the entries surely share, each once."""
    return list(dict.fromkeys(entry.shared for entry in entries if entry.shared and len(entry.shared.certain) > 1))


def same_as(host: Host, other: Host) -> str:
    """That another entry is the same machine, and why it is taken for that, for people."""
    theirs = {*_reached(other), *_beside(other)}
    both = next((text for text in (*_reached(host), *_beside(host)) if text in theirs), "")
    if both:
        if is_address(both):
            return say("the same machine as {host} (both have the address {address})", host=other.name, address=both)
        return say("the same machine as {host} (both have the name {name})", host=other.name, name=both)
    if host_key(host.name) == host_key(other.name):
        return say("the same machine as {host} (one name)", host=other.name)
    return say("the same machine as {host} (through what both share with other entries)", host=other.name)


def _machines(entries: Sequence[Host]) -> dict[int, Machine]:
    """By position, for entries that are not alone."""
    sharing = _sharing(entries)
    if not sharing:
        return {}
    reached: dict[str, dict[int, list[int]]] = defaultdict(dict)  # address -> port -> who is connected to there
    beside: dict[str, list[int]] = defaultdict(list)
    named: dict[Hashable, list[int]] = defaultdict(list)
    for at in sharing:
        entry = entries[at]
        named[host_key(entry.name)].append(at)
        for text in _reached(entry):
            reached[text].setdefault(entry.port, []).append(at)
        for text in _beside(entry):
            beside[text].append(at)
    several = {
        text for text, ports in reached.items() if len(ports) > 1 and len(ports) * len(beside.get(text, ())) <= _MANY
    }
    parent = {at: at for at in sharing}
    for same in (
        *named.values(),
        *(who for text, ports in reached.items() if text in several for who in ports.values()),
        *(
            [*(at for who in reached.get(text, {}).values() for at in who), *beside.get(text, ())]
            for text in {**reached, **beside}
            if text not in several
        ),
    ):
        for at in same[1:]:
            parent[_root(parent, at)] = _root(parent, same[0])
    members: dict[int, list[int]] = defaultdict(list)
    for at in sharing:
        members[_root(parent, at)].append(at)
    # Behind an address of several ports: who may be any of the machines there.
    near: dict[int, list[int]] = defaultdict(list)
    also: dict[int, list[int]] = defaultdict(list)
    for text in several & beside.keys():
        there = [at for who in reached[text].values() for at in who]
        for at in beside[text]:
            near[_root(parent, at)] += there
            for root in {_root(parent, one) for one in there}:
                also[root].append(at)
    found: dict[int, Machine] = {}
    for root, own in members.items():
        there = near.get(root, [])
        everyone = dict.fromkeys((*own, *there, *also.get(root, ())))
        if len(everyone) > 1:
            machine = Machine(*(tuple(entries[at] for at in who) for who in (everyone, own, there)))
            found.update(dict.fromkeys(own, machine))
    return found


def _sharing(entries: Sequence[Host]) -> list[int]:
    """Positions of the entries of which something is known that is known of another one too: in most networks there are few."""
    known: list[tuple[Hashable, ...]] = [(host_key(entry.name), *_reached(entry), *_beside(entry)) for entry in entries]
    seen: set[Hashable] = set()
    twice: set[Hashable] = set()
    for marks in known:
        if not seen.isdisjoint(marks):
            twice.update(seen.intersection(marks))
        seen.update(marks)
    return [at for at, marks in enumerate(known) if not twice.isdisjoint(marks)] if twice else []


def _root(parent: dict[int, int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


def _reached(entry: Host) -> tuple[str, ...]:
    if not entry.address:
        return ()
    if entry.reached_as == (entry.address,) and entry.address not in _NOWHERE:
        return entry.reached_as
    return tuple(text for text in dict.fromkeys((entry.address, *entry.reached_as)) if text not in _NOWHERE)


def _beside(entry: Host) -> list[str]:
    if entry.addresses == (entry.address,) or (entry.address and entry.addresses == entry.reached_as):
        return []
    own = {entry.address, *entry.reached_as} if entry.address else ()
    return [text for text in dict.fromkeys(entry.addresses) if text not in own and _tells(text)]


@lru_cache(maxsize=4096)
def _tells(text: str) -> bool:
    """Whether it means the same machine wherever it is written."""
    if text in _NOWHERE:
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return True
    return not (address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast)
