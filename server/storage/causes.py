"""What a database error means: a code for programs, and what to do. Pure; used for messages, answers and the health answer."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

Code = Literal[
    "locked",
    "read_only",
    "disk_full",
    "io_error",
    "cannot_open",
    "damaged",
    "not_a_database",
    "access_denied",
    "overloaded",
    "unreachable",
    "database_replaced",
    "database_absent",
    "backup_in_place",
]
CODES: tuple[Code, ...] = get_args(Code)


@dataclass(frozen=True, slots=True)
class Cause:
    """``advice`` is a clause that follows the database's name: what the matter is; what to do."""

    code: Code
    advice: str


class DatabaseUnavailable(Exception):
    """There is no database to work with, for a reason that its driver does not know; the text says what to do."""

    code: ClassVar[Code]


class DatabaseAbsent(DatabaseUnavailable):
    """The SQLite file does not exist. Opening it would make an empty one, in what is perhaps the wrong folder."""

    code = "database_absent"

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is no database at {path}; run: flagee-server init-db (or correct FLAGEE_DATABASE_URL)")


class DatabaseReplaced(DatabaseUnavailable):
    """Another file has the database's name, or none has, while the first one is open.

    Nothing may be read from it (what was stored or revoked since is elsewhere) nor written (it would be lost, or damage both).
    """

    code = "database_replaced"


class BackupInPlace(DatabaseUnavailable):
    """The file is a backup as it was made, and not restored: it may lack revocations that its name's database had."""

    code = "backup_in_place"


class DatabaseInUse(DatabaseUnavailable):
    """Somebody else has the database open, or is restoring it."""

    code = "locked"


LOCKED = Cause("locked", "it is locked by another process; end that process, or try again")
_DENIED = Cause("access_denied", "access is denied; check the owner and mode of the file and of its folder")
DISK_FULL = Cause("disk_full", "the disk is full; free some space")
_READ_ONLY = Cause("read_only", "it cannot be written; check the owner and mode of the file and of its folder")

_SQLITE = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: Cause("io_error", "reading or writing failed; check the disk and its free space"),
    sqlite3.SQLITE_CANTOPEN: Cause(
        "cannot_open", "it cannot be opened; check that the folder exists, and the owner and mode of both"
    ),
    sqlite3.SQLITE_CORRUPT: Cause("damaged", "it is damaged; restore a backup with: flagee-server restore FILE"),
    sqlite3.SQLITE_NOTADB: Cause("not_a_database", "it is not an SQLite database; check FLAGEE_DATABASE_URL"),
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_AUTH: _DENIED,
}
_POSTGRESQL: dict[str, Cause] = {
    "53100": DISK_FULL,
    "25006": Cause("read_only", "it takes no writes; is it a standby, or default_transaction_read_only set?"),
    "53300": Cause("overloaded", "it has no connection left; raise max_connections, or lower FLAGEE_THREADS"),
    "57014": Cause("locked", "a statement took too long; look for a lock or a slow disk"),
    "55P03": LOCKED,
}


def cause_of(error: BaseException) -> Cause | None:
    """None for what says nothing about the database's state: a constraint, a missing table, a fault of ours."""
    if isinstance(error, DatabaseUnavailable):
        return Cause(error.code, str(error))
    if isinstance(error, PoolTimeout):
        return Cause(
            "overloaded", "all connections are busy; it answers too slowly for the load, or FLAGEE_THREADS is too high"
        )
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _SQLITE.get(getattr(original, "sqlite_errorcode", 0) & 0xFF)  # the low byte is the primary code
    return _of_postgresql(original) if isinstance(original, psycopg.Error) else None


def _of_postgresql(error: psycopg.Error) -> Cause | None:
    known = _POSTGRESQL.get(error.sqlstate or "")
    if known is None and isinstance(error, psycopg.OperationalError):
        first = str(error).strip().partition("\n")[0]
        return Cause("unreachable", f"{first}; check that it runs, and FLAGEE_DATABASE_URL")
    return known
