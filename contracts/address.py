"""IP addresses in the one form in which they are compared. Used wherever one is read: documents, inventories, argv, SSH."""

from __future__ import annotations

import ipaddress


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """IPv4 written as IPv6 (``::ffff:10.0.0.1``) is the IPv4 address: the same host must not look like two. Raises ValueError."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """Whether a host of an address means this machine; a name other than ``localhost`` does not."""
    try:
        return host == "localhost" or parse_address(host).is_loopback
    except ValueError:
        return False


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network, by any address in it. One of IPv4 written as IPv6 (``::ffff:10.0.0.0/104``) is the IPv4 network, because the
    addresses that are held against it are. Raises ValueError."""
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network
