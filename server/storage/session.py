"""Opens the database and hands out connections to read and sessions to write. Called by services, the CLI and request handlers.

Reading is done in autocommit: one statement is one snapshot, and no BEGIN or ROLLBACK is paid for. Writing is one transaction,
which on SQLite takes the write lock at its start: taken later, after a read, SQLite could only refuse it.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from contracts.secret import Secret


class DatabaseAbsent(Exception):
    """The SQLite file does not exist. Opening it would make an empty one, in what is perhaps the wrong folder."""


@dataclass(frozen=True, slots=True)
class Database:
    """``location`` is what may be shown: an SQLite path, or host and name of a PostgreSQL database."""

    location: str
    backend: str
    sqlite_path: Path | None
    _reads: Engine
    _writes: Engine
    _kept: list[Connection] = field(default_factory=list)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for SELECTs."""
        with self._reads.connect() as connection:
            yield connection

    @property
    def dialect(self) -> Dialect:
        return self._reads.dialect

    def keep(self) -> Connection:
        """A connection for SELECTs that the caller keeps; for one that failed see :meth:`drop`."""
        connection = self._reads.connect()
        self._kept.append(connection)
        return connection

    def drop(self, connection: Connection) -> None:
        """Give back a kept connection, not to be used by anybody again."""
        self._kept.remove(connection)
        connection.invalidate()
        connection.close()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back by an exception."""
        with Session(self._writes, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """The connection that changes the schema: in one transaction, and alone."""
        with self._writes.begin() as connection:
            yield connection

    def close(self) -> None:
        for connection in self._kept:
            connection.close()
        self._kept.clear()
        self._reads.dispose()
        self._writes.dispose()


def open_database(url: Secret, *, timeout: float, connections: int = 5) -> Database:
    """Prepare the database; nothing is connected yet. ``timeout`` in seconds; at most ``connections`` are kept for reading.

    Raises ValueError for an address that cannot be read.
    """
    try:
        parsed = make_url(url.reveal())
    except (ArgumentError, ValueError):
        raise ValueError(
            "FLAGEE_DATABASE_URL cannot be read as an address; are special characters percent-encoded?"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, timeout, connections)
    return _postgresql(parsed.set(drivername="postgresql+psycopg"), timeout, connections)


def create_file(database: Database) -> None:
    """Make the SQLite file, readable by nobody else, in WAL mode. Changes nothing where it exists, or for PostgreSQL.

    It gets its name only when it is in WAL mode: switching does not wait for another process that switches too.
    """
    path = database.sqlite_path
    if path is None or path.exists():
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=path.name) as folder:
        draft = Path(folder) / path.name
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        draft.chmod(0o600)
        with suppress(FileExistsError):
            os.link(draft, path)


def _sqlite(url: URL, timeout: float, connections: int) -> Database:
    path = Path(url.database or "").absolute()
    options: dict[str, Any] = {
        "connect_args": {"timeout": timeout},
        "pool_size": connections,
        "pool_timeout": timeout,
        "hide_parameters": True,  # errors are logged; parameters hold token hashes and documents
    }
    reads = create_engine(url.set(database=str(path)), isolation_level="AUTOCOMMIT", **options)
    writes = create_engine(url.set(database=str(path)), **options)

    def exists(*_: object) -> None:
        if not path.exists():
            raise DatabaseAbsent(str(path))

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        for pragma in ("foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    for engine in (reads, writes):
        event.listen(engine, "do_connect", exists)
        event.listen(engine, "connect", prepare)
    event.listen(writes, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return Database(str(path), "sqlite", path, reads, writes)


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
    return Database(f"{url.host or 'local socket'}/{url.database}", "postgresql", None, reads, writes)
