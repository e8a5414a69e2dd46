"""Which hosts are on a list that people wrote to protect them. Such a list must not fail for a spelling."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from contracts.address import parse_address, parse_network
from contracts.networks import Address, Network, Networks, around, networks
from runtime.domain.model import Host, Machine
from runtime.domain.names import HostKey, host_key
from runtime.domain.once import once_for

# What an address or a network may be made of: most entries are names, and refusing a name as an address is slow.
_ADDRESS_LIKE = frozenset("0123456789abcdefABCDEF.:/")


@dataclass(frozen=True, slots=True, eq=False)
class NameList:
    """A list as it was read, once for all hosts that are held against it. Made by :func:`name_list`."""

    names: frozenset[HostKey]
    addresses: frozenset[Address]
    networks: Networks


def listed_as(host: Host, entries: tuple[str, ...] | NameList) -> Host | None:
    """The entry of the host's machine that is on the list, the host itself first; None when the machine is not on it.

    ``entries``: technical or visible names in any spelling, addresses in any form, DNS names, networks (10.0.0.0/24).
    """
    listed = entries if isinstance(entries, NameList) else name_list(entries)
    if not listed.names:
        return None
    if _means(listed, host):
        return host
    return None if host.shared is None else _first(host.shared, listed)


def is_listed(host: Host, entries: tuple[str, ...]) -> bool:
    """See :func:`listed_as`."""
    return listed_as(host, entries) is not None


def unmatched_entries(entries: tuple[str, ...], hosts: Collection[Host]) -> tuple[str, ...]:
    """The entries that mean none of the hosts, each once."""
    names = {name for host in hosts for name in _names(host)}
    addresses = {address for host in hosts for address in _addresses(host)}
    read = {entry: _read((entry,)) for entry in entries}
    inhabited = around(addresses, {length for one in read.values() for length in one.networks.lengths})
    return tuple(
        entry
        for entry, one in read.items()
        if one.names.isdisjoint(names)
        and one.addresses.isdisjoint(addresses)
        and one.networks.prefixes.isdisjoint(inhabited)
    )


@lru_cache(maxsize=4096)
def _first(machine: Machine, listed: NameList) -> Host | None:
    """Once for a machine, however many entries it has."""
    return next((entry for entry in machine.entries if _means(listed, entry)), None)


def _means(listed: NameList, entry: Host) -> bool:
    """By any reading: a list that protects takes the wide one."""
    if not listed.names.isdisjoint(_names(entry)):
        return True
    if not listed.addresses and not listed.networks:
        return False
    return any(address in listed.addresses or address in listed.networks for address in _addresses(entry))


def _names(host: Host) -> list[HostKey]:
    """A DNS name is a name as well."""
    texts = (
        (host.name, host.display_name)
        if host.addresses == (host.address,)
        else (host.name, host.display_name, *host.addresses)
    )
    return [host_key(text) for text in texts if text]


def _addresses(host: Host) -> Iterator[Address]:
    for text in dict.fromkeys((host.address, *host.addresses)):
        address = _parsed(text)
        if address is not None:
            yield address


@lru_cache(maxsize=32_768)
def _parsed(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


@once_for(256)
def name_list(entries: tuple[str, ...]) -> NameList:
    """What the entries mean. Read once for a whole run: every host of a network is held against the same few lists."""
    return _read(entries)


def _read(entries: tuple[str, ...]) -> NameList:
    names: set[HostKey] = set()
    addresses: set[Address] = set()
    found: list[Network] = []
    for part in _parts(entries):
        names.add(host_key(part))
        if part[-1] == ".":  # a DNS name as it stands in a zone; an inventory's are kept without
            names.add(host_key(part.rstrip(".")))
        if "%" not in part and not _ADDRESS_LIKE.issuperset(part):
            continue
        with contextlib.suppress(ValueError):
            addresses.add(parse_address(part))
            continue
        with contextlib.suppress(ValueError):
            found.append(parse_network(part))
    return NameList(frozenset(names), frozenset(addresses), networks(found))


def _parts(entries: tuple[str, ...]) -> Iterator[str]:
    """Several in one text, as in 10.0.0.1;10.0.0.2, are all meant; and a visible name may hold a comma."""
    for entry in entries:
        several = re.split("[;,]", entry) if ";" in entry or "," in entry else ()
        yield from {text.strip() for text in (entry, *several)} - {""}
