"""``flagee-server trace``."""

from __future__ import annotations

import click

from commandline.help import Command
from server.cli.base import working
from server.cli.output import Output, emit_rows, output_option

_COLUMNS = ("at", "client", "network", "kind", "sub", "what", "agent")


@click.command("trace", cls=Command)
@click.argument("identity", metavar="ID")
@click.option("--last", default=1000, type=click.IntRange(1, 10_000), show_default=True, help="How many lines at most.")
@output_option
def trace(identity: str, last: int, output: Output) -> None:
    """Tell what proxies told under one correlation id, in the order in which it happened.

    ID is a correlation id, as logs and answers have it, or the whole id of a run or of an envelope.

    \b
    Example:
      flagee-server trace 0198c0de-0000-7000-8000-000000000001
    """
    with working() as services, services.database.reading() as connection:
        from server.services.telemetry.tracing import trace as steps_of

        rows = steps_of(connection, identity, last)
    emit_rows(rows, _COLUMNS, output)
