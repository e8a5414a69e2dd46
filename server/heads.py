"""Which connections are still sending the head of a request, and which of them have had their time. Used by :mod:`server.worker`.

A thread that reads a head is held by whoever sends it, one byte a minute if they like. So a head has a time limit as a whole, and
one address may hold only a share of the threads for longer than a moment.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

HEAD_S = 15.0
MOMENT_S = 1.0

Connection = TypeVar("Connection", bound=Hashable)


class Heads(Generic[Connection]):
    """``share``: how many of its connections an address may have in their heads for longer than a moment; None: any number,
    because a reverse proxy stands in front and every caller has its address."""

    def __init__(self, share: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._begun: dict[Connection, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def begin(self, connection: Connection, address: str) -> None:
        with self._lock:
            self._begun[connection] = (self._clock(), address)

    def end(self, connection: Connection) -> None:
        """Its head is whole, or it has gone. May be called again."""
        with self._lock:
            self._begun.pop(connection, None)

    def overdue(self) -> list[Connection]:
        """Those to be cut now."""
        now = self._clock()
        with self._lock:
            begun = dict(self._begun)
        late = {one for one, (since, _) in begun.items() if now - since > HEAD_S}
        return [*late, *self._crowding(begun, late, now)]

    def _crowding(
        self, begun: dict[Connection, tuple[float, str]], late: set[Connection], now: float
    ) -> Iterator[Connection]:
        if self._share is None:
            return
        held: defaultdict[str, list[tuple[float, Connection]]] = defaultdict(list)
        for connection, (since, address) in begun.items():
            if connection not in late and now - since > MOMENT_S:
                held[address].append((since, connection))
        for ours in held.values():
            ours.sort(key=lambda one: one[0])
            yield from (connection for _, connection in ours[: max(0, len(ours) - self._share)])
