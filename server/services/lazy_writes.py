"""Values that are kept in memory and written now and then, so that no request waits for a write. One a process and kind.

The kinds: :mod:`server.services.tokens.last_use` and :mod:`server.services.counters`. Made by :mod:`server.wiring`;
gunicorn's exit hook closes them.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from server.storage.causes import DatabaseUnavailable
from server.storage.faults import explain
from server.storage.session import Database

_log = structlog.get_logger(__name__)
_REMIND = 3600.0  # seconds between lines about one trouble

Key = TypeVar("Key")
Value = TypeVar("Value")


class LazyWrites(ABC, Generic[Key, Value]):
    """``interval`` is in seconds. The first value starts a timer; an idle process has none, and so survives a fork."""

    what: str  # begins the names of its events in the log

    def __init__(self, database: Database, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._kept: dict[Key, Value] = {}
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._trouble: tuple[str, float] | None = None  # its cause, and when it was logged

    @abstractmethod
    def merged(self, earlier: Value, later: Value) -> Value:
        """One value for a key that has two."""

    @abstractmethod
    def write(self, session: Session, values: Mapping[Key, Value]) -> None:
        """Write them, in the session's transaction."""

    def note(self, key: Key, value: Value) -> None:
        with self._lock:
            self._kept[key] = self.merged(self._kept[key], value) if key in self._kept else value
            self._start_timer()

    def flush(self) -> None:
        """Write what is kept. What cannot be written stays, and is tried again after the interval."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            values, self._kept, self._timer = self._kept, {}, None
        if not values:
            return
        try:
            with self._database.writing() as session:
                self.write(session, values)
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            with self._lock:
                for key, value in self._kept.items():
                    values[key] = self.merged(values[key], value) if key in values else value
                self._kept = values
                self._start_timer()
            self._tell(error, len(values))
        else:
            if self._trouble:
                self._trouble = None
                _log.info(f"{self.what}_written_again", values=len(values))

    def close(self) -> None:
        """Write what is left, at the end of the process."""
        self.flush()
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._interval, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _tell(self, error: Exception, values: int) -> None:
        """Once for a cause, and then once an hour: it is tried again and again."""
        cause = self._database.cause_of(error)
        code, now = cause.code if cause else type(error).__name__, time.monotonic()
        if self._trouble and self._trouble[0] == code and now - self._trouble[1] < _REMIND:
            return
        self._trouble = code, now
        _log.warning(f"{self.what}_not_written", cause=explain(error, self._database), reason=code, values=values)
