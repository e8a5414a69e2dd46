"""Where text goes and in which form: a table for a person, plain lines for a pipe, JSON or NDJSON on request.

Results go to stdout, everything said about the work to stderr, so that a pipe carries only data.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.core.errors import RunError

Form = Literal["table", "lines", "json", "ndjson"]

# C0 and C1 controls, and the characters that reorder text: a host's name or answer must not drive the operator's terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

STYLES: Mapping[str, str] = {
    "ok": "green",
    "changed": "bold green",
    "would_change": "cyan",
    "skipped": "yellow",
    "blocked": "bold red",
    "unreachable": "red",
    "failed": "bold red",
    "unknown": "bold magenta",
    "cancelled": "dim",
}


def clean(text: object) -> str:
    """Text from a host or an inventory, safe for a terminal and on one line."""
    return _CONTROL.sub("?", str(text).replace("\n", " ").replace("\t", " "))


def styled(outcome: str) -> Text:
    return Text(outcome, style=STYLES.get(outcome, ""))


@dataclass(frozen=True, slots=True)
class Out:
    """Both streams and the chosen form."""

    form: Form
    stdout: TextIO
    stderr: TextIO

    @property
    def console(self) -> Console:
        return Console(file=self.stdout, highlight=False, soft_wrap=False)

    @property
    def notes(self) -> Console:
        return Console(file=self.stderr, highlight=False)

    def json(self, value: Any) -> None:
        indent = 2 if self.form == "json" and self.stdout.isatty() else None
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent, default=str) + "\n")
        self.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """A remark for a person, on stderr."""
        self.notes.print(Text(clean(text), style=style), soft_wrap=True)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], data: Sequence[Mapping[str, Any]]
    ) -> None:
        """Rows for a person or a pipe (tab-separated), ``data`` for JSON."""
        if self.form == "json":
            self.json(list(data))
        elif self.form == "ndjson":
            for item in data:
                self.json(item)
        elif self.form == "lines":
            for row in rows:
                self.stdout.write("\t".join(clean(cell) if cell is not None else "" for cell in row) + "\n")
        else:
            table = Table(box=None, header_style="bold", pad_edge=False)
            for column in columns:
                table.add_column(column, overflow="fold")
            for row in rows:
                table.add_row(
                    *(cell if isinstance(cell, Text) else Text(clean("" if cell is None else cell)) for cell in row)
                )
            self.console.print(table)

    def error(self, error: RunError) -> None:
        """What went wrong and what to do next. In a JSON form it is on stdout too, so that a program sees it."""
        if self.form in ("json", "ndjson"):
            body = {"reason": error.reason, "message": error.message, "advice": error.advice or None}
            self.json({"error": body, "exit_code": error.exit_code})
        text = Text("error: ", style="bold red") + Text(clean(error.message)) + Text(f" [{error.reason}]", style="dim")
        self.notes.print(text, soft_wrap=True)
        if error.advice:
            self.notes.print(Text("  try: ", style="bold") + Text(clean(error.advice)), soft_wrap=True)


def choose(asked: str | None, stdout: TextIO | None = None, stderr: TextIO | None = None) -> Out:
    """The form that was asked for; else a table on a terminal and plain lines in a pipe."""
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr
    if asked in ("json", "ndjson"):
        return Out("json" if asked == "json" else "ndjson", stdout, stderr)
    if asked == "table":
        return Out("table", stdout, stderr)
    return Out("table" if stdout.isatty() else "lines", stdout, stderr)
