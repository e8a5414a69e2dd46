"""One command's channel: its output is read as it comes, kept within limits, and can be waited for. Used by the session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from runtime.adapters.ssh import words
from runtime.adapters.ssh.library import asyncssh
from runtime.domain.script import Reader

GREETING_KEPT = 8192
FLOOD = 64  # times the output limit; a step may be wordy, and is not cut for that


class Shell(asyncssh.SSHClientSession[bytes]):
    """Output goes to ``greeting`` until :meth:`begin`, then to the reader, what is on stderr aside.

    ``tail``: the end of all that came.
    """

    def __init__(self, reader: Reader, limit: int) -> None:
        self._reader, self._most = reader, limit * FLOOD
        self._begun = False
        self._received = 0
        self._wake = asyncio.Event()
        self.greeting = bytearray()
        self.tail = bytearray()
        self.closed = False
        self._closing = False
        self.exit_status: int | None = None
        self.channel: asyncssh.SSHClientChannel[bytes] | None = None

    @property
    def flooded(self) -> bool:
        return self._received > self._most or self._reader.flooded

    def begin(self) -> None:
        """From now on stdout is the script's."""
        self._begun = True

    def write(self, data: bytes, *, last: bool = False) -> None:
        if self.channel is None or self.closed:
            return
        with contextlib.suppress(BrokenPipeError):  # closed by the server this moment: `until` is told of it next
            self.channel.write(data)
            if last:
                self.channel.write_eof()

    def close(self) -> None:
        self._closing = True
        if self.channel is not None:
            self.channel.close()

    async def wait_closed(self, timeout: float) -> None:
        """Return when the server has closed its side too, if it does so in time. At once when nobody has called :meth:`close`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._closing and not self.closed:
                    self._wake.clear()
                    await self._wake.wait()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Return when ``ready``, or when nothing more will come."""
        while not (ready() or self.closed or self.flooded):
            self._wake.clear()
            await self._wake.wait()

    async def until_asked(self, ready: Callable[[], bool]) -> str:
        """As :meth:`until`, but return early, with the question, when the output has stopped at one that nobody answers."""
        while not (ready() or self.closed or self.flooded):
            self._wake.clear()
            question = words.open_question(bytes(self.tail))
            try:
                async with asyncio.timeout(words.patience(question) if question else None):
                    await self._wake.wait()
            except TimeoutError:
                return question
        return ""

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self.channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._received += len(data)
        self.tail += data[-words.KEPT :]
        del self.tail[: -words.KEPT]
        if not self._begun:
            self.greeting += data[-GREETING_KEPT:]
            del self.greeting[:-GREETING_KEPT]
        elif datatype is None:
            self._reader.feed(data)
        else:
            self._reader.aside(data)
        if self.flooded and self.channel is not None:
            self.channel.pause_reading()
        self._wake.set()

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._wake.set()
