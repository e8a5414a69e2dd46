"""IP addresses in the one form in which they are compared. Used wherever one is read: documents, inventories, argv, SSH."""

from __future__ import annotations

import ipaddress


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """IPv4 written as IPv6 (``::ffff:10.0.0.1``) is the IPv4 address: the same host must not look like two. Raises ValueError."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
