"""Whole copies of an SQLite database: made while it is in use, checked, and described. Used by backup and restore."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from contracts.text import say
from server.storage.causes import cause_of
from server.storage.models import Base, Configuration
from server.storage.session import Database
from server.storage.sqlite.database_file import beside
from server.storage.sqlite.disk import disk_of

Progress = Callable[[int, int], None]  # pages copied, pages in all
_PAGES = 256  # a step; 1 MB
_COUNTED = ("clients", "networks", "agents", "tokens", "configurations")


class CopyFailed(Exception):
    """The text says what to do. No copy was left, and the database was not changed."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database file holds. ``counts`` are rows of the tables that its revision has; ``key_ids`` of all configurations."""

    revision: str | None
    counts: dict[str, int]
    key_ids: tuple[str, ...]


def copy_from_use(database: Database, target: Path, progress: Progress) -> None:
    """Copy as of one moment, however much is written meanwhile, and hold up no writer. ``target`` does not exist yet."""
    with database.reading() as connection, closing(sqlite3.connect(target)) as copy:
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN")  # one snapshot for all steps: without it every write would begin the copy again
        try:
            driver.execute("SELECT 1 FROM sqlite_schema").fetchone()
            _copy(driver, copy, target, progress)
        finally:
            driver.execute("ROLLBACK")
        database.check()
        _as_one_file(copy)


def copy_file(source: Path, target: Path, progress: Progress) -> None:
    """Copy a file that nobody writes; it may be on a volume that is read-only."""
    log = beside(source, "-wal")
    alone = not (log.exists() and log.stat().st_size)
    address = f"file:{quote(str(source.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
    try:
        with closing(sqlite3.connect(address, uri=True)) as original, closing(sqlite3.connect(target)) as copy:
            _copy(original, copy, target, progress)
            _as_one_file(copy)
    except sqlite3.Error as error:
        cause = cause_of(error)
        raise CopyFailed(
            say("{source}: {cause}. Nothing was changed", source=source, cause=cause.advice if cause else error)
        ) from None


@contextmanager
def using(path: Path) -> Iterator[Connection]:
    """A transaction on a database file that nobody else uses."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, hide_parameters=True)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    with engine.begin() as connection:
        yield connection


def check(path: Path) -> Contents:
    """Read all of a copy and say what it holds. Raises CopyFailed for a damaged one, or one that is none of ours."""
    try:
        with using(path) as connection:
            found: list[str] = list(connection.exec_driver_sql("PRAGMA integrity_check(3)").scalars())
            if found != ["ok"]:
                raise CopyFailed(say("the integrity check found damage ({found})", found="; ".join(found)))
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise CopyFailed(say("the integrity check found rows that belong to nothing"))
            return contents(connection)
    except SQLAlchemyError as error:
        cause = cause_of(error)
        raise CopyFailed(cause.advice if cause else say("it cannot be read")) from None


def contents(connection: Connection) -> Contents:
    from alembic.migration import MigrationContext

    revision = MigrationContext.configure(connection).get_current_revision()
    there = set(inspect(connection).get_table_names())
    counts = {
        name: connection.scalar(select(func.count()).select_from(Base.metadata.tables[name])) or 0
        for name in _COUNTED
        if name in there
    }
    keys: list[str] = []
    if "configurations" in there:
        keys = sorted(connection.scalars(select(Configuration.key_id).distinct()))
    return Contents(revision, counts, tuple(keys))


def make_lasting(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's names, before going on."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(source: sqlite3.Connection, copy: sqlite3.Connection, target: Path, progress: Progress) -> None:
    (pages,), (size,) = (source.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    need, disk = pages * size, disk_of(target)
    if disk and disk.free < need:
        raise CopyFailed(
            say(
                "the copy needs {need} MB; {disk} on the volume of {folder}. Nothing was changed",
                need=f"{need / 1e6:.1f}",
                disk=disk,
                folder=target.parent.parent,
            )
        )
    source.backup(copy, pages=_PAGES, progress=lambda _, remaining, total: progress(total - remaining, total))


def _as_one_file(copy: sqlite3.Connection) -> None:
    copy.execute("PRAGMA journal_mode = DELETE").fetchone()
