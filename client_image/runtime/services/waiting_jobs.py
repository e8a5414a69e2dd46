"""A job as it is scheduled, and whether one that waits for its turn is still to be started. Pure; asked by the daemon's jobs."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from contracts.config import Effect, Job
from contracts.schedule import Plan
from contracts.text import say
from runtime.domain.model import Deny
from runtime.domain.schedule_lease import Lease, needs_lease
from runtime.domain.time.lateness import Drop, Start, judge
from runtime.domain.time.turns import Turn, Turns

# How far ahead of the clock a noted fire may lie: more, and it was noted by a clock that ran ahead.
CLOCK_BACK = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Active:
    """A job of the configuration as it is scheduled, at its ``place`` in the document. Equality tells whether a new
    configuration changed it."""

    job: Job
    plan: Plan
    effect: Effect
    place: int = field(default=0, compare=False)

    @property
    def needs_lease(self) -> bool:
        return needs_lease(self.effect, dry_run=self.job.dry_run)

    def verdict(self, planned: dt.datetime, now: dt.datetime) -> Start | Drop:
        local = planned.astimezone(self.plan.zone)
        return judge(self.job, self.effect, local, now, not_after=self.plan.deadline(planned))


@dataclass(frozen=True, slots=True)
class Unwanted:
    """``reason``: that of a job that was missed; empty where nothing is, as another agent or document has it."""

    reason: str
    why: str


def unwanted(
    active: Active | None, turn: Turn, turns: Turns, now: dt.datetime, lease: Lease, limit: int
) -> Unwanted | None:
    """Why a turn is not to be started any more; None while it waits. ``limit``: how many runs go on at once."""
    if active is None:
        return Unwanted("", "no such job is in force any more")
    if turn.planned > now + CLOCK_BACK:
        return Unwanted("", "the clock went back")
    if active.needs_lease and (found := _without_lease(active, turn, turns, now, lease)):
        return found
    verdict = active.verdict(turn.planned, now)
    if not isinstance(verdict, Drop):
        return None
    text = say("{why}; it waited for its turn, {limit} runs go on at once", why=verdict.message, limit=limit)
    return Unwanted(verdict.reason, text)


def _without_lease(active: Active, turn: Turn, turns: Turns, now: dt.datetime, lease: Lease) -> Unwanted | None:
    """A job that changes something is another agent's, or waited for the lease until it was too late."""
    if agent := lease.anothers(turn.planned - active.plan.offset):
        if lease.quiet():
            return Unwanted("", f"{agent} runs the schedule of this network")
        instant = f"{turn.planned.astimezone(active.plan.zone):%Y-%m-%d %H:%M:%S %Z}"
        text = say(
            "planned for {instant}, before this agent had the lease: {agent} may have run it",
            instant=instant,
            agent=agent,
        )
        return Unwanted("no_lease", text)
    denied, verdict = lease.verdict(), active.verdict(turn.planned, now)
    if not isinstance(denied, Deny):
        return None
    if isinstance(verdict, Drop):
        return Unwanted("no_lease", say("{late}; {why}", late=verdict.message, why=denied.message))
    if turns.is_followed(turn):
        return Unwanted("no_lease", say("{why}; the job came due again", why=denied.message))
    return None
