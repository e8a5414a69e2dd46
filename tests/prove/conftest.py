"""Faults on the real programs: each a few times in `make test`, more often in `make prove`, which sets PROVE_TIMES.

What was tried and what held is printed at the end, a line a fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FEW = 10
STEPS = Path(__file__).with_name("steps")


@dataclass
class Proof:
    """``times``: how often a fault is to be made. What is said with ``held`` is in the table at the end."""

    times: int
    _note: Callable[[str, object], None] = field(repr=False)

    def held(self, fault: str, times: int, what: str) -> None:
        self._note("proof", (fault, times, what))


@dataclass(frozen=True)
class Armed:
    """Steps at which a program is killed; ``environment`` is for that program."""

    folder: Path
    environment: dict[str, str]

    def at(self, step: str, *, passing: int = 0, victim: int = 0) -> None:
        """`passing`: how many times rows of the outbox are put before (steps of a run). `victim`: pid of another program that is
        killed, with its children, instead of the one that comes to the step."""
        if victim:
            (self.folder / "victim").write_text(str(victim))
        (self.folder / step).write_text(str(passing))

    def met(self, step: str) -> bool:
        return not (self.folder / step).exists()


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Proof:
    return Proof(int(os.environ.get("PROVE_TIMES") or FEW), record_property)


@pytest.fixture
def armed(tmp_path: Path) -> Armed:
    folder = tmp_path / "steps"
    folder.mkdir()
    return Armed(folder, {"PROVE_STEPS": str(folder), "PYTHONPATH": str(STEPS)})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, ())]
    rows = [value for report in reports for name, value in report.user_properties if name == "proof"]
    if not rows:
        return
    width = max(len(fault) for fault, _, _ in rows)
    terminalreporter.section("faults that were made, and what held")
    for fault, times, what in rows:
        terminalreporter.write_line(f"{fault:<{width}} {times:>6}  {what}")
