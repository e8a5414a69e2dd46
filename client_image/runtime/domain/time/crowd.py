"""Minutes into which more jobs fall than may run at once, and how long each would wait for its turn. Pure."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from contracts.config import Job, NetworkConfig


@dataclass(frozen=True, slots=True)
class Crowd:
    """``jobs`` are due in the minute of ``at`` (aware), in the order of their turns; ``waits``: seconds until the turn of each,
    None where no earlier run tells how long one takes."""

    at: dt.datetime
    jobs: tuple[Job, ...]
    waits: tuple[float | None, ...]

    @property
    def too_late(self) -> tuple[str, ...]:
        """Jobs whose turn would come after their grace."""
        pairs = zip(self.jobs, self.waits, strict=True)
        return tuple(job.id for job, wait in pairs if wait is not None and wait > job.grace)


def in_turn(planned: Iterable[tuple[dt.datetime, Job]], config: NetworkConfig) -> list[tuple[dt.datetime, Job]]:
    """In the order in which the daemon gives turns: by planned instant, then by place in the document."""
    place = {job.id: number for number, job in enumerate(config.schedule)}
    return sorted(planned, key=lambda entry: (entry[0], place[entry[1].id]))


def crowds(planned: Sequence[tuple[dt.datetime, Job]], limit: int, seconds: Mapping[str, float]) -> Iterator[Crowd]:
    """``planned``: in order of time; ``seconds``: what a run of each job usually takes."""
    for minute, entries in groupby(planned, key=lambda entry: entry[0].replace(second=0, microsecond=0)):
        jobs = tuple(job for _, job in entries)
        if len(jobs) > limit:
            yield Crowd(minute, jobs, tuple(_waits(jobs, limit, seconds)))


def _waits(jobs: Sequence[Job], limit: int, seconds: Mapping[str, float]) -> Iterator[float | None]:
    """Each takes the first place that becomes free. A job that never ran counts as the mean of the others."""
    known = [seconds[job.id] for job in jobs if job.id in seconds]
    mean = sum(known) / len(known) if known else None
    free = [0.0] * limit
    for job in jobs:
        if mean is None:
            yield None
            continue
        begins = heapq.heappop(free)
        heapq.heappush(free, begins + seconds.get(job.id, mean))
        yield begins
