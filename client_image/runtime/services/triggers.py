"""The scheduler's trigger, so that APScheduler fires when contracts.schedule says. Used by the daemon alone.

It answers in UTC on purpose: APScheduler compares next run times with its own clock, and two times of one zone compare
wrongly in a repeated hour. Give the scheduler ``timezone=datetime.UTC`` for the same reason.
"""

from __future__ import annotations

import datetime as dt

from apscheduler.triggers.base import BaseTrigger

from contracts.schedule import Plan

LOOK_BACK = dt.timedelta(days=2)


class PlanTrigger(BaseTrigger):  # type: ignore[misc]  # the library has no types
    """Fires at a plan's instants. Jitter is part of the plan; APScheduler's own is not used."""

    __slots__ = ("plan",)

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def get_next_fire_time(self, previous_fire_time: dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
        """Strictly after the previous fire, so that a late scheduler sees what it missed; the first time, after now.

        Not further back than LOOK_BACK: the library walks every missed fire, years of them when a dead clock is corrected.
        """
        return self.plan.next(max(previous_fire_time or now, now - LOOK_BACK))

    def __repr__(self) -> str:
        return f"<PlanTrigger {self.plan.cron.text!r} {self.plan.zone} +{self.plan.offset}>"
