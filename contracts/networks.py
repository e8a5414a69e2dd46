"""Many networks, asked as one: whether an address is in any costs a look-up for each prefix length, not one for each network.

Used on both sides, wherever a list of networks meets a list of hosts or of other networks. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_Prefix = tuple[int, int, int]  # version, prefix length, the leading bits


@dataclass(frozen=True, slots=True)
class Networks:
    """``lengths``: the (version, prefix length) pairs in use. Made by :func:`networks`; empty is false."""

    prefixes: frozenset[_Prefix]
    lengths: frozenset[tuple[int, int]]

    def __contains__(self, address: Address) -> bool:
        return any(
            _prefix(address, length) in self.prefixes for version, length in self.lengths if version == address.version
        )

    def covers(self, network: Network) -> bool:
        """Whether one of them holds all of that network."""
        return any(
            _prefix(network.network_address, length) in self.prefixes
            for version, length in self.lengths
            if version == network.version and length <= network.prefixlen
        )

    def __bool__(self) -> bool:
        return bool(self.prefixes)


def networks(given: Iterable[Network]) -> Networks:
    prefixes = frozenset(_prefix(one.network_address, one.prefixlen) for one in given)
    return Networks(prefixes, frozenset((version, length) for version, length, _ in prefixes))


def networks_of(texts: Iterable[str]) -> Networks:
    """Of networks as a document writes them. Raises ValueError."""
    return networks(map(ipaddress.ip_network, texts))


def around(addresses: Iterable[Address], lengths: Iterable[tuple[int, int]]) -> frozenset[_Prefix]:
    """The networks of these lengths that have one of the addresses, as :attr:`Networks.prefixes` writes them."""
    wanted = tuple(lengths)
    return frozenset(
        _prefix(address, length) for address in addresses for version, length in wanted if version == address.version
    )


def _prefix(address: Address, length: int) -> _Prefix:
    return address.version, length, int(address) >> (address.max_prefixlen - length)
