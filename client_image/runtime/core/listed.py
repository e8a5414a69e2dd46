"""Which hosts are on a list that people wrote to protect them. Such a list must not fail for a spelling."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from contracts.address import parse_address
from runtime.core.model import Host
from runtime.core.names import HostKey, host_key

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class _List:
    names: frozenset[HostKey]
    addresses: frozenset[_Address]
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def is_listed(host: Host, entries: tuple[str, ...]) -> bool:
    """``entries``: technical or visible names in any spelling, addresses in any form, networks (10.0.0.0/24)."""
    if not entries:
        return False
    listed = _read(entries)
    if not listed.names.isdisjoint(_names(host)):
        return True
    if not listed.addresses and not listed.networks:
        return False
    address = _address(host)
    return address is not None and (
        address in listed.addresses or any(address in network for network in listed.networks)
    )


def of_nobody(entries: tuple[str, ...], hosts: Collection[Host]) -> tuple[str, ...]:
    """The entries that mean none of the hosts, each once."""
    names = {name for host in hosts for name in _names(host)}
    addresses = {address for host in hosts if (address := _address(host)) is not None}
    read = {entry: _read((entry,)) for entry in entries}
    return tuple(
        entry
        for entry, one in read.items()
        if one.names.isdisjoint(names)
        and one.addresses.isdisjoint(addresses)
        and not any(address in network for network in one.networks for address in addresses)
    )


def _names(host: Host) -> tuple[HostKey, ...]:
    return tuple(host_key(name) for name in (host.name, host.display_name) if name)


def _address(host: Host) -> _Address | None:
    try:
        return parse_address(host.address)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _read(entries: tuple[str, ...]) -> _List:
    """Cached for a whole run: every host of a network is held against the same few lists."""
    names: set[HostKey] = set()
    addresses: set[_Address] = set()
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for entry in entries:
        # Several in one text, as in 10.0.0.1;10.0.0.2, are all meant; and a visible name may hold a comma.
        for part in {text.strip() for text in (entry, *re.split("[;,]", entry))} - {""}:
            names.add(host_key(part))
            with contextlib.suppress(ValueError):
                addresses.add(parse_address(part))
                continue
            with contextlib.suppress(ValueError):
                networks.append(ipaddress.ip_network(part, strict=False))
    return _List(frozenset(names), frozenset(addresses), tuple(networks))
