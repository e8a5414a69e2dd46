"""State of the schema, and bringing it up to date. Called by ``flagee-server init-db``, ``serve`` and the health answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from contracts.text import say
from server.reasons import table
from server.storage.causes import DatabaseAbsent
from server.storage.session import Database, create_file

if TYPE_CHECKING:  # Alembic takes as long to import as all the rest; most commands never need it
    from alembic.config import Config
    from alembic.script import ScriptDirectory

State = Literal["absent", "behind", "current", "newer"]
# SQLite's user_version while parts of the file that are free still hold what a migration took away.
TO_BE_WRITTEN_AGAIN = 1
_LOCK_ID = 0x666C61676565  # PostgreSQL advisory lock: "flagee"


@dataclass(frozen=True, slots=True)
class Schema:
    """``revision`` is what the database has (None: nothing yet), ``head`` what this version of the program needs."""

    state: State
    revision: str | None
    head: str

    def advice(self) -> str | None:
        """What to do about it; None when nothing is."""
        match self.state:
            case "current":
                return None
            case "absent":
                return table.SCHEMA_ABSENT.text()
            case "behind":
                return table.SCHEMA_BEHIND.text(revision=self.revision, head=self.head)
            case "newer":
                return table.SCHEMA_NEWER.text(revision=self.revision)


class OldContentKept(Exception):
    """The schema is up to date, but the SQLite file still holds hashes of configurations in its free parts."""

    def __str__(self) -> str:
        return say(
            "the schema is up to date, but the file still holds hashes of earlier configurations, because "
            "another process uses it or the disk is full; stop flagee-server, see that the disk has room for a "
            "second copy of the file, then run flagee-server init-db again"
        )


def inspect_schema(database: Database) -> Schema:
    """Compare database and program. Raises SQLAlchemyError when the database does not answer."""
    from alembic.migration import MigrationContext

    try:
        with database.reading() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except DatabaseAbsent:
        revision = None
    return judge(revision)


def load_migrations() -> None:
    """Import Alembic and read the migrations: once, before the server forks, so that no request waits for it."""
    import_module("alembic.migration")
    _scripts().get_current_head()


def judge(revision: str | None) -> Schema:
    """What a database at this revision is for this version of the program."""
    scripts = _scripts()
    head = scripts.get_current_head() or ""
    if revision is None:
        return Schema("absent", None, head)
    if revision == head:
        return Schema("current", revision, head)
    known = {script.revision for script in scripts.walk_revisions()}
    return Schema("behind" if revision in known else "newer", revision, head)


def upgrade(database: Database, revision: str = "head") -> None:
    """Create or update the schema; one transaction, so a failure leaves what was there. Two at once: the second waits.

    What a migration took away for good is then removed from the SQLite file too. Raises OldContentKept when that cannot be done
    now: the schema is up to date, and the next call tries again.

    Another ``revision`` than the newest is for tests, which make the database of an older version with it.
    """
    from alembic import command

    create_file(database)
    with database.migrating() as connection:
        if database.backend == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK_ID)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    if database.backend == "sqlite":
        _write_again(database)


def _write_again(database: Database) -> None:
    """Leave nothing in the free parts of the file and in its log (WAL), where a migration asked for that."""
    with database.reading() as connection:
        if connection.exec_driver_sql("PRAGMA user_version").scalar_one() != TO_BE_WRITTEN_AGAIN:
            return
        try:
            connection.exec_driver_sql("VACUUM")
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        except OperationalError as error:
            raise OldContentKept from error
        if busy:
            raise OldContentKept
        connection.exec_driver_sql("PRAGMA user_version = 0")


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "server.storage:migrations")  # found in an installed package too
    return config


@cache
def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())
