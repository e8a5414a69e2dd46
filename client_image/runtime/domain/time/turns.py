"""Whose turn it is when more jobs are due than may run at once. Pure; asked by the daemon's jobs.

Every run is a process of its own with its own memory, and a machine has little of it: the twenty-fifth process of one minute
took the daemon with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field

MB = 1 << 20
# Memory of one run that counts against a container's limit: measured as PSS on Python 3.11 with asyncssh, 58 MB for 24 hosts
# at once, 69 MB with full facts, 81 MB for an inventory of 5,000 hosts.
RUN_COST = 80 * MB
# For the daemon itself (76 MB), a command by hand beside it, and the pages of the local state.
RESERVE = 192 * MB
# Past this, processors and the local state's one writer are what is short.
MOST = 64


def runs_at_once(memory: int) -> int:
    """How many runs fit into so many bytes of memory; at least one, for else nothing would ever run."""
    return max(1, min(MOST, (memory - RESERVE) // RUN_COST))


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """A job that is due. Ordered by planned instant (aware), then by its place in the document."""

    planned: dt.datetime
    place: int
    job_id: str


@dataclass(slots=True)
class Turns:
    """Jobs that wait for their turn, first come first served."""

    _waiting: set[Turn] = field(default_factory=set)

    def add(self, turn: Turn) -> None:
        self._waiting = {other for other in self._waiting if not _same(other, turn)} | {turn}

    def remove(self, turn: Turn) -> None:
        self._waiting = {other for other in self._waiting if not _same(other, turn)}

    def holds(self, job_id: str, planned: dt.datetime) -> bool:
        return any(turn.job_id == job_id and turn.planned == planned for turn in self._waiting)

    def all(self) -> tuple[Turn, ...]:
        return tuple(sorted(self._waiting))

    def is_followed(self, turn: Turn) -> bool:
        """Whether the same job waits for a later instant as well."""
        return any(other.job_id == turn.job_id and other.planned > turn.planned for other in self._waiting)

    def next(self, now: dt.datetime, held: Collection[str]) -> Turn | None:
        """The first whose instant has come (again, when the clock went back). ``held``: jobs that wait for their own last run."""
        return next((turn for turn in self.all() if turn.planned <= now and turn.job_id not in held), None)


def _same(one: Turn, other: Turn) -> bool:
    return (one.job_id, one.planned) == (other.job_id, other.planned)
