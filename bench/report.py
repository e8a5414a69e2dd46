"""How every bench shows its figures: one small table, ratios first, and the machine in the last line."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

WIDTH = 132  # of a line in a pipe
DISK = Path("/var/tmp")  # noqa: S108  # where files reach a real one; temporary folders may be in memory


def ratio(value: float) -> str:
    return f"{value:.2f}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The first column is a name, the others are figures."""
    shown = Table(box=None, header_style="dim", pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"\n[bold]{title}[/bold]")
    console.print(shown)


def machine() -> str:
    """What the figures were seen on, in one line."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, load {load}"
