"""``flagee-server init-db``."""

from __future__ import annotations

import click

from commandline.help import Command
from contracts.text import say
from server.cli.base import working
from server.cli.output import Output, emit_json, output_option, tell

_MIGRATION_WAIT = 120.0  # seconds that a second init-db waits for the first


@click.command("init-db", cls=Command)
@output_option
def init_db(output: Output) -> None:
    """Create the database, or bring it up to this version. Safe to repeat; run it after every update, before serve.

    \b
    Example:
      flagee-server init-db
    """
    with working(timeout=_MIGRATION_WAIT) as services:
        from server.storage.schema import OldContentKept, inspect_schema, upgrade

        database = services.database
        before = inspect_schema(database)
        if before.state == "newer":
            raise click.ClickException(say("{database}: {advice}", database=database.location, advice=before.advice()))
        try:
            upgrade(database)
        except OldContentKept as error:
            raise click.ClickException(say("{database}: {advice}", database=database.location, advice=error)) from None
        after = inspect_schema(database)
    if output == "json":
        emit_json({"database": database.location, "before": before.revision, "revision": after.revision})
    elif before.state == "current":
        tell(say("{database} is up to date (revision {revision})", database=database.location, revision=after.revision))
    else:
        tell(say("{database} is ready (revision {revision})", database=database.location, revision=after.revision))
