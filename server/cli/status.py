"""``flagee-server status``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from commandline.help import Command
from commandline.language import shown
from contracts.text import plural, say
from contracts.visible import one_line
from server.cli.base import working
from server.cli.output import Output, emit_json, output_option

if TYPE_CHECKING:
    from server.services.fleet.status import Status

_STYLE = {"ok": "green", "warning": "yellow", "bad": "bold red"}


@click.command("status", cls=Command)
@click.option("--client", metavar="CLIENT", help="Only of this client.")
@output_option
def status(client: str | None, output: Output) -> None:
    """Is the fleet well, and what to look at first: one screen, the worst first, each line with the command that shows more.

    \b
    bad       nobody starts jobs there, or the control plane cannot do its work
    warning   something to look at
    ok        as it should be

    Exit code 0 when nothing is bad, 1 when something is. Warnings do not count.

    \b
    Examples:
      flagee-server status
      flagee-server status --client "Mercado Sol" --output json
    """
    with working() as services:
        from server.services.fleet.reading import read_status
        from server.services.fleet.status import status_of

        health, now = services.health.now(), services.clock()
        with services.database.reading() as connection:
            found = status_of(read_status(connection, health, now, client))
    if output == "json":
        emit_json({"at": now, "status": found.level, "lines": found.lines})
    else:
        _tell(found)
    sys.exit(1 if found.level == "bad" else 0)


def _tell(found: Status) -> None:
    if not sys.stdout.isatty():
        for line in found.lines:
            click.echo("\t".join(one_line(shown(part)) for part in (line.level, line.about, line.text, line.see)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(shown(_head(found)), style=_STYLE[found.level]))
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in found.lines:
        cell = Text(one_line(shown(line.text)))
        if line.see:
            cell.append(f"\n  {one_line(line.see)}", style="dim")
        table.add_row(Text(line.level, style=_STYLE[line.level]), one_line(shown(line.about)), cell)
    console.print(table)


def _head(found: Status) -> str:
    counts = {level: sum(line.level == level for line in found.lines) for level in ("bad", "warning")}
    if counts["bad"]:
        return plural("{n} thing is bad: look at it first", "{n} things are bad: look at them first", counts["bad"])
    if counts["warning"]:
        return plural(
            "The fleet works; {n} thing to look at.", "The fleet works; {n} things to look at.", counts["warning"]
        )
    return say("The fleet is well.")
