"""State of the schema, and bringing it up to date. Called by ``flagee-server init-db``, ``serve`` and the health answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from server.storage.session import Database, DatabaseAbsent, create_file

if TYPE_CHECKING:  # Alembic takes as long to import as all the rest; most commands never need it
    from alembic.config import Config
    from alembic.script import ScriptDirectory

State = Literal["absent", "behind", "current", "newer"]
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
                return "the database has not been set up; run: flagee-server init-db"
            case "behind":
                return f"the database is at revision {self.revision}, this version needs {self.head}; run: flagee-server init-db"
            case "newer":
                return f"the database is at revision {self.revision}, which this version does not know; install the newer version"


def inspect_schema(database: Database) -> Schema:
    """Compare database and program. Raises SQLAlchemyError when the database does not answer."""
    from alembic.migration import MigrationContext

    scripts = _scripts()
    head = scripts.get_current_head() or ""
    try:
        with database.reading() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except DatabaseAbsent:
        revision = None
    if revision is None:
        return Schema("absent", None, head)
    if revision == head:
        return Schema("current", revision, head)
    known = {script.revision for script in scripts.walk_revisions()}
    return Schema("behind" if revision in known else "newer", revision, head)


def upgrade(database: Database, revision: str = "head") -> None:
    """Create or update the schema; one transaction, so a failure leaves what was there. Two at once: the second waits.

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


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "server.storage:migrations")  # found in an installed package too
    return config


@cache
def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())
