"""Clocks that are wrong: a proxy's, set and moved while it runs, and a terminal's.

Called by the end-to-end tests. The proxy's programs see another wall time through libfaketime; their monotonic clock, like a
real one, knows nothing of it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.need import need


@dataclass(frozen=True, slots=True)
class MovableClock:
    """`environment` makes a program see this clock. It shows the true time until it is set."""

    file: Path

    @property
    def environment(self) -> Mapping[str, Any]:
        """For the program and all that it starts."""
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        need(libraries, "libfaketime", "apt-get install faketime")
        return {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "NO_FAKE_STAT": "1",
        }

    def set_off_by(self, seconds: int) -> None:
        """From now on it shows the true time and so many seconds more."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self.file)

    def set_to(self, instant: dt.datetime) -> None:
        """From now on it goes on from this instant."""
        self.set_off_by(round((instant - dt.datetime.now(dt.UTC)).total_seconds()))


def movable_clock(folder: Path) -> MovableClock:
    """A clock that is right."""
    clock = MovableClock(folder / "clock")
    clock.set_off_by(0)
    return clock


def date_off_by(seconds: int) -> str:
    """A terminal's `date` when its clock is wrong by so much."""
    return f"#!/bin/bash\necho $(($(printf '%(%s)T' -1) + {seconds}))\n"
