"""Database errors as a sentence that says what to do. Called by the CLI (shown) and by the error handlers (logged)."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.storage.schema import inspect_schema
from server.storage.session import Database, DatabaseAbsent

_SQLITE = {
    sqlite3.SQLITE_BUSY: "it is locked by another process; end that process, or try again",
    sqlite3.SQLITE_LOCKED: "it is locked by another process; end that process, or try again",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the owner and mode of the file and of its folder",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk and its free space",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the folder exists, and the owner and mode of both",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a backup",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database; check FLAGEE_DATABASE_URL",
    sqlite3.SQLITE_PERM: "access is denied; check the owner and mode of the file and of its folder",
    sqlite3.SQLITE_AUTH: "access is denied; check the owner and mode of the file and of its folder",
}


def explain(error: Exception, database: Database) -> str:
    """One sentence with the cause and the fix."""
    if isinstance(error, DatabaseAbsent):
        return f"there is no database at {error}; run: flagee-server init-db (or correct FLAGEE_DATABASE_URL)"
    return f"database {database.location}: {_cause(error, database)}"


def _cause(error: Exception, database: Database) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}; check that the folder exists, and its owner and mode"
    if isinstance(error, PoolTimeout):
        return "all connections are busy; it answers too slowly for the load, or FLAGEE_THREADS is too high for it"
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code in _SQLITE:
            return _SQLITE[code]
    elif isinstance(original, psycopg.OperationalError):
        return f"{_first_line(original)}; check that it runs, and FLAGEE_DATABASE_URL"
    # A table or column that is not there: most likely the schema is not this version's.
    return _schema_advice(database) or _first_line(original)


def _schema_advice(database: Database) -> str | None:
    try:
        return inspect_schema(database).advice()
    except (SQLAlchemyError, DatabaseAbsent):
        return None


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]
