"""Whether this agent's scheduled jobs may change anything: of several agents of a network one runs its schedule. Pure.

The control plane says it with each heartbeat. A lease counts from before the report was sent, on a clock that goes on while the
machine sleeps and that nobody can set, so that it is over here before another agent can get it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from contracts.config import Effect
from contracts.text import Text, say
from runtime.domain.model import Allow, Deny, Outcome, Reason, Verdict

if TYPE_CHECKING:  # a run by hand asks whether it needs a lease, and reads no message
    from contracts.heartbeat import Basis, Schedule

Why = Literal["", "held", "unconfirmed", "unasked"]


@dataclass(frozen=True, slots=True)
class SteadyTime:
    """An instant of the machine's start ``boot``: seconds that no suspend and no change of the time touch."""

    seconds: float
    boot: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What the control plane said last. ``until``: end of the lease, with ``boot``. ``since``: what was planned before is another
    agent's. ``why`` there is no lease, and the ``agent`` (``hostname``) that this is about; `unasked`: the control plane has not
    answered yet. ``doubled``: what it said of two instances of this agent; empty when it sees one."""

    basis: Basis
    until: float = 0.0
    boot: str = ""
    since: dt.datetime | None = None
    why: Why = ""
    agent: str = ""
    hostname: str = ""
    doubled: str = ""
    told_at: dt.datetime | None = None

    @property
    def who(self) -> str:
        return self.hostname or self.agent or say("another agent")


UNASKED = Standing("lease", why="unasked")


class Lease(Protocol):
    """The lease of this agent's schedule as the daemon's jobs ask for it."""

    def verdict(self) -> Verdict:
        """Whether what changes anything may be started now."""
        ...

    def anothers(self, fire: dt.datetime) -> str:
        """Whose a job of this cron fire is, where it is another agent's; else empty."""
        ...

    def quiet(self) -> bool:
        """Whether another agent does what is left to it here, so that nothing is missed."""
        ...


class NeedsNoLease:
    """Of an agent that has no control plane to ask."""

    def verdict(self) -> Verdict:
        return Allow()

    def anothers(self, fire: dt.datetime) -> str:
        return ""

    def quiet(self) -> bool:
        return False


def needs_lease(effect: Effect, *, dry_run: bool) -> bool:
    return effect != "read" and not dry_run


def answered(said: Schedule | None, asked: SteadyTime, now: dt.datetime) -> Standing:
    """From the answer to a report that was sent at ``asked``; ``now``: after it came. None: of one that knows no leases."""
    if said is None:
        return Standing("alone", told_at=now)
    return Standing(
        said.basis,
        until=asked.seconds + said.lease_s if said.lease_s > 0 else 0.0,
        boot=asked.boot,
        since=_since(said.own_s, now),
        why=said.why,
        agent=said.agent,
        hostname=said.hostname,
        told_at=now,
    )


def _since(own_s: float | None, now: dt.datetime) -> dt.datetime | None:
    """Later by what the answer took, never earlier."""
    try:
        return None if own_s is None else now - dt.timedelta(seconds=max(0.0, own_s))
    except OverflowError:
        return None


def verdict(standing: Standing | None, time: SteadyTime) -> Verdict:
    """Whether a scheduled job may change anything now."""
    if standing is None or standing.basis == "alone":
        return Allow()
    if standing.boot == time.boot and time.seconds < standing.until:
        return Allow()
    return Deny(Outcome.SKIPPED, Reason.NO_LEASE, without(standing), standing.why or "over")


def without(standing: Standing) -> Text:
    """Why there is no lease, in words."""
    if standing.why == "held":
        return say("the schedule of this network is run by {agent}", agent=standing.who)
    if standing.why == "unconfirmed":
        return say("{agent} may run the schedule of this network without asking the control plane", agent=standing.who)
    if standing.why == "unasked":
        return say("the control plane has not said yet whether another agent runs the schedule of this network")
    return say(
        "the lease of the schedule is over, and the control plane was not heard since; another agent may have it now"
    )


def over_at(standing: Standing, time: SteadyTime) -> float | None:
    """For how many seconds the lease still lasts; None for an agent that needs none, 0 for one that has none."""
    if standing.basis == "alone":
        return None
    return max(0.0, standing.until - time.seconds) if standing.boot == time.boot else 0.0
