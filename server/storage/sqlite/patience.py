"""SQLite connections that wait for a lock in short steps. Used by :mod:`server.storage.session`.

SQLite's own waiting sleeps inside the library, and in a gevent worker everybody would sleep with it. Here the pause between two
tries is :func:`time.sleep`, which lets other requests of the worker go on, and is an ordinary sleep everywhere else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_FIRST_S = 0.001
_LONGEST_S = 0.05

Answer = TypeVar("Answer")


def patient(seconds: float) -> type[sqlite3.Connection]:
    """A ``factory`` for :func:`sqlite3.connect`: its connections try for ``seconds`` before they raise "database is locked".

    They have ``waiting(seconds)``, a context manager in which they try for that long instead, and at least once.
    """

    class PatientConnection(sqlite3.Connection):
        patience = seconds

        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(factory or PatientCursor)

        def commit(self) -> None:
            self.insist(super().commit)

        @contextmanager
        def waiting(self, limit: float) -> Iterator[None]:
            self.patience = limit
            try:
                yield
            finally:
                self.patience = seconds

        def insist(self, act: Callable[[], Answer]) -> Answer:
            until, pause = time.monotonic() + self.patience, _FIRST_S
            while True:
                try:
                    return act()
                except sqlite3.OperationalError as error:
                    if not _passes(error.sqlite_errorcode) or time.monotonic() + pause > until:
                        raise
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_S)

    class PatientCursor(sqlite3.Cursor):
        connection: PatientConnection

        def execute(self, sql: str, parameters: Any = (), /) -> PatientCursor:
            self.connection.insist(lambda: super(PatientCursor, self).execute(sql, parameters))
            return self

        def executemany(self, sql: str, parameters: Any, /) -> PatientCursor:
            self.connection.insist(lambda: super(PatientCursor, self).executemany(sql, parameters))
            return self

    return PatientConnection


def _passes(code: int) -> bool:
    """Whether waiting may help: another process has the lock, or recovers the log. An old snapshot does not become young."""
    return code & 0xFF == sqlite3.SQLITE_BUSY and code != sqlite3.SQLITE_BUSY_SNAPSHOT
