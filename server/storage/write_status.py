"""What the last writes came to, known to every process that was forked after it was made.

Written by :class:`server.storage.session.Database`, read by the health answer, so that every worker tells the same. It is a page
of shared memory and no file, because it is needed most when no file can be written.
"""

from __future__ import annotations

import datetime as dt
import mmap
import time
from dataclasses import dataclass

from server.storage.causes import CODES

# Eight bytes each, so that no reader sees half a value. The first three order events by the system's monotonic clock.
_WRITTEN, _FAILED, _TRIED, _FAILURE, _REPLACED = range(5)


@dataclass(frozen=True, slots=True)
class Failure:
    """A write that failed: when, and why."""

    at: dt.datetime
    code: str


class WriteStatus:
    """Make it before the fork."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    def written(self) -> None:
        self._cells[_WRITTEN] = time.monotonic_ns()

    def failed(self, code: str) -> None:
        self._cells[_FAILURE] = time.time_ns() // 1_000_000 << 8 | CODES.index(code)
        self._cells[_FAILED] = time.monotonic_ns()

    def last_failure(self) -> Failure | None:
        """Since the server was started, also when writes have succeeded after it."""
        value = self._cells[_FAILURE]
        if not value:
            return None
        return Failure(dt.datetime.fromtimestamp((value >> 8) / 1000, dt.UTC), CODES[value & 0xFF])

    def failing(self) -> bool:
        """The last write failed, and none has succeeded since."""
        return self._cells[_FAILED] > self._cells[_WRITTEN]

    def may_try(self, every: float) -> bool:
        """Whether a write that only tests is due: one in ``every`` seconds, by all processes together."""
        now = time.monotonic_ns()
        if self._cells[_TRIED] and now - self._cells[_TRIED] < every * 1e9:
            return False
        self._cells[_TRIED] = now
        return True

    def replaced(self) -> bool:
        return bool(self._cells[_REPLACED])

    def mark_replaced(self) -> bool:
        """From now on in every process, until the server is restarted; False when it was marked before."""
        first = not self._cells[_REPLACED]
        self._cells[_REPLACED] = 1
        return first
