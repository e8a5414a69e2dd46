"""Remembers when tokens were used and writes it now and then, so that no request waits for a write. One a process.

Made by :mod:`server.context`; :mod:`server.auth` notes uses, gunicorn's exit hook closes it.
"""

from __future__ import annotations

import datetime as dt
import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from server.services.tokens import record_use
from server.storage.faults import explain
from server.storage.session import Database, DatabaseAbsent

_log = structlog.get_logger("server.last_use")


class LastUse:
    """``interval`` is in seconds. The first use noted starts a timer; an idle process has none, and so survives a fork."""

    def __init__(self, database: Database, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._seen: dict[int, dt.datetime] = {}
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def note(self, token_id: int, at: dt.datetime) -> None:
        with self._lock:
            self._seen[token_id] = at
            if self._timer is None:
                self._timer = threading.Timer(self._interval, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what was noted. What cannot be written stays noted, and is tried again after the next use."""
        with self._lock:
            seen, self._seen, self._timer = self._seen, {}, None
        if not seen:
            return
        try:
            with self._database.writing() as session:
                record_use(session, seen.items())
        except (SQLAlchemyError, DatabaseAbsent) as error:
            with self._lock:
                self._seen = seen | self._seen
            _log.warning("last use of tokens not written", cause=explain(error, self._database), tokens=len(seen))

    def close(self) -> None:
        """Write what is left, at the end of the process."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self.flush()
