"""When Watchtower may update a proxy: a daily window of wall time, such as 02:00-05:00. Pure.

Called by deploy, which checks it, and by the hook that Watchtower asks. Each question is answered by the clock of that moment
alone, so a clock that is set moves only the next update.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from contracts.text import say
from contracts.walltime import wall_of

_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class UpdateWindow:
    """From ``start`` (inclusive) to ``end`` (exclusive) of every day; over midnight where the end is the earlier one."""

    start: dt.time
    end: dt.time

    @property
    def seconds(self) -> int:
        """How long it lasts on a day without a change of the zone's offset."""
        return (_seconds(self.end) - _seconds(self.start)) % _DAY

    def is_open(self, now: dt.datetime, zone: dt.tzinfo) -> bool:
        """Whether the clock on the wall shows a time inside, in either pass of a repeated hour. ``now``: aware."""
        shown = wall_of(now, zone).time()
        if self.start < self.end:
            return self.start <= shown < self.end
        return shown >= self.start or shown < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def parse_update_window(text: str) -> UpdateWindow:
    """Raises ValueError with a sentence."""
    if not _WINDOW.fullmatch(text):
        raise ValueError(say("is not a window of the day, such as 02:00-05:00"))
    start, end = text.split("-")
    window = UpdateWindow(dt.time.fromisoformat(start), dt.time.fromisoformat(end))
    if window.start == window.end:
        raise ValueError(say("begins and ends at the same time; remove the key to allow updates at any time"))
    return window


def _seconds(time: dt.time) -> int:
    return time.hour * 3600 + time.minute * 60
