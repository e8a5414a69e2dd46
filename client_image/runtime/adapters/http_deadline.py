"""An absolute deadline for HTTP: whatever the other side sends, and however slowly, the call ends in time. No other module opens
HTTP connections of its own.

The time limits of urllib3 count from one received byte to the next, so that headers, interim answers, chunk sizes and trailers
that drip would hold a caller without end; looking up a name has no limit at all. Here the call runs in a thread of its own, and
when its time is over its connections are shut down, which ends it wherever it waits: TLS, a proxy's CONNECT, head or body.
"""

from __future__ import annotations

import contextlib
import contextvars
import socket
import ssl
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Generic, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager
from urllib3.util import Retry

from contracts.text import say

T = TypeVar("T")
_QUEUED = 100


class DeadlinePassed(Exception):
    """The time is over. ``seconds``: how long it was; ``connected``: whether there was ever a connection."""

    def __init__(self, seconds: float, *, connected: bool) -> None:
        super().__init__(say("no whole answer within {seconds} s", seconds=f"{seconds:g}"))
        self.seconds, self.connected = seconds, connected


class Wire:
    """The connections of one session. ``with Wire() as wire``: mount it, then make each call through :meth:`within`.

    After a deadline has passed the session makes no connection any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A copy of each connection's descriptor, with the object that the connection is used through once it stands.
        self._copies: dict[socket.socket, weakref.ref[Any] | None] = {}
        self._connected = self._cut = False

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def mount(self, session: requests.Session, retries: Retry) -> None:
        """Let every connection of the session be made here."""
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self, retries))

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        """What ``call`` returns or raises. Raises DeadlinePassed when it has done neither after ``seconds``."""
        answer = Answer(call)
        answer.wait(seconds)
        if answer.over:
            return answer.value()
        self.close()
        raise DeadlinePassed(seconds, connected=self._connected)

    def close(self) -> None:
        """Shut every connection down, also those that are still being made."""
        with self._lock:
            self._cut = True
            copies, self._copies = self._copies, {}
        for copy in copies:
            with contextlib.suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)
            copy.close()

    def admit(self, connect: Callable[[], socket.socket]) -> tuple[socket.socket, socket.socket]:
        """Called for every new connection, before TLS. A copy is kept, because TLS takes the socket over: (made, copy).

        Raises DeadlinePassed when the time is over, which urllib3 does not try again.
        """
        if self._cut:
            raise DeadlinePassed(0, connected=False)
        made = connect()
        with self._lock:
            if self._cut:
                made.close()
                raise DeadlinePassed(0, connected=False)
            self._connected = True
            copy = made.dup()
            self._copies[copy] = None
        return made, copy

    def follow(self, copy: socket.socket, final: Any) -> None:
        """Keep the copy no longer than ``final``, the socket that is used now: the body may be read after urllib3 let it go."""
        with self._lock:
            if copy in self._copies:
                self._copies[copy] = weakref.ref(final, lambda _: self.drop(copy))

    def drop(self, copy: socket.socket) -> None:
        """The connection is over. Python calls this anywhere, so without the lock: who takes a copy from the table closes it."""
        with contextlib.suppress(KeyError):
            del self._copies[copy]
            copy.close()


class Answer(Generic[T]):
    """A call in a thread that nobody has to wait for."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._value: T
        self._error: BaseException | None = None
        self.over = False
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run,), daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._thread.join(max(0.0, seconds))

    def value(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error
        self.over = True


def paced(
    pieces: Callable[[], Iterable[T]], *, silence: float, whole: float, monotonic: Callable[[], float]
) -> Iterator[T]:
    """What ``pieces`` gives, for streams without a socket that we could cut. Raises DeadlinePassed after ``silence`` seconds
    without a piece, and after ``whole`` seconds in all. The thread that reads them is then left behind."""
    queue: Queue[tuple[bool, Any]] = Queue(_QUEUED)

    def read() -> None:
        try:
            for piece in pieces():
                queue.put((True, piece))
            queue.put((False, None))
        except BaseException as error:
            queue.put((False, error))

    Answer(read)
    end = monotonic() + whole
    while True:
        left = end - monotonic()
        try:
            more, piece = queue.get(timeout=max(0.0, min(silence, left)))
        except Empty:
            raise DeadlinePassed(silence if silence < left else whole, connected=True) from None
        if more and left > 0:
            yield piece
        elif more:
            raise DeadlinePassed(whole, connected=True)
        elif piece is None:
            return
        else:
            raise piece


class _Adapter(HTTPAdapter):
    def __init__(self, wire: Wire, retries: Retry) -> None:
        self._pools = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, wire),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, wire),
        }
        super().__init__(max_retries=retries)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return self._watch(super().proxy_manager_for(*args, **kwargs))

    def _watch(self, manager: PoolManager) -> PoolManager:
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pool(pool: Any, connection: Any, wire: Wire) -> Any:
    """The class of pools whose connections are admitted by the wire."""

    class Watched(connection):  # type: ignore[misc]
        _copy: socket.socket | None

        def _new_conn(self) -> socket.socket:
            made, self._copy = wire.admit(super()._new_conn)
            return made

        def connect(self) -> None:
            self._copy = None
            try:
                super().connect()
            except BaseException as error:
                _close_forgotten(error)
                if self._copy is not None:
                    wire.drop(self._copy)
                raise
            if self._copy is not None:
                wire.follow(self._copy, self.sock)

    class WatchedPool(pool):  # type: ignore[misc]
        ConnectionCls = Watched

    return WatchedPool


def _close_forgotten(error: BaseException) -> None:
    """Close the socket that TLS took over and did not close: Python 3.11 leaves that out when the connection was reset before the
    handshake begins. Only the frame that failed knows the socket, and garbage collection would close it, some time later."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        taken_over = frame.f_locals.get("self")
        if isinstance(taken_over, ssl.SSLSocket):
            taken_over.close()
