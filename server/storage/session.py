"""Opens the database and hands out connections to read and sessions to write. Called by services, the CLI and request handlers.

One rule for which of them a function takes:

- **Reading** takes a :data:`Reader` and selects columns, which come back as rows: nothing is tracked, and nothing is loaded later
  behind the caller's back. It is done in autocommit: one statement is one snapshot, and no BEGIN or ROLLBACK is paid for.
- **Writing** takes a ``Session``, in one transaction, because objects of the models say what is stored, and new rows get their
  ids. On SQLite it takes the write lock at its start: taken later, after a read, SQLite could only refuse it.
- **Polls** take :class:`server.storage.prepared.Rows`: the same SELECTs of columns without SQLAlchemy's cost for each.

A Session is a Reader too, so a use case that writes can call those that read.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    PoolProxiedConnection,
    column,
    create_engine,
    event,
    table,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from contracts.secret import Secret
from contracts.text import say
from server.reasons.table import CANNOT_OPEN, IO_ERROR, OVERLOADED
from server.storage.causes import DISK_FULL, LOCKED, Cause, DatabaseUnavailable, cause_of
from server.storage.correlation import correlated
from server.storage.sqlite.database_file import DatabaseFile
from server.storage.sqlite.disk import disk_of
from server.storage.sqlite.file_header import new_application_id, set_application_id
from server.storage.sqlite.patience import patient
from server.storage.write_status import WriteStatus

Reader = Connection | Session  # what a SELECT can be run on

_IDLE = 4
_REVISION = table("alembic_version", column("version_num"))


@dataclass(frozen=True, slots=True)
class Database:
    """``location`` is what may be shown: an SQLite path, or host and name of a PostgreSQL database. ``file``: only of SQLite."""

    location: str
    backend: str
    status: WriteStatus
    file: DatabaseFile | None
    _timeout: float
    _reads: Engine
    _writes: Engine
    _idle: list[PoolProxiedConnection] = field(default_factory=list)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for SELECTs."""
        with self._reads.connect() as connection:
            yield connection

    @property
    def dialect(self) -> Dialect:
        return self._reads.dialect

    def lend(self) -> PoolProxiedConnection:
        """A connection for SELECTs, for who reads results without SQLAlchemy; to be given back, or invalidated and closed."""
        if self._idle:
            self.check()
            try:
                return self._idle.pop()
            except IndexError:  # another thread was faster
                pass
        return self._reads.raw_connection()

    def give_back(self, lent: PoolProxiedConnection) -> None:
        """An SQLite file needs no question whether it is still there, so a few connections wait here, nearer than in the pool."""
        if self.file and len(self._idle) < _IDLE:
            self._idle.append(lent)
        else:
            lent.close()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back by an exception. What it came to is in ``status``.

        What was waited for a connection is not waited for SQLite's lock again.
        """
        until = time.monotonic() + self._timeout
        try:
            with (
                self._writes.connect() as connection,
                self._waiting(connection, until - time.monotonic()),
                Session(connection, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
            self.check()  # what was committed to a file that was replaced meanwhile is not acknowledged
        except Exception as error:
            if cause := self.cause_of(error):
                self.status.failed(cause.code)
            raise
        self.status.written()

    def prove_writing(self) -> None:
        """Write what is there already, so that ``status`` tells whether writing works again. Never waits for another writer."""
        try:
            with self._writes.connect() as connection, self._waiting(connection, 0), connection.begin():
                if self.file is None:
                    connection.exec_driver_sql("SET LOCAL lock_timeout = 100")
                connection.execute(update(_REVISION).values(version_num=_REVISION.c.version_num))
            self.check()
        except (DBAPIError, PoolTimeout, DatabaseUnavailable) as error:
            cause = self.cause_of(error)
            if cause and cause.row is not LOCKED.row:
                self.status.failed(cause.code)
        else:
            self.status.written()

    @contextmanager
    def _waiting(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Have SQLite wait so long for its lock; it takes it at the beginning of a transaction."""
        if self.file is None:
            yield
            return
        driver: Any = connection.connection.driver_connection
        with driver.waiting(seconds):
            yield

    def cause_of(self, error: BaseException) -> Cause | None:
        """As :func:`server.storage.causes.cause_of`; SQLite has several words for a disk that is full.

        Connections for writing are all busy also because each waits for SQLite's lock.
        """
        cause = cause_of(error)
        if cause and cause.row is OVERLOADED and self.file and self.status.failing():
            failure = self.status.last_failure()
            return LOCKED if failure and failure.code == LOCKED.code else cause
        if cause and cause.row in (IO_ERROR, CANNOT_OPEN) and self.file:
            disk = disk_of(self.file.path)
            return DISK_FULL if disk and disk.state == "full" else cause
        return cause

    def attach(self) -> None:
        """Settle which SQLite file this is, before the process forks. What is wrong with it is met again by every connection."""
        if self.file:
            with suppress(DatabaseUnavailable):
                self.file.attach()

    def check(self) -> None:
        """Raises DatabaseReplaced when the SQLite file is not the one that was opened. Every connection is checked."""
        if self.file:
            self.file.check()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """The connection that changes the schema: in one transaction, and alone."""
        with self._writes.begin() as connection:
            yield connection

    def close(self) -> None:
        with suppress(DatabaseUnavailable):
            self.check()  # the last connection of all applies the log to the file, which must be the right one
        while self._idle:
            self._idle.pop().close()
        self._reads.dispose()
        self._writes.dispose()
        if self.file:
            self.file.close()


def open_database(url: Secret, *, timeout: float, connections: int = 5) -> Database:
    """Prepare the database; nothing is connected yet. ``timeout`` in seconds; at most ``connections`` are kept for reading.

    Raises ValueError for an address that cannot be read.
    """
    try:
        parsed = make_url(url.reveal())
    except (ArgumentError, ValueError):
        raise ValueError(
            say("FLAGEE_DATABASE_URL cannot be read as an address; are special characters percent-encoded?")
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, timeout, connections)
    return _postgresql(parsed.set(drivername="postgresql+psycopg"), timeout, connections)


def create_file(database: Database) -> None:
    """Make the SQLite file, readable by nobody else, in WAL mode. Changes nothing where it exists, or for PostgreSQL.

    Raises DatabaseReplaced where a server still uses a file of this name, or has left the log of one.
    """
    if database.file is None:
        return
    path = database.file.path
    with database.file.creating() as mine:
        if not mine:
            return
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=path.name) as folder:
            draft = Path(folder) / path.name
            set_application_id(draft, new_application_id())
            with closing(sqlite3.connect(draft)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            draft.chmod(0o600)
            with suppress(FileExistsError):
                os.link(draft, path)


def _with_correlation(
    connection: Connection, cursor: object, statement: str, parameters: Any, context: object, executemany: bool
) -> tuple[str, Any]:
    return correlated(statement), parameters


def _sqlite(url: URL, timeout: float, connections: int) -> Database:
    path = Path(url.database or "").absolute()
    options: dict[str, Any] = {
        "connect_args": {"factory": patient(timeout), "timeout": 0},
        "pool_size": connections,
        "pool_timeout": timeout,
        "hide_parameters": True,  # errors are logged; parameters hold token hashes and documents
    }
    # In autocommit nothing is left to roll back when a connection is given back.
    reads = create_engine(
        url.set(database=str(path)), isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options
    )
    writes = create_engine(url.set(database=str(path)), **options)
    status = WriteStatus()
    file = DatabaseFile(path, status)

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        for pragma in ("foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):  # a file that was put there by hand
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
        file.opened(id(connection))

    for engine in (reads, writes):
        event.listen(engine, "do_connect", lambda *_: file.attach())
        event.listen(engine, "connect", prepare)
        event.listen(engine, "checkout", lambda *_: file.check())
        event.listen(engine, "close", lambda connection, _: file.closed(id(connection)))
    event.listen(writes, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return Database(str(path), "sqlite", status, file, timeout, reads, writes)


def _postgresql(url: URL, timeout: float, connections: int) -> Database:
    seconds = max(1, round(timeout))
    options: dict[str, Any] = {
        "connect_args": {"connect_timeout": seconds, "application_name": "flagee-server"},
        "pool_timeout": timeout,
        "pool_pre_ping": True,  # a restarted server must not cost one failed request a connection
        "hide_parameters": True,
    }
    reads = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=connections, **options)
    writes = create_engine(url, pool_size=1, **options)

    def limit(connection: Any, _: object) -> None:
        connection.execute(f"SET statement_timeout = {seconds * 1000}")
        connection.commit()

    event.listen(reads, "connect", limit)
    for engine in (reads, writes):
        event.listen(engine, "before_cursor_execute", _with_correlation, retval=True)
    return Database(
        f"{url.host or 'local socket'}/{url.database}", "postgresql", WriteStatus(), None, timeout, reads, writes
    )
