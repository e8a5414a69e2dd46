"""Opens the SQLite file of the local state: private, migrated, trusted. Called by :mod:`runtime.adapters.state.store`.

WAL with synchronous FULL: a commit that returned survives a power cut. A file that is damaged is moved aside, so that the proxy
goes on; what must not be lost with it is kept in a second file, see :mod:`runtime.adapters.state.recovery_log`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from contracts.text import say
from runtime.adapters.state import recovery_log
from runtime.adapters.state.errors import CORRUPT, StateUnavailable, suspicion, translated, unavailable
from runtime.adapters.state.files import locked, open_private, private_folder
from runtime.adapters.state.migrations import HEAD
from runtime.adapters.state.shape import missing, not_a_file

FILE = "state.db"
BUSY_S = 30.0
_MIGRATION_WAIT_S = 120.0


@contextlib.contextmanager
def transaction(engine: Engine, folder: Path, *, write: bool) -> Iterator[Connection]:
    """A transaction with typed errors. A writing one takes the write lock at once, so that it cannot lose it half-way."""
    with translated(folder), engine.connect().execution_options(write=write) as connection, connection.begin():
        yield connection


def open_database(folder: Path, now: dt.datetime) -> tuple[Engine, tuple[str, ...]]:
    """The engine, and what an operator must be told. Raises StateUnavailable."""
    with translated(folder):
        private_folder(folder, ours=FILE)
        if kind := not_a_file(folder / FILE):
            raise unavailable("state_no_file", folder, say("{file} is {kind}, not a database", file=FILE, kind=kind))
        engine = _engine(folder)
        try:
            if _current(engine, folder):
                return engine, ()
            with locked(folder / "state.lock", timeout=_MIGRATION_WAIT_S) as held:
                return engine, _prepare(engine, folder, now, held=held is not None)
        except BaseException:
            engine.dispose()
            raise


def _engine(folder: Path) -> Engine:
    url = URL.create("sqlite", database=str(folder / FILE))
    engine = create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: object, _entry: ConnectionPoolEntry) -> None:
        # The driver's own transaction handling would begin late and commit early; `begin` below does it instead.
        connection.isolation_level = None  # type: ignore[attr-defined]
        cursor = connection.cursor()  # type: ignore[attr-defined]
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 16777216"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    @event.listens_for(engine, "commit")
    def _on_commit(connection: Connection) -> None:
        recovery_log.flush(connection, folder)

    event.listen(engine, "rollback", recovery_log.drop)
    return engine


def _current(engine: Engine, folder: Path) -> bool:
    """Whether the database is there, trusted, and at our schema or a later one. Damage counts as no."""
    if not (folder / FILE).exists() or suspicion(folder).exists():
        return False
    try:
        with transaction(engine, folder, write=False) as connection:
            return _revision(connection) >= HEAD and not missing(connection)
    except StateUnavailable as error:
        if error.reason == CORRUPT:
            return False
        raise


def revision_of(engine: Engine, folder: Path) -> str:
    """The newest step that was applied, also one that only a later release knows; empty before the first."""
    with transaction(engine, folder, write=False) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str:
    if not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").first():
        return ""
    return str(connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar() or "")


def _prepare(engine: Engine, folder: Path, now: dt.datetime, *, held: bool) -> tuple[str, ...]:
    """Under the lock: move a damaged file aside, bring the schema up to date, restore what outlives a database."""
    if not held:
        raise unavailable("state_busy", folder, say("another process is preparing the database"))
    notices: list[str] = []
    damage = _damage(engine, folder) if (folder / FILE).exists() else ""
    if damage:
        notices.append(_move_aside(engine, folder, now, damage))
    suspicion(folder).unlink(missing_ok=True)
    try:
        return (*notices, *_migrated(engine, folder, now, damaged=bool(damage), notice=" ".join(notices)))
    except StateUnavailable as error:
        if error.reason != CORRUPT or damage:
            raise
        # Sound for SQLite, but no schema that any release of ours has made.
        notice = _move_aside(engine, folder, now, error.message)
    suspicion(folder).unlink(missing_ok=True)
    return (notice, *_migrated(engine, folder, now, damaged=True, notice=notice))


def _migrated(engine: Engine, folder: Path, now: dt.datetime, *, damaged: bool, notice: str) -> list[str]:
    """Bring the schema up to date and restore what outlives a database. Raises StateUnavailable: state_corrupt."""
    with open_private(folder / FILE, os.O_RDWR):
        pass  # SQLite would make it with the process's umask; WAL and shared memory take the mode from it
    revision = revision_of(engine, folder)
    if revision >= HEAD:
        return []  # another process was faster
    if not revision:
        _set_format(engine)
    with transaction(engine, folder, write=True) as connection:
        _upgrade(connection, folder)
        if gone := missing(connection):
            raise unavailable(CORRUPT, folder, say("{file} has no {part}", file=FILE, part=gone))
        if not revision:
            return recovery_log.restore(connection, folder, damaged=damaged, notice=notice, now=now)
    return []


def _damage(engine: Engine, folder: Path) -> str:
    """What is wrong with the database that is there; empty when it can be used, or brought up to date."""
    if not (folder / FILE).stat().st_size and (folder / recovery_log.FILE).exists():
        return say("it is empty, and was not before")
    try:
        with transaction(engine, folder, write=False) as connection:
            if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
                return say("its pages contradict each other")
            gone = missing(connection) if _revision(connection) >= HEAD else ""
            return say("it has no {part}", part=gone) if gone else ""
    except StateUnavailable as error:
        if error.reason == CORRUPT:
            return str((error.__cause__ and getattr(error.__cause__, "orig", None)) or say("it is not readable"))
        raise


def _move_aside(engine: Engine, folder: Path, now: dt.datetime, damage: str) -> str:
    """Keep the damaged files for a later examination, only the last ones: a bad disk must not fill itself with them."""
    engine.dispose()
    for old in folder.glob(f"{FILE}.corrupt-*"):
        old.unlink()
    aside = f"{FILE}.corrupt-{now.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"
    for suffix in ("-wal", "-shm", ""):
        source = folder / f"{FILE}{suffix}"
        if source.exists():
            source.rename(folder / f"{aside}{suffix}")
    return say(
        "the database was damaged ({damage}); it was moved to {path} and a new one begun: earlier results are only in there.",
        damage=damage,
        path=folder / aside,
    )


def _set_format(engine: Engine) -> None:
    """What only an empty file takes, and no transaction. auto_vacuum lets retention give space back without a full copy."""
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()


def _upgrade(connection: Connection, folder: Path) -> None:
    """Raises StateUnavailable (state_corrupt) where a step does not fit what is there."""
    from alembic.util import CommandError  # slow to load, and rarely needed

    from runtime.adapters.state.migrations.upgrade import upgrade

    try:
        upgrade(connection)
    except CommandError as error:
        raise unavailable(CORRUPT, folder, error) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
            raise
        raise unavailable(CORRUPT, folder, error.orig) from error
