"""Output for people: styles and tables, made with rich. Loaded by :mod:`runtime.console.output` when a person is to read it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runtime.console.text import clean, hush

GAP = 2  # between two columns
LEAST = 20  # text that may be folded still reads well in so many characters, the gap to the next column included

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


def styled(outcome: str) -> Text:
    """An outcome in its colour."""
    return Text(outcome, style=STYLES.get(outcome, ""))


class Terminal(Console):
    """rich would end the process, and with it a run, when the reader of its output goes away."""

    def on_broken_pipe(self) -> None:
        hush(self.file)


def draw(console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], whole: Collection[str]) -> None:
    """A table without lines. ``whole`` as in Out.table."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = (max(cell.cell_len for cell in column) + GAP for column in zip(map(Text, columns), *cells, strict=True))
    needed = sum(width if column in whole else min(width, LEAST) for column, width in zip(columns, widths, strict=True))
    if whole and needed - GAP > console.width:
        _blocks(console, columns, cells, whole)
        return
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in cells:
        table.add_row(*row)
    if cells:
        console.print(table)


def _blocks(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]], whole: Collection[str]) -> None:
    """A line of what stays whole, and below it the rest, each with its column's name where there are several."""
    labelled = len(columns) - len(whole) > 1
    for row in rows:
        cells = [(column, cell) for column, cell in zip(columns, row, strict=True) if cell]
        console.print(Text("  ").join(cell for column, cell in cells if column in whole), soft_wrap=True)
        rest = [
            Text(f"{column}: " if labelled else "", style="dim") + cell for column, cell in cells if column not in whole
        ]
        console.print(Padding(Text("  ").join(rest), (0, 0, 0, 2)))


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else Text(clean("" if value is None else value))
