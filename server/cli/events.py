"""``flagee-server events``."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from commandline.help import Command
from commandline.language import shown
from contracts.visible import is_utf8, json_text, one_line
from server.cli.base import working
from server.cli.durations import Duration
from server.cli.output import Output, emit_json, emit_rows, json_plain, output_option

if TYPE_CHECKING:
    from server.services.fleet.events import Event

_COLUMNS = ("at", "client", "network", "kind", "sub", "what", "agent")
_ON_TERMINAL = ("at", "client", "network", "sub", "what")
_POLL_S: Final = 1.0


@click.command("events", cls=Command)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--kind", type=click.Choice(["metric", "event", "detection", "heartbeat", "result"]), help="Only of this kind."
)
@click.option("--sub", metavar="SUB", help="Only about this: host, run.finished, job.missed, …")
@click.option("--client", metavar="CLIENT", help="Only of this client.")
@click.option("--network", metavar="NETWORK", help="Only of networks with this code.")
@click.option("--host", metavar="HOST", help="Only results of this host: a name, an address, or the end of a name.")
@click.option("--since", type=Duration(), default="24h", show_default=True, help="Only of the last 24h, 7d, …")
@click.option("--last", default=20, type=click.IntRange(0, 1000), show_default=True, help="How many to begin with.")
@output_option
def events(
    follow: bool,
    kind: str | None,
    sub: str | None,
    client: str | None,
    network: str | None,
    host: str | None,
    since: dt.timedelta,
    last: int,
    output: Output,
) -> None:
    """List what proxies told, the newest last: results of hosts, runs, missed jobs, configurations, updates.

    With --follow new ones are shown as they are stored, one a line; with --output json as one JSON object a line.

    \b
    Examples:
      flagee-server events --follow
      flagee-server events --follow --kind result --network SOL
      flagee-server events --sub job.missed --since 7d --output json
    """
    with working() as services:
        from server.services.fleet.events import Events, Filter

        told = Events(services.database, Filter(client, network, kind, sub, host))
        if follow:
            told.begin(services.clock())
        found = told.last(last, services.clock() - since) if last else []
        if not follow:
            _list(found, output)
            return
        try:
            while not _reader_left():
                _show(found, output)
                time.sleep(_POLL_S)
                found = told.news(services.clock())
        except KeyboardInterrupt:
            sys.exit(0)
        except BrokenPipeError:  # the reader left while it was written to
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _list(found: Sequence[Event], output: Output) -> None:
    if output == "json":
        emit_json(found)
    else:
        emit_rows(found, _ON_TERMINAL if sys.stdout.isatty() else _COLUMNS, output)


def _reader_left() -> bool:
    """Whether nobody reads the pipe any more, which else only the next event would show."""
    import io
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLERR)
        return any(found & (select.POLLERR | select.POLLHUP) for _, found in poll.poll(0))
    except (io.UnsupportedOperation, OSError):
        return False


def _show(found: Sequence[Event], output: Output) -> None:
    """A line each; a reader of the pipe has them at once."""
    for one in found:
        if output == "json":
            click.echo(json_text(one, default=json_plain, ascii_only=not is_utf8(sys.stdout.encoding)))
        elif sys.stdout.isatty():
            at = f"{one.at:%H:%M:%S}"
            click.echo(one_line(shown(f"{at}  {one.client}/{one.network}  {one.kind} {one.sub}  {one.what}")))
        else:
            cells = (f"{one.at:%Y-%m-%dT%H:%M:%SZ}", one.client, one.network, one.kind, one.sub, one.what, one.agent)
            click.echo("\t".join(map(one_line, cells)))
    sys.stdout.flush()
