"""Output for people: styles and tables, made with rich. Loaded by :mod:`runtime.cli.output` when a person is to read it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from commandline.language import shown
from contracts.visible import one_line, visible
from runtime.adapters.streams import hush

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
    """Whatever it is given to print, only its own styles and movements reach the terminal as what they are."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """rich would end the process, and with it a run, when the reader of its output goes away."""
        hush(self.file)


def draw(console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], whole: Collection[str]) -> None:
    """A table without lines. ``whole`` as in Out.table."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    whole = {shown(column) for column in whole}
    columns = [shown(column) for column in columns]
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
    """A line of what stays whole, and below it the rest, each with its column's name where there are several. A bare number means
    nothing without that name."""
    labelled = len(columns) - len(whole) > 1
    for row in rows:
        cells = [(column, cell) for column, cell in zip(columns, row, strict=True) if cell]
        console.print(
            Text("  ").join(_numbered(column, cell) for column, cell in cells if column in whole), soft_wrap=True
        )
        rest = [
            Text(f"{column}: " if labelled else "", style="dim") + cell for column, cell in cells if column not in whole
        ]
        console.print(Padding(Text("  ").join(rest), (0, 0, 0, 2)))


def _numbered(column: str, cell: Text) -> Text:
    return Text(f"{column}: ", style="dim") + cell if cell.plain.isdigit() else cell


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return Text(one_line("" if value is None else shown(value) if isinstance(value, str) else value))
