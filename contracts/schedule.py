"""When jobs run. Called by the daemon (through the trigger in adapters) and `flageemonitor-run schedule`.

A cron expression is computed on wall time in a zone, and every wall time that it names becomes one instant: in an hour that
comes twice, the first; in an hour that a jump of the clock leaves out, the first instant after the gap, where several
missing times become one fire. So a job at 02:30 or 23:30 runs once on every day, and one that runs every five minutes rests
while an hour is repeated. All instants are aware UTC.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from zoneinfo import ZoneInfo

from contracts.config import Job
from contracts.cron import Cron, CronError, parse_cron
from contracts.walltime import occurrences, wall_of

__all__ = ["Cron", "CronError", "Plan", "fires_between", "next_fire", "parse_cron", "plan_of", "upcoming"]

# 29 February on a given weekday comes at least every 40 years.
_YEARS_AHEAD = 50
_TICK = dt.timedelta(microseconds=1)


def next_fire(cron: Cron, zone: ZoneInfo, after: dt.datetime) -> dt.datetime | None:
    """The first fire strictly after an aware instant; None only at the end of the calendar."""
    return next((instant for _, instant in _fires(cron, zone, after)), None)


def fires_between(cron: Cron, zone: ZoneInfo, after: dt.datetime, until: dt.datetime) -> Iterator[dt.datetime]:
    """Every fire after ``after``, up to and including ``until``: spans that meet share no fire and lose none."""
    return takewhile(lambda instant: instant <= until, (instant for _, instant in _fires(cron, zone, after)))


@dataclass(frozen=True, slots=True)
class Plan:
    """A job's times on one proxy: the cron's fires, each ``offset`` later."""

    cron: Cron
    zone: ZoneInfo
    offset: dt.timedelta = dt.timedelta(0)
    not_after: dt.time | None = None

    def next(self, after: dt.datetime) -> dt.datetime | None:
        """The first planned instant strictly after an aware one."""
        fire = next_fire(self.cron, self.zone, after - self.offset)
        return None if fire is None else fire + self.offset

    def between(self, after: dt.datetime, until: dt.datetime) -> Iterator[dt.datetime]:
        """Planned instants after ``after``, up to and including ``until``."""
        fires = fires_between(self.cron, self.zone, after - self.offset, until - self.offset)
        return (fire + self.offset for fire in fires)

    def deadline(self, planned: dt.datetime) -> dt.datetime | None:
        """The instant from which the run planned for ``planned`` starts no further host; None without ``not_after``.

        It is the first ``not_after`` at or after the wall time that the cron names, before the offset: a run that the
        offset, or a late start, carries past it starts nothing. Where that wall time comes twice, the first counts.
        """
        if self.not_after is None:
            return None
        # The fire's own wall time, not the clock's: after a gap the clock already shows more than the cron said.
        wall = next((wall for wall, _ in _fires(self.cron, self.zone, planned - self.offset - _TICK)), None)
        if wall is None:
            return None
        day = wall.date() if self.not_after >= wall.time() else wall.date() + dt.timedelta(days=1)
        return occurrences(dt.datetime.combine(day, self.not_after), self.zone)[0]


def plan_of(job: Job, zone: ZoneInfo, agent_id: str) -> Plan:
    """The plan of a job of the document; ``zone`` is the network's, the job's own goes first. Raises CronError.

    Jitter is a fixed offset for each (agent, job), from 0 to ``job.jitter`` whole seconds. Proxies spread over the time, yet
    each job keeps its distance from run to run, `schedule` shows the real times, and a restart draws no second run.
    """
    own = ZoneInfo(job.timezone) if job.timezone else zone
    return Plan(parse_cron(job.cron), own, _offset(agent_id, job.id, job.jitter), job.not_after)


def upcoming(
    jobs: Iterable[Job], zone: ZoneInfo, start: dt.datetime, hours: float, agent_id: str = ""
) -> list[tuple[dt.datetime, Job]]:
    """What the enabled jobs would start in the hours after ``start``, in order of time, then of job id."""
    until = start + dt.timedelta(hours=hours)
    plans = ((plan_of(job, zone, agent_id), job) for job in jobs if job.enabled)
    planned = [(instant, job) for plan, job in plans for instant in plan.between(start, until)]
    return sorted(planned, key=lambda entry: (entry[0], entry[1].id))


def _offset(agent_id: str, job_id: str, jitter: int) -> dt.timedelta:
    digest = hashlib.blake2b(f"{agent_id}:{job_id}".encode(), digest_size=8).digest()
    return dt.timedelta(seconds=int.from_bytes(digest) * (jitter + 1) >> 64)


def _fires(cron: Cron, zone: ZoneInfo, after: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """Wall time and instant of every fire strictly after an instant. Instants never go back as wall times go on."""
    latest = after.astimezone(dt.UTC)
    for wall in _walls(cron, wall_of(latest, zone)):
        instant = occurrences(wall, zone)[0]
        if instant > latest:
            latest = instant
            yield wall, instant


def _walls(cron: Cron, start: dt.datetime) -> Iterator[dt.datetime]:
    """Wall times that the expression names, from ``start`` on."""
    day = start.date()
    last = min(day.year + _YEARS_AHEAD, dt.MAXYEAR - 1)
    while day.year <= last:
        if day.month not in cron.months:
            day = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
            continue
        if cron.on(day):
            walls = (dt.datetime.combine(day, dt.time(hour, minute)) for hour in cron.hours for minute in cron.minutes)
            yield from (wall for wall in walls if wall >= start)
        day += dt.timedelta(days=1)
