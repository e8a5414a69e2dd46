"""What a database error means: a code for programs, and what to do. Pure; used for messages, answers and the health answer."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.text import say
from server.reasons import table
from server.reasons.row import Row

# Rows of the database that a write can end in; a code is kept as its place in this list (see WriteStatus).
_WRITES = (*(row for row in table.ROWS.values() if row.about == "database"), table.OVERLOADED)
CODES: tuple[str, ...] = tuple(row.code for row in _WRITES)


@dataclass(frozen=True, slots=True)
class Cause:
    """``advice`` is a clause that follows the database's name: what the matter is; what to do."""

    row: Row
    advice: str

    @property
    def code(self) -> str:
        return self.row.code


class DatabaseUnavailable(Exception):
    """There is no database to work with, for a reason that its driver does not know; the text says what to do."""

    row: ClassVar[Row]


class DatabaseAbsent(DatabaseUnavailable):
    """The SQLite file does not exist. Opening it would make an empty one, in what is perhaps the wrong folder."""

    row = table.DATABASE_ABSENT

    def __init__(self, path: Path) -> None:
        super().__init__(self.row.text(path=path))


class DatabaseReplaced(DatabaseUnavailable):
    """Another file has the database's name, or none has, while the first one is open.

    Nothing may be read from it (what was stored or revoked since is elsewhere) nor written (it would be lost, or damage both).
    """

    row = table.DATABASE_REPLACED


class BackupInPlace(DatabaseUnavailable):
    """The file is a backup as it was made, and not restored: it may lack revocations that its name's database had."""

    row = table.BACKUP_IN_PLACE


class DatabaseInUse(DatabaseUnavailable):
    """Somebody else has the database open, or is restoring it."""

    row = table.LOCKED


def _cause(row: Row, *, says: str | None = None, do: str | None = None, **values: object) -> Cause:
    return Cause(row, row.text(says=says, do=do, **values))


LOCKED = _cause(table.LOCKED)
DISK_FULL = _cause(table.DISK_FULL)

_SQLITE = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: _cause(table.READ_ONLY),
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: _cause(table.IO_ERROR),
    sqlite3.SQLITE_CANTOPEN: _cause(table.CANNOT_OPEN),
    sqlite3.SQLITE_CORRUPT: _cause(table.DAMAGED),
    sqlite3.SQLITE_NOTADB: _cause(table.NOT_A_DATABASE),
    sqlite3.SQLITE_PERM: _cause(table.ACCESS_DENIED),
    sqlite3.SQLITE_AUTH: _cause(table.ACCESS_DENIED),
}
_POSTGRESQL: dict[str, Cause] = {
    "53100": DISK_FULL,
    "25006": _cause(
        table.READ_ONLY,
        says=say("it takes no writes"),
        do=say("is it a standby, or default_transaction_read_only set?"),
    ),
    "53300": _cause(
        table.OVERLOADED,
        says=say("it has no connection left"),
        do=say("raise max_connections, or lower FLAGEE_THREADS"),
    ),
    "57014": _cause(table.LOCKED, says=say("a statement took too long"), do=say("look for a lock or a slow disk")),
    "55P03": LOCKED,
}


def cause_of(error: BaseException) -> Cause | None:
    """None for what says nothing about the database's state: a constraint, a missing table, a fault of ours."""
    if isinstance(error, DatabaseUnavailable):
        return Cause(error.row, str(error))
    if isinstance(error, PoolTimeout):
        return _cause(
            table.OVERLOADED,
            says=say("all connections are busy"),
            do=say("it answers too slowly for the load, or FLAGEE_THREADS is too high"),
        )
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _SQLITE.get(getattr(original, "sqlite_errorcode", 0) & 0xFF)  # the low byte is the primary code
    return _of_postgresql(original) if isinstance(original, psycopg.Error) else None


def _of_postgresql(error: psycopg.Error) -> Cause | None:
    known = _POSTGRESQL.get(error.sqlstate or "")
    if known is None and isinstance(error, psycopg.OperationalError):
        first = str(error).strip().partition("\n")[0]
        return _cause(table.UNREACHABLE, error=first)
    return known
