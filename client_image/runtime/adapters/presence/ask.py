"""One question to one address: does anything there answer? A TCP connection, accepted or refused, or a ping.

Pings use the kernel's unprivileged ICMP sockets (``net.ipv4.ping_group_range``); where the kernel has none for us, connections
alone decide.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Coroutine, Sequence
from typing import Any

from runtime.domain.departure import Sign

PROBE_S = 2.0
_REFUSED = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_SILENT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH})
# An echo request with its checksum left to the kernel, which also fills in the identifier.
_ECHO_V4 = b"\x08\x00\x00\x00\x00\x00\x00\x01flageemonitor"
_ECHO_V6 = b"\x80\x00\x00\x00\x00\x00\x00\x01flageemonitor"


async def ask(address: str, ports: Sequence[int], ping: bool = True) -> Sign:
    """The first answer within PROBE_S; SILENT when there is none from any port and no ping came back."""
    questions: list[asyncio.Task[Sign | None]] = [
        asyncio.create_task(question) for question in _questions(address, ports, ping)
    ]
    signs = []
    try:
        for question in asyncio.as_completed(questions):
            sign = await question
            if sign is not None and sign.answers:
                return sign
            signs.append(sign)
    finally:
        for task in questions:
            task.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
    return Sign.NOT_ASKED if Sign.NOT_ASKED in signs else Sign.SILENT


def _questions(address: str, ports: Sequence[int], ping: bool) -> list[Coroutine[Any, Any, Sign | None]]:
    """On loopback everything but the host's first port is answered by the proxy's own machine."""
    if ipaddress.ip_address(address).is_loopback:
        return [_connect(address, ports[0])]
    return [*([_ping(address)] if ping else []), *(_connect(address, port) for port in ports)]


async def _connect(address: str, port: int) -> Sign | None:
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return Sign.SILENT
    except OSError as error:
        if error.errno in _REFUSED:
            return Sign.REFUSED
        return Sign.SILENT if error.errno in _SILENT else Sign.NOT_ASKED
    writer.transport.abort()
    return Sign.ACCEPTED


async def _ping(address: str) -> Sign | None:
    """None where pings are not for us: then they say nothing."""
    six = ipaddress.ip_address(address).version == 6
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except OSError:
        return None
    loop = asyncio.get_running_loop()
    with contextlib.closing(sock):
        sock.setblocking(False)
        try:
            async with asyncio.timeout(PROBE_S):
                # Waits for nothing. The loop's own would ask for a service of the protocol ICMP, and there are none.
                sock.connect((address, 0))
                await loop.sock_sendall(sock, _ECHO_V6 if six else _ECHO_V4)
                await loop.sock_recv(sock, 256)
        except TimeoutError:
            return Sign.SILENT
        except OSError:
            return None
    return Sign.ECHO
