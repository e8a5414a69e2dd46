"""Where text goes and in which form: a table for a person, plain lines for a pipe, JSON or NDJSON on request.

Results go to stdout, everything said about the work to stderr, so that a pipe carries only data.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TextIO

from commandline.language import shown
from contracts.text import say
from contracts.visible import is_utf8, json_text, one_line, visible
from runtime.adapters.streams import forgiving, hush
from runtime.domain.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

Form = Literal["table", "lines", "json", "ndjson"]


class Out:
    """Both streams and the chosen form. ``console`` and ``notes`` write on them as rich does, for people: what is for programs
    does without rich, which takes a while to load."""

    def __init__(self, form: Form, stdout: TextIO, stderr: TextIO) -> None:
        self.form, self.stdout, self.stderr = form, stdout, stderr
        self.zone: Callable[[], dt.tzinfo] = lambda: dt.UTC  # of every time that a person reads; JSON is in UTC

    def when(self, instant: dt.datetime | None) -> str:
        """An instant as a person reads it; empty for none."""
        return "" if instant is None else f"{instant.astimezone(self.zone()):%Y-%m-%d %H:%M:%S %Z}"

    @cached_property
    def console(self) -> Console:
        return self._on(self.stdout)

    @cached_property
    def notes(self) -> Console:
        return self._on(self.stderr)

    def _on(self, stream: TextIO) -> Console:
        from runtime.cli.terminal import Terminal

        return Terminal(file=stream, highlight=False)

    def write(self, text: str) -> None:
        """Plain text to stdout, at once."""
        try:
            self.stdout.write(visible(text))
            self.stdout.flush()
        except BrokenPipeError:
            hush(self.stdout)

    def json(self, value: Any) -> None:
        indent = 2 if self.form == "json" and self.stdout.isatty() else None
        self.write(json_text(value, ascii_only=not is_utf8(self.stdout.encoding), indent=indent, default=str) + "\n")

    def say(self, text: str, style: str = "") -> None:
        """A remark for a person, on stderr."""
        from rich.text import Text

        self.notes.print(Text(one_line(shown(text)), style=style), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A remark that something deserves attention."""
        self.say(say("warning: {text}", text=text), "yellow")

    def advise(self, text: str) -> None:
        """What to do about the remark before."""
        self.say(say("  try: {advice}", advice=text))

    def ask(self, text: str) -> None:
        """A question for a person, on stderr; the answer is typed on the same line."""
        self.stderr.write(one_line(shown(text)))
        self.stderr.flush()

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        data: Sequence[Mapping[str, Any]],
        whole: Collection[str] = (),
    ) -> None:
        """Rows for a person or a pipe (tab-separated), ``data`` for JSON.

        ``whole``: columns whose words are copied or searched for, so they are never broken; where a terminal is too narrow for
        them, what is in the others goes below.
        """
        if self.form == "json":
            self.json(list(data))
        elif self.form == "ndjson":
            for item in data:
                self.json(item)
        elif self.form == "lines":
            for row in rows:
                cells = ("" if cell is None else shown(cell) if isinstance(cell, str) else cell for cell in row)
                self.write("\t".join(map(one_line, cells)) + "\n")
        else:
            from runtime.cli.terminal import draw

            draw(self.console, columns, rows, whole)

    def error(self, error: RunError) -> None:
        """What went wrong and what to do next. In a JSON form it is on stdout too, so that a program sees it."""
        if self.form in ("json", "ndjson"):
            self.json({"error": error_json(error), "exit_code": error.exit_code})
        self.explain(error)

    def explain(self, error: RunError) -> None:
        """The same for a person only."""
        from rich.text import Text

        text = Text(shown(say("error: ")), style="bold red") + Text(one_line(shown(error.message)))
        self.notes.print(text + Text(f" [{error.reason}]", style="dim"), soft_wrap=True)
        if error.advice:
            advice = Text(one_line(shown(error.advice)))
            self.notes.print(Text(shown(say("  try: ")), style="bold") + advice, soft_wrap=True)


def error_json(error: RunError) -> dict[str, Any]:
    return {"reason": error.reason, "message": error.message, "advice": error.advice or None}


def choose(asked: str | None, stdout: TextIO | None = None, stderr: TextIO | None = None) -> Out:
    """The form that was asked for; else a table on a terminal and plain lines in a pipe."""
    stdout, stderr = forgiving(stdout or sys.stdout), forgiving(stderr or sys.stderr)
    if asked in ("json", "ndjson"):
        return Out("json" if asked == "json" else "ndjson", stdout, stderr)
    if asked == "table":
        return Out("table", stdout, stderr)
    return Out("table" if stdout.isatty() else "lines", stdout, stderr)
