"""Database errors as a sentence that says what to do. Called by the CLI (shown) and by the error handlers (logged)."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from contracts.text import say
from server.reasons import table
from server.storage.causes import Cause, DatabaseUnavailable
from server.storage.schema import inspect_schema
from server.storage.session import Database
from server.storage.sqlite.disk import disk_of


def explain(error: Exception, database: Database) -> str:
    """One sentence with the cause and the fix; for a full disk with the free space."""
    cause = database.cause_of(error)
    if isinstance(error, DatabaseUnavailable) and cause:
        return cause.advice  # it names the file
    return say(
        "database {database}: {cause}{space}",
        database=database.location,
        cause=cause.advice if cause else _other(error, database),
        space=_space(database, cause),
    )


def _other(error: Exception, database: Database) -> str:
    if isinstance(error, OSError):
        return say(
            "{cause}: {file}; check that the folder exists, and its owner and mode",
            cause=error.strerror,
            file=error.filename,
        )
    # A table or column that is not there: most likely the schema is not this version's.
    original = error.orig if isinstance(error, DBAPIError) else error
    return _schema_advice(database) or str(original).strip().partition("\n")[0]


def _space(database: Database, cause: Cause | None) -> str:
    if cause is None or cause.row is not table.DISK_FULL or database.file is None:
        return ""
    disk = disk_of(database.file.path)
    return say(" ({disk} on the volume of {folder})", disk=disk, folder=database.file.path.parent) if disk else ""


def _schema_advice(database: Database) -> str | None:
    try:
        return inspect_schema(database).advice()
    except (SQLAlchemyError, DatabaseUnavailable):
        return None
