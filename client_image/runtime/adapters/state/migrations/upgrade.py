"""Runs the steps on the connection that the caller opened, inside its transaction. Called when the schema is not at HEAD.

The steps are listed here and handed to Alembic as modules: it would load them as files by their path, which a protected image
does not allow, and what is not listed is not run.
"""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script.base import Script, ScriptDirectory
from alembic.script.revision import RevisionMap
from sqlalchemy import Connection

from runtime.adapters.state.migrations.versions import (
    v0001_initial,
    v0002_why_a_run_had_no_host,
    v0003_who_asked_and_what_was_missing,
    v0004_identity,
    v0005_what_was_started,
    v0006_recognised,
    v0007_outbox_delivery,
    v0008_deliveries,
    v0009_sentences,
    v0010_exports,
)

# Every step, the first one first.
STEPS = (
    v0001_initial,
    v0002_why_a_run_had_no_host,
    v0003_who_asked_and_what_was_missing,
    v0004_identity,
    v0005_what_was_started,
    v0006_recognised,
    v0007_outbox_delivery,
    v0008_deliveries,
    v0009_sentences,
    v0010_exports,
)


def steps() -> ScriptDirectory:
    """The steps as Alembic's own kind of list."""
    directory = ScriptDirectory(str(Path(__file__).parent))
    directory.revision_map = RevisionMap(lambda: (Script(step, step.revision, str(step.__file__)) for step in STEPS))
    return directory


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the schema to HEAD, or to an earlier step."""
    known = steps()
    environment = EnvironmentContext(Config(), known, fn=lambda revision, _: known._upgrade_revs(to, revision))
    with environment:
        environment.configure(connection=connection)
        environment.run_migrations()
