"""Minutes into which more jobs fall than may run at once: said by `schedule` and `config check` before it happens."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from zoneinfo import ZoneInfo

from contracts.config import Job, NetworkConfig
from contracts.schedule import upcoming
from runtime.adapters.memory import memory_limit
from runtime.adapters.state.database import FILE
from runtime.adapters.state.history import usual_seconds
from runtime.domain.errors import RunError
from runtime.domain.time.turns import MB, runs_at_once
from runtime.wiring import Installation

_HOURS = 24.0
_SHOWN = 5
_NAMED = 5


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


def limit_of(config: NetworkConfig) -> int:
    """How many scheduled runs go on at once on this machine."""
    return config.runs_at_once or runs_at_once(memory_limit())


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


def sentences(
    installation: Installation, config: NetworkConfig, jobs: Sequence[Job], hours: float = _HOURS
) -> list[str]:
    """One for each set of jobs that meet, however often they do."""
    limit, start = limit_of(config), installation.clock.now()
    zone = ZoneInfo(config.timezone)
    agent = installation.agent_id if _has_state(installation) else installation.settings.agent_id
    planned = in_turn(upcoming(jobs, zone, start, hours, agent), config)
    first: dict[tuple[str, ...], Crowd] = {}
    for crowd in crowds(planned, limit, _seconds(installation)):
        first.setdefault(tuple(job.id for job in crowd.jobs), crowd)
    return [_sentence(crowd, limit, config, installation.zone) for crowd in list(first.values())[:_SHOWN]]


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


def _sentence(crowd: Crowd, limit: int, config: NetworkConfig, zone: dt.tzinfo) -> str:
    why = "runs_at_once" if config.runs_at_once else f"by the memory of {memory_limit() // MB} MB"
    text = f"{crowd.at.astimezone(zone):%a %H:%M %Z}: {len(crowd.jobs)} jobs are due, {limit} run at once ({why}); "
    text += f"{len(crowd.jobs) - limit} wait for their turn"
    last = crowd.waits[-1]
    text += ", for how long no earlier run tells" if last is None else f", the last one about {last:.0f} s"
    if late := crowd.too_late:
        named = ", ".join(late[:_NAMED]) + (f" and {len(late) - _NAMED} more" if len(late) > _NAMED else "")
        text += f"; longer than the grace of {named}, which would not start"
    return text


def _has_state(installation: Installation) -> bool:
    return (installation.settings.data_path / FILE).exists()


def _seconds(installation: Installation) -> Mapping[str, float]:
    """Nothing where this machine has no local state yet: a check makes none."""
    if not _has_state(installation):
        return {}
    try:
        return usual_seconds(installation.state)
    except RunError:
        return {}
