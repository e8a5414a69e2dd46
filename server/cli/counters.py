"""``flagee-server counters``."""

from __future__ import annotations

import click

from commandline.help import Command
from server.cli.base import working
from server.cli.output import Output, emit_rows, output_option

_COLUMNS = ("counter", "label", "value", "since")


@click.command("counters", cls=Command)
@output_option
def counters(output: Output) -> None:
    """Show counts of enrolments and refused requests. All processes of all time, added up.

    \b
    agent_enrolled     new, again, or elsewhere: a known agent_id with
                       another host name, address, network or client, or
                       while its earlier token was in use; the log has a
                       line agent_enrolled_elsewhere for each
    enrolment_refused  enrolments that were refused, by reason
    token_refused      requests whose token was refused, by reason

    A running server writes its counts every FLAGEE_LAST_USE_INTERVAL seconds, and when it ends. Reasons: docs/reasons.md.

    \b
    Example:
      flagee-server counters
    """
    with working() as services, services.database.reading() as connection:
        from server.services.counters import list_counters

        rows = list_counters(connection)
    emit_rows(rows, _COLUMNS, output)
