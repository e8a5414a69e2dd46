"""What nginx says, as lines of our log. Used by :mod:`server.serving.supervisor`, in whose loop it reads.

nginx never waits for it: the pipe does not block, the socket drops what does not fit, and in a flood lines are only counted.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from contracts.bounded import read_json

_log = structlog.get_logger(__name__)
_LINE = re.compile(
    r"(?:nginx: |\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )\[(?P<level>[a-z]+)\] (?:\d+#\d+: )?(?:\*\d+ )?(?P<said>.*)"
)
_HANDSHAKE = re.compile(
    r"SSL_do_handshake\(\) failed(?: \((?:SSL: )?(?:error:[0-9A-F]*:[^:]*:[^:]*:)?(?P<cause>[^:)]*))?"
)
_CLIENT = re.compile(r", client: (?P<client>[0-9a-fA-F.:]+|unix:)")
_LEVELS = {"emerg": "critical", "alert": "critical", "crit": "error", "error": "error", "warn": "warning"}
# What nginx is there for, and what has a line of ours with more in it.
_LEFT_OUT = (b"[info]", b" is buffered to a temporary file ", b" client intended to send too large ")
_PER_SECOND = 50
_BYTES = 65536


class NginxLog:
    """``descriptor`` is for nginx's stderr; the lines about refused requests come by the socket ``log`` in ``folder``."""

    def __init__(self, folder: Path, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._reader, self.descriptor = os.pipe()
        for end in (self._reader, self.descriptor):
            os.set_blocking(end, False)
        self._refused = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._refused.bind(str(folder / "log"))
        self._refused.setblocking(False)
        self._rest = b""
        self.silent = True  # nothing was said so far
        self._second, self._written, self._left_out = 0, 0, 0
        selector.register(self._reader, selectors.EVENT_READ, self._read_lines)
        selector.register(self._refused, selectors.EVENT_READ, self._read_refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read_lines()
        self._selector.unregister(self._reader)
        self._selector.unregister(self._refused)
        os.close(self._reader)
        os.close(self.descriptor)
        self._refused.close()

    def _read_lines(self) -> None:
        try:
            content = self._rest + os.read(self._reader, _BYTES)
        except BlockingIOError:
            return
        self.silent = self.silent and not content
        *lines, rest = content.split(b"\n")
        self._rest = rest[:_BYTES]
        for line in lines:
            if b"SSL_do_handshake" in line or not any(usual in line for usual in _LEFT_OUT):
                self._line(line.decode("utf-8", "replace"))

    def _line(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        level, said = (found["level"], found["said"]) if found else ("warn", line)
        client = _CLIENT.search(said)
        address = client["client"] if client else None
        if handshake := _HANDSHAKE.match(said):
            if self._room():
                _log.warning("tls_handshake_failed", cause=handshake["cause"], address=address)
        elif level in _LEVELS and self._room():
            # With a client in it, the rest repeats what the client sent, and that may be a token.
            told = said[: client.start()] if client else said
            told = re.sub(r'"[^"]*"', '"…"', told) if client else told
            getattr(_log, _LEVELS[level])("nginx", message=told, **({"address": address} if address else {}))

    def _read_refused(self) -> None:
        for _ in range(1000):
            try:
                datagram = self._refused.recv(_BYTES)
            except BlockingIOError:
                return
            if not self._room():
                continue
            try:
                fields = read_json(datagram[datagram.index(b"{") :])
            except ValueError:
                continue
            _log.warning("request_refused", **fields)

    def _room(self) -> bool:
        """Whether another line may be written in this second."""
        second = int(time.monotonic())
        if second != self._second:
            if self._left_out:
                _log.warning("nginx_lines_left_out", lines=self._left_out)
            self._second, self._written, self._left_out = second, 0, 0
        self._written += 1
        if self._written > _PER_SECOND:
            self._left_out += 1
            return False
        return True
