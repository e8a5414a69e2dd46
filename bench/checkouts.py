"""This checkout and an earlier one: where their programs are, and one bench run in turns on both. Called by the benches.

An earlier checkout is a work tree with its own environment in `.venv`; `python -m bench NAME --against CHECKOUT` names it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench import report

REPOSITORY = Path(__file__).resolve().parents[1]
ROUNDS = 3
MARK = "bench-table:"
# Any revision's bench, with its tables as JSON: the earlier one knows no better way.
CAPTURE = f"""
import importlib, json, sys
from bench import report
def table(title, columns, rows):
    print({MARK!r} + json.dumps([title, list(columns), [list(row) for row in rows]]), flush=True)
report.table = table
importlib.import_module("bench." + sys.argv[1]).main()
"""

Cell = tuple[str, str, str]  # title of the table, name of the row, column


def program(checkout: Path, name: str) -> Path:
    """A console script of this checkout. Raises SystemExit where the checkout has no environment."""
    found = (Path(sys.executable).parent if checkout == REPOSITORY else checkout / ".venv/bin") / name
    if not found.exists():
        raise SystemExit(
            f"There is no {found}. An earlier checkout needs its own environment: `make setup` in it makes one."
        )
    return found


def compile_all(checkout: Path) -> None:
    """Both start with their bytecode written; else the one that ran less often looks slower."""
    folders = [
        folder
        for name in ("client_image", "commandline", "contracts", "server")
        if (folder := checkout / name).is_dir()
    ]
    command: list[str | Path] = [program(checkout, "python"), "-m", "compileall", "-q", *folders]
    subprocess.run(command, check=True, stdout=sys.stderr)


def in_turns(name: str, against: Path) -> None:
    """Run the bench of each checkout in turns; prints every figure of it as before, now, and their ratio."""
    seen: dict[Cell, dict[Path, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(ROUNDS):
        for checkout in (against, REPOSITORY) if number % 2 else (REPOSITORY, against):
            for cell, figure in _figures(name, checkout).items():
                seen[cell][checkout].append(figure)
    rows = []
    for (_, row, column), figures in seen.items():
        if len(figures) == 2:  # both have the row and the column
            before, now = (median(figures[checkout]) for checkout in (against, REPOSITORY))
            rows.append((f"{row}: {column}", f"{before:g}", f"{now:g}", report.ratio(now / before) if before else ""))
    report.table(f"{name}, medians of {ROUNDS} runs in turns", ("figure", against.name, "now", "now : before"), rows)


def _figures(name: str, checkout: Path) -> dict[Cell, float]:
    command: list[str | Path] = [program(checkout, "python"), "-c", CAPTURE, name]
    output = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {}
    for line in output.splitlines():
        if line.startswith(MARK):
            title, columns, rows = json.loads(line.removeprefix(MARK))
            for row in rows:
                for column, text in zip(columns[1:], row[1:], strict=True):
                    try:
                        found[title.split(",")[0], row[0], column] = float(text.replace(",", ""))
                    except ValueError:
                        continue  # a goal, or an empty cell
    return found
