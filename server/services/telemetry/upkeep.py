"""Has old telemetry removed while the server runs. Woken by :mod:`server.api.ingest`: where nothing comes, nothing grows.

Made by :mod:`server.wiring`; one a process. An idle process has no timer, and so survives a fork.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

import structlog
from sqlalchemy.exc import SQLAlchemyError

from server.services.telemetry.retention import claim, remove_old
from server.storage.causes import DatabaseUnavailable
from server.storage.faults import explain
from server.storage.session import Database

_log = structlog.get_logger(__name__)
_LOOK_S = 300.0
_PAUSE_S = 0.05


class Upkeep:
    """``days``: for how long telemetry is kept."""

    def __init__(self, database: Database, days: int, clock: Callable[[], dt.datetime]) -> None:
        self._database, self._days, self._clock = database, days, clock
        self._timer: threading.Timer | None = None

    def wake(self) -> None:
        """Look within five minutes whether it is time."""
        if self._timer is None:
            self._timer = threading.Timer(_LOOK_S, self._look)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        try:
            self.work()
        finally:
            self._timer = None

    def work(self) -> bool:
        """Whether it was time and this process did it."""
        now = self._clock()
        try:
            with self._database.writing() as session:
                mine = claim(session, now)
            if mine:
                removed = remove_old(self._database, self._days, now, lambda: time.sleep(_PAUSE_S))
                _log.info("old_telemetry_removed", **asdict(removed))
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            _log.warning("old_telemetry_not_removed", cause=explain(error, self._database))
            return False
        return mine
