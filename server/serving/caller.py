"""A connection whose other end has limited time for each part of a request. Used by :mod:`server.serving.worker` for the socket.

Behind nginx these limits are never reached; alone on loopback they are what keeps silent and slow callers from staying for ever.
"""

from __future__ import annotations

import time
from typing import Any

IDLE_S = 75.0
HEAD_S = 15.0
BODY_S = 60.0
PIECE_S = 15.0


class Caller:
    """What gunicorn asks of a socket. Raises TimeoutError where the other end takes too long."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._silent = False
        self._until = time.monotonic() + HEAD_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def next_request(self) -> None:
        """It may be idle for a while; from its first byte on a head has its time as a whole."""
        self._silent = True
        self._until = time.monotonic() + IDLE_S

    def body(self) -> None:
        """The head is here; the body has its time as a whole."""
        self._silent = False
        self._until = time.monotonic() + BODY_S

    def recv(self, size: int) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        content: bytes = self._connection.recv(size)
        if self._silent:
            self._silent = False
            self._until = time.monotonic() + HEAD_S
        return content

    def sendall(self, content: bytes) -> None:
        """As long as it takes, if the other end reads some of it now and then."""
        self._connection.settimeout(PIECE_S)
        view = memoryview(content)
        while view:
            view = view[self._connection.send(view) :]
