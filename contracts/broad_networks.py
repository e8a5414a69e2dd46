"""Notes on what ``ssh.allowed_networks`` allows beyond the addresses of customers' own networks; nothing is refused. Pure.

Called by :func:`contracts.document.read_document`, so `config validate`, `config set` and `config check` all say it. Counted is
what the networks hold together: 0.0.0.0/1 beside 128.0.0.0/1 is 0.0.0.0/0, and so are enough smaller ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from contracts.config import NetworkConfig
from contracts.notes import Note
from contracts.text import say, some_of

# Not reached from the internet, whatever a customer does with them.
_CLOSED_4 = [
    ipaddress.IPv4Network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
]
_CLOSED_6 = [ipaddress.IPv6Network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]
# All of IPv4 once more, as seen through a NAT64: judged by the prefix of what it stands for.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# No customer owns as much: a /12 of IPv4, a /28 of IPv6.
_MANY_4, _MANY_6 = 2**20, 2**100
_SHOWN = 3

_Network = TypeVar("_Network", ipaddress.IPv4Network, ipaddress.IPv6Network)


def notes_on(config: NetworkConfig) -> Iterator[Note]:
    """One danger for each family of addresses of which a large part of the internet is allowed."""
    four: list[ipaddress.IPv4Network] = []
    six: list[ipaddress.IPv6Network] = []
    for text in config.ssh.allowed_networks:
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv4Network):
            four.append(network)
        elif network.subnet_of(_NAT64):
            four.append(ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96)))
        else:
            six.append(network)
    yield from _note(_open(four, _CLOSED_4), _MANY_4, config.ssh.allowed_networks, "IPv4")
    yield from _note(_open(six, _CLOSED_6), _MANY_6, config.ssh.allowed_networks, "IPv6")


def _open(networks: Iterable[_Network], closed: Sequence[_Network]) -> dict[_Network, int]:
    """The widest networks with the number of addresses in each that anybody on the internet may have."""
    return {
        network: network.num_addresses - sum(one.num_addresses for one in closed if one.subnet_of(network))
        for network in ipaddress.collapse_addresses(networks)
        if not any(network.subnet_of(one) for one in closed)
    }


def _note(found: dict[_Network, int], many: int, written: Sequence[str], family: str) -> Iterator[Note]:
    number = sum(found.values())
    if number < many:
        return
    widest = [str(one) for one in sorted(found, key=lambda one: -found[one])]
    networks = some_of(widest, _SHOWN)
    if together := [one for one in widest[:_SHOWN] if one not in written]:
        networks = say("{networks} ({some}: several entries together)", networks=networks, some=", ".join(together))
    text = say(
        "{networks} allows {number} public {family} addresses: a wrong inventory entry "
        "is enough for the proxy to send its passwords to a stranger's machine; name the customer's own networks, for example "
        "{example}",
        networks=networks,
        number=_approximately(number),
        family=family,
        example="10.20.0.0/16" if family == "IPv4" else "fd12:3456:789a::/48",
    )
    yield Note("danger", "ssh.allowed_networks", text)


def _approximately(number: int) -> str:
    if number >= 10**30:
        return say("more than {number}", number="10^30")
    if number >= 10**9:
        return say("{number} billion", number=f"{number / 10**9:.3g}")
    return say("{number} million", number=f"{number / 10**6:.3g}") if number >= 10**6 else str(number)
