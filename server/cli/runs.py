"""``flagee-server runs`` and ``flagee-server why``: what proxies told of their runs."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING

import click

from commandline.help import Command
from contracts.text import joined, say
from server.cli.base import working
from server.cli.durations import Duration
from server.cli.output import Output, emit_json, emit_rows, output_option, tell

if TYPE_CHECKING:
    from server.services.runs.listing import OutcomeRow
    from server.storage.session import Reader

_RUN = ("started_at", "client", "network", "action", "origin", "hosts", "outcomes", "exit_code", "run")
_HOST = ("name", "outcome", "reason", "message")
_WHY = ("finished_at", "client", "network", "name", "action", "outcome", "reason", "message", "run")
_client = click.option("--client", "client_name", metavar="CLIENT", help="Only of this client.")


@click.command("runs", cls=Command)
@click.argument("run_id", metavar="[RUN]", required=False)
@_client
@click.option("--failed", is_flag=True, help="Only those that ended with another exit code than 0.")
@click.option("--since", type=Duration(), help="Only of the last 24h, 7d, …")
@click.option("--last", default=20, type=click.IntRange(1, 1000), show_default=True, help="How many to list.")
@output_option
def runs(
    run_id: str | None, client_name: str | None, failed: bool, since: dt.timedelta | None, last: int, output: Output
) -> None:
    """List the last runs of all proxies, or show one with all its hosts. RUN is the beginning of its id.

    \b
    Examples:
      flagee-server runs --failed --since 24h
      flagee-server runs 0198c0de
    """
    with working() as services, services.database.reading() as connection:
        from server.services.runs.listing import find_run, list_runs

        if run_id is None:
            after = services.clock() - since if since else None
            client_id = _client_id(connection, client_name)
            rows = list_runs(connection, client_id=client_id, since=after, failed=failed, most=last)
            emit_rows(rows, _RUN, output)
            return
        run, hosts = find_run(connection, run_id)
    if output == "json":
        emit_json({"run": run, "hosts": hosts})
        return
    emit_rows([run], _RUN, output)
    emit_rows(hosts, _HOST, output)


@click.command("why", cls=Command)
@click.argument("host", metavar="HOST")
@_client
@click.option("--last", default=5, type=click.IntRange(1, 100), show_default=True, help="How many runs to show.")
@output_option
def why(host: str, client_name: str | None, last: int, output: Output) -> None:
    """Show why the last runs did or did not act on HOST, gate by gate.

    HOST is a name, an address, or the end of a name that only one host has: PDV201.

    \b
    Example:
      flagee-server why SOL-LOJA001-PDV201
    """
    with working() as services, services.database.reading() as connection:
        from server.services.runs.listing import why as outcomes_of

        rows = outcomes_of(connection, host, client_id=_client_id(connection, client_name), most=last)
    if output == "json":
        emit_json(rows)
    elif not sys.stdout.isatty():
        emit_rows(rows, _WHY, output)
    else:
        for row in rows:
            _tell(row)


def _client_id(reader: Reader, name: str | None) -> int | None:
    from server.services.clients import find_client

    return None if name is None else find_client(reader, name)


def _tell(row: OutcomeRow) -> None:
    at = f"{row.finished_at:%Y-%m-%d %H:%M} UTC" if row.finished_at else "-"
    reason = f"{row.outcome} ({row.reason}: {row.detail})" if row.detail else f"{row.outcome} ({row.reason})"
    tell(joined((at, f"{row.client}/{row.network}", row.name, row.action, reason), "  "))
    tell(f"  {row.message}")
    for gate in row.gates:
        word = say("passed") if gate["allowed"] else say("refused")
        tell(joined((f"  {gate['gate']}", word, gate["text"]), "  "))
    tell(joined(("  ", say("run {run}, agent {agent}", run=row.run, agent=row.agent)), ""))
