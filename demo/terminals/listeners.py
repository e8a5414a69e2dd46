"""Loopback sockets of simulated terminals. Called by `server`, which says what to do with an accepted connection.

Each terminal has a listener of its own, so that one without a server refuses, and one that was powered off is silent: its
listener's queue is full, so that the kernel drops what comes. A fleet of thousands has one for all of loopback, which costs
nothing per terminal; there an address that is off resets the connection instead.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_TRIES = 20
_FILLED_S = 0.1


class Listeners:
    """The open listeners. `meet(socket)` is called for every accepted connection."""

    def __init__(self, meet: Callable[[socket.socket], None]) -> None:
        self.port = 0
        self._meet = meet
        self._open: dict[str, socket.socket] = {}
        self._silent: dict[str, list[socket.socket]] = {}

    def open_each(self, addresses: Iterable[str], port: int) -> None:
        """Listen on every address, on one port; 0 takes one that is free on all of them. Raises OSError."""
        wanted = list(addresses)
        for attempt in range(_TRIES):
            self.port = port
            try:
                for address in wanted:
                    self.open(address)
            except OSError:
                self.close_all()
                if port or attempt == _TRIES - 1:
                    raise
            else:
                return

    def open_all(self, port: int) -> None:
        """Listen on all of loopback at once."""
        self.port = port
        self.open("0.0.0.0")  # noqa: S104 -- bound to the loopback device

    def open(self, address: str) -> None:
        """Listen on `address` at the port of the others."""
        if address in self._open:
            return
        for sock in self._silent.pop(address, ()):
            sock.close()
        listener = self._bound(address, 1024)
        self.port = listener.getsockname()[1]
        self._open[address] = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def silence(self, address: str) -> None:
        """Answer nothing at `address` from now on, as a machine without power does (where one listener serves all: as before)."""
        if address not in self._open:
            return
        self.close(address)
        held = self._silent[address] = [self._bound(address, 0)]
        while len(held) < _TRIES:  # until the queue is full and a connection stays unanswered
            caller = socket.socket()
            held.append(caller)
            caller.settimeout(_FILLED_S)
            try:
                caller.connect((address, self.port))
            except TimeoutError:
                return

    def _bound(self, address: str, backlog: int) -> socket.socket:
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            listener.bind((address, self.port))
            listener.listen(backlog)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        return listener

    def close(self, address: str) -> None:
        """Refuse connections to `address` from now on (nothing to do where one listener serves all)."""
        if listener := self._open.pop(address, None):
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def close_all(self) -> None:
        """Refuse everything."""
        for address in tuple(self._open):
            self.close(address)
        for held in self._silent.values():
            for sock in held:
                sock.close()
        self._silent.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                sock, _ = listener.accept()
                sock.setblocking(False)
                self._meet(sock)


def reset(sock: socket.socket) -> None:
    """End a connection the rude way, as a machine does that does not know it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
