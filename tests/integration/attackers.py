"""Callers without manners, all at once, in a process of their own: `python -m tests.integration.attackers PORT TLS TOKEN`.

It prints a line when all of them are at work and goes on until it is killed. Each kind has its own addresses, 127.0.N.x.
Started by `test_serving_attacks`.
"""

import asyncio
import contextlib
import functools
import resource
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

LOOPBACK = "127.0.0.1"
POST = (
    b"POST /api/bootstrap/enroll HTTP/1.1\r\nHost: x\r\nX-Bot-Token: %s\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4000\r\n\r\n"
)


class Attack:
    """All kinds against one server. ``tls``: each connection that sends HTTP makes a handshake first."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, token: str) -> None:
        self._port, self._tls, self._post = port, tls, POST % token.encode()

    def kinds(self) -> list[tuple[int, Callable[[int], Awaitable[None]]]]:
        """How many of each."""
        many = 60 if self._tls else 300  # handshakes cost the attacker as much as the server
        return [
            (2100, self.idle),
            (16, self.unread),
            (many, self.body_never_sent),
            (many, self.slow_head),
            (many, self.slow_head_from_everywhere),
            (many, self.dripping_body),
            (4, self.pipelining),
            (200 if self._tls else 0, self.unfinished_handshake),
        ]

    async def idle(self, number: int) -> None:
        async with self._connection(f"127.0.2.{1 + number % 8}", plain=True) as (reader, _):
            await reader.read()

    async def unread(self, _: int) -> None:
        request = b"GET /x HTTP/1.1\r\nHost: x\r\nx-correlation-id: " + b"a" * 128 + b"\r\n\r\n"
        async with self._connection("127.0.3.1", window=2304) as (_reader, writer):
            while True:
                writer.write(request * 20)
                await writer.drain()
                await asyncio.sleep(0.05)

    async def body_never_sent(self, _: int) -> None:
        async with self._connection("127.0.4.1") as (reader, writer):
            writer.write(self._post)
            await reader.read()

    async def slow_head(self, _: int) -> None:
        await self._drip("127.0.5.1", b"GET /health HTTP/1.1\r\nHost: x\r\nX: ")

    async def slow_head_from_everywhere(self, number: int) -> None:
        await self._drip(f"127.0.6.{1 + number % 200}", b"GET /health HTTP/1.1\r\nHost: x\r\nX: ")

    async def dripping_body(self, number: int) -> None:
        await self._drip(f"127.0.7.{1 + number % 20}", self._post)

    async def pipelining(self, _: int) -> None:
        async with self._connection("127.0.8.1") as (reader, writer):
            while True:
                writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
                await reader.read(65536)

    async def unfinished_handshake(self, number: int) -> None:
        async with self._connection(f"127.0.9.{1 + number % 20}", plain=True) as (reader, writer):
            writer.write(b"\x16\x03\x01\x02\x00\x01")
            await reader.read()

    async def _drip(self, address: str, beginning: bytes) -> None:
        async with self._connection(address) as (_reader, writer):
            writer.write(beginning)
            while True:
                await asyncio.sleep(0.7)
                writer.write(b"a")
                await writer.drain()

    @contextlib.asynccontextmanager
    async def _connection(
        self, address: str, *, plain: bool = False, window: int = 0
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        with socket.socket() as connection:
            connection.setblocking(False)
            if window:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.bind((address, 0))
            await asyncio.get_running_loop().sock_connect(connection, (LOOPBACK, self._port))
            tls = None if plain else self._tls
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=tls, server_hostname=LOOPBACK if tls else None, limit=65536
            )
            try:
                yield reader, writer
            finally:
                writer.transport.abort()


async def _again_and_again(attack: Callable[[], Awaitable[None]]) -> None:
    """Cut or refused, it comes back."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack()
        await asyncio.sleep(0.2)


async def main(port: int, tls: bool, token: str) -> None:
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    attack = Attack(port, context, token)
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(_again_and_again(functools.partial(kind, number)))
        for many, kind in attack.kinds()
        for number in range(many)
    ]
    await asyncio.sleep(1)
    sys.stdout.write(f"{len(tasks)} attackers\n")
    sys.stdout.flush()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    asyncio.run(main(int(sys.argv[1]), sys.argv[2] == "tls", sys.argv[3]))
