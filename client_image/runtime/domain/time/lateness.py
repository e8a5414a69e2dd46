"""Whether a planned run may still be started, and what becomes of one that was missed. Pure; asked by the daemon at every fire.

A fire is missed when the daemon was away, busy, or its clock was moved. A disruptive action is never run late: powering tills
off at 23:50 is a plan, at 08:10 it is an outage.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from contracts.config import Effect, Job
from contracts.text import say


@dataclass(frozen=True, slots=True)
class Start:
    """Start now. ``late``: seconds after the planned instant."""

    planned: dt.datetime
    late: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Do not start; ``reason`` is recorded: too_late, not_after, disruptive."""

    planned: dt.datetime
    reason: str
    message: str


def judge(
    job: Job, effect: Effect, planned: dt.datetime, now: dt.datetime, *, not_after: dt.datetime | None = None
) -> Start | Drop:
    """``planned``: the last planned instant that is due (aware); ``not_after``: the job's deadline for it."""
    late = (now - planned).total_seconds()
    instant = f"{planned:%Y-%m-%d %H:%M:%S %Z}"
    if not_after is not None and now >= not_after:
        return Drop(planned, "not_after", say("planned for {instant}, not to be started any more", instant=instant))
    if late <= job.grace:
        return Start(planned, max(late, 0.0))
    text = say(
        "planned for {instant}, {late} s late (grace {grace} s)", instant=instant, late=f"{late:.0f}", grace=job.grace
    )
    if effect == "disrupt":
        return Drop(planned, "disruptive", say("{late}; an action that disrupts is never run late", late=text))
    if job.missed == "once":
        return Start(planned, late)
    return Drop(planned, "too_late", text)
