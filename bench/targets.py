"""Loopback terminals for the fan-out: real OpenSSH servers, each listening on as many addresses as it can. Called by fan_out.

A simulator in Python would be the bottleneck, so that every client looked alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.harness.sshd import USER, openssh

ADDRESSES_EACH = 15  # sshd takes sixteen; one of them is the harness's own
LINES = ("MaxStartups 1000", "LogLevel ERROR")


@dataclass(frozen=True, slots=True)
class Target:
    """Log in as ``user`` with the authorized key."""

    name: str
    address: str
    port: int
    user: str = USER


@contextmanager
def targets(count: int, authorized: str) -> Iterator[list[Target]]:
    """``count`` targets, an address each. ``authorized``: the public key that they let in."""
    addresses = [f"127.88.{number // 250}.{number % 250 + 1}" for number in range(count)]
    found: list[Target] = []
    with ExitStack() as stack:
        while len(found) < count:
            mine = addresses[len(found) : len(found) + ADDRESSES_EACH]
            lines = [*LINES, *(f"ListenAddress {address}" for address in mine)]
            server = stack.enter_context(openssh([authorized], lines=lines))
            first = len(found) + 1
            names = (f"BENCH-LOJA{number:03}-PDV201" for number in range(first, first + len(mine)))
            found += [Target(name, address, server.port) for name, address in zip(names, mine, strict=True)]
        yield found
