"""Remembers when tokens were used and writes it now and then, so that no request waits for a write. One a process.

Made by :mod:`server.context`; :mod:`server.auth` notes uses, gunicorn's exit hook closes it.
"""

from __future__ import annotations

import datetime as dt
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from server.services.tokens import record_use
from server.storage.causes import DatabaseUnavailable
from server.storage.faults import explain
from server.storage.session import Database

_log = structlog.get_logger("server.last_use")
_REMIND = 3600.0  # seconds between lines about one trouble


class LastUse:
    """``interval`` is in seconds. The first use noted starts a timer; an idle process has none, and so survives a fork."""

    def __init__(self, database: Database, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._seen: dict[int, dt.datetime] = {}
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._trouble: tuple[str, float] | None = None  # its cause, and when it was logged

    def note(self, token_id: int, at: dt.datetime) -> None:
        with self._lock:
            self._seen[token_id] = at
            self._start_timer()

    def flush(self) -> None:
        """Write what was noted. What cannot be written stays noted, and is tried again after the interval."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            seen, self._seen, self._timer = self._seen, {}, None
        if not seen:
            return
        try:
            with self._database.writing() as session:
                record_use(session, seen.items())
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            with self._lock:
                self._seen = seen | self._seen
                self._start_timer()
            self._tell(error, len(seen))
        else:
            if self._trouble:
                self._trouble = None
                _log.info("last use of tokens written again", tokens=len(seen))

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

    def _tell(self, error: Exception, tokens: int) -> None:
        """Once for a cause, and then once an hour: it is tried again and again."""
        cause = self._database.cause_of(error)
        code, now = cause.code if cause else type(error).__name__, time.monotonic()
        if self._trouble and self._trouble[0] == code and now - self._trouble[1] < _REMIND:
            return
        self._trouble = code, now
        _log.warning("last use of tokens not written", cause=explain(error, self._database), reason=code, tokens=tokens)
