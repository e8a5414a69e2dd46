"""Servers that accept a connection and then misbehave, each on a loopback port of its own.

Called by tests of deadlines and of what must survive a strange peer. `serving` takes one of the behaviours below.
"""

import asyncio
import contextlib
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Iterator

from tests.harness.ports import LOOPBACK

Behaviour = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[int]:
    """Serve `behaviour` on loopback from a thread of its own; the port. Every connection is dropped at the end."""
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await behaviour(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    async def drop_all() -> None:
        server.close()
        ending = tuple(tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted transports close in the next round

    server = loop.run_until_complete(asyncio.start_server(connected, LOOPBACK, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(drop_all(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def silent(reader: StreamReader, _: StreamWriter) -> None:
    """Accept, take whatever comes, never answer."""
    while await reader.read(65536):
        pass


def dripping(text: bytes = b"SSH-2.0-OpenSSH_5.1\r\n", every: float = 0.3) -> Behaviour:
    """Send `text` one byte every `every` seconds, then hold."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(every)
        await silent(reader, writer)

    return behave


def flooding(garbage: bytes = b"\xff\x00garbage" * 4096) -> Behaviour:
    """Send `garbage` for ever, as fast as it is taken."""

    async def behave(_: StreamReader, writer: StreamWriter) -> None:
        while True:
            writer.write(garbage)
            await writer.drain()

    return behave


def saying(text: bytes) -> Behaviour:
    """Send `text`, then hold: a banner that is not UTF-8, or a greeting without a handshake after it."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(text)
        await silent(reader, writer)

    return behave


def relaying(address: str, port: int, *, first: bytes = b"", cut_after: int | None = None) -> Behaviour:
    """Be the real server at `address`:`port`, with `first` sent before its banner, and cut after that many of its bytes."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(address, port)
        writer.write(first)
        forward = asyncio.create_task(_copy(reader, upstream_writer, None))
        try:
            await _copy(upstream_reader, writer, cut_after)
        finally:
            forward.cancel()
            upstream_writer.transport.abort()

    return behave


async def _copy(source: StreamReader, sink: StreamWriter, limit: int | None) -> None:
    """Copy until the end, or until `limit` bytes have gone through."""
    while limit is None or limit > 0:
        data = await source.read(65536 if limit is None else min(limit, 65536))
        if not data:
            return
        limit = None if limit is None else limit - len(data)
        sink.write(data)
        await sink.drain()
