"""How the CLI prints: a table on a terminal, tab-separated lines in a pipe, JSON when asked. Used by all commands."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import click

from commandline.help import lang_option
from commandline.language import shown
from contracts.text import say
from contracts.visible import is_utf8, json_text, one_line, visible

Output = Literal["table", "json"]
# Field -> what stands above it in a table for people.
_HEADINGS = {
    "action": say("action"),
    "agent": say("agent"),
    "at": say("at"),
    "client": say("client"),
    "clock_s": say("clock s"),
    "clients": say("clients"),
    "counter": say("counter"),
    "created_at": say("created at"),
    "enrolled_at": say("enrolled at"),
    "enrolment": say("enrolment"),
    "exit_code": say("exit code"),
    "expires_at": say("expires at"),
    "finished_at": say("finished at"),
    "hostname": say("host name"),
    "hosts": say("hosts"),
    "id": say("id"),
    "kind": say("kind"),
    "label": say("label"),
    "last_used_at": say("last used at"),
    "message": say("message"),
    "name": say("name"),
    "network": say("network"),
    "networks": say("networks"),
    "operator": say("operator"),
    "origin": say("by"),
    "outcome": say("outcome"),
    "outcomes": say("outcomes"),
    "reason": say("reason"),
    "role": say("role"),
    "run": say("run"),
    "scopes": say("scopes"),
    "seen_at": say("seen at"),
    "since": say("since"),
    "started_at": say("started at"),
    "state": say("state"),
    "sub": say("about"),
    "tokens": say("tokens"),
    "used_at": say("used at"),
    "value": say("value"),
    "version": say("version"),
    "waiting": say("waiting"),
    "what": say("what"),
}
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Form(click.Choice[str]):
    """``text`` is how earlier releases called the table."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert("table" if value == "text" else value, param, ctx)


def output_option(command: _Command) -> _Command:
    """``--output table|json``, passed on as ``output``."""
    option = click.option(
        "--output",
        type=_Form(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print the result.",
    )
    return option(lang_option(command))


def remark(text: str) -> None:
    """For people, beside the result: stderr, so that stdout can be piped."""
    click.echo(visible(shown(text)), err=True)


def tell(text: str) -> None:
    """The result, for people."""
    click.echo(visible(shown(text)))


def emit_json(value: Any) -> None:
    click.echo(json_text(value, default=json_plain, indent=2, ascii_only=not is_utf8(sys.stdout.encoding)))


def emit_rows(rows: Sequence[Any], columns: Sequence[str], output: Output) -> None:
    """Dataclasses as rows; ``columns`` are the fields to show."""
    if output == "json":
        emit_json([{name: getattr(row, name) for name in columns} for row in rows])
    elif not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(one_line(_text(getattr(row, name))) for name in columns))
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        console = Console()
        headings = [shown(_HEADINGS[name]) for name in columns]
        cells = [[one_line(_cell(getattr(row, name))) for name in columns] for row in rows]
        if sum(max(map(len, column)) + 2 for column in zip(headings, *cells, strict=True)) - 2 > console.width:
            headings = [heading.replace(" ", "\n") for heading in headings]
            cells = [[_broken(getattr(row, name)) for name in columns] for row in rows]
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name, heading in zip(columns, headings, strict=True):  # an id is copied, so it stays whole
            table.add_column(heading, no_wrap=name in ("id", "run", "agent") or name.endswith("_at"), overflow="fold")
        for line in cells:
            table.add_row(*map(escape, line))
        console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, Mapping):
        return ",".join(f"{number} {name}" for name, number in value.items()) or "-"
    return str(json_plain(value)) if isinstance(value, dt.datetime) else str(value)


def _cell(value: Any) -> str:
    """As :func:`_text`, so that it fits a table: times to the minute, lists that can be broken."""
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
    return _text(value).replace(",", ", ") if isinstance(value, tuple | Mapping) else _text(value)


def _broken(value: Any) -> str:
    """As :func:`_cell`, on several lines where a table is too wide."""
    cell = one_line(_cell(value))
    if isinstance(value, dt.datetime):
        return cell.replace(" ", "\n")
    return cell.replace(", ", ",\n") if isinstance(value, tuple | Mapping) else cell


def json_plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return dataclasses.asdict(value)
