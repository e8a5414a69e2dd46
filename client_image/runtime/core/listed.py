"""Whether a host is on a list that people wrote to protect it. Such a list must not fail for a spelling."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from contracts.address import parse_address
from runtime.core.model import Host
from runtime.core.names import HostKey, host_key

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_listed(host: Host, entries: Iterable[str]) -> bool:
    """``entries``: technical or visible names in any spelling, addresses in any form, networks (10.0.0.0/24)."""
    names = {host_key(host.name), host_key(host.display_name)} if host.display_name else {host_key(host.name)}
    try:
        address = parse_address(host.address)
    except ValueError:
        address = None
    for entry in entries:
        listed_names, networks = _read(entry)
        if names & listed_names or (address is not None and any(address in network for network in networks)):
            return True
    return False


@lru_cache(maxsize=4096)
def _read(entry: str) -> tuple[frozenset[HostKey], tuple[_Network, ...]]:
    """Several in one text, as in ``10.0.0.1;10.0.0.2``, are all meant: no host's name holds a comma or a semicolon."""
    parts = [part.strip() for part in re.split("[;,]", entry) if part.strip()]
    networks: list[_Network] = []
    for part in parts:
        with contextlib.suppress(ValueError):
            networks.append(ipaddress.ip_network(part if "/" in part else parse_address(part), strict=False))
    return frozenset(host_key(part) for part in parts), tuple(networks)
