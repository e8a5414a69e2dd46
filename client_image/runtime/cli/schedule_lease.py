"""What `doctor` and `schedule` say of the schedule's lease: whether jobs that change anything start here, and if not, why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from contracts.durations import lasting
from contracts.text import say
from runtime.domain.model import Deny
from runtime.domain.schedule_lease import Standing, SteadyTime, over_at, verdict


@dataclass(frozen=True, slots=True)
class LeaseLine:
    """``held``: jobs that change anything do not start now."""

    status: Literal["ok", "warning", "bad"]
    text: str
    advice: str = ""
    held: bool = False


def lease_line(standing: Standing | None, time: SteadyTime, zone: dt.tzinfo) -> LeaseLine | None:
    """None where no daemon has asked the control plane yet."""
    if standing is None:
        return None
    if standing.doubled:
        text = say("no job starts: {why}", why=standing.doubled)
        return LeaseLine("bad", text, held=True)
    found = verdict(standing, time)
    if not isinstance(found, Deny):
        left = over_at(standing, time)
        if left is None:
            return LeaseLine("ok", say("jobs start without a lease: no other agent works for this network"))
        text = say("this agent has the lease for {time}; other agents of this network wait", time=lasting(left))
        return LeaseLine("ok", text)
    if standing.why == "held":
        text = say("{why}; here only jobs that read start", why=found.message)
        return LeaseLine("ok", text, held=True)
    return LeaseLine(
        "warning", say("{why}; only jobs that read start", why=found.message), _advice(standing, zone), True
    )


def _advice(standing: Standing, zone: dt.tzinfo) -> str:
    if standing.why == "unconfirmed":
        return say(
            "start {agent} again; if its host is gone, at headquarters: flagee-server agents retire {id}",
            agent=standing.who,
            id=standing.agent,
        )
    if standing.told_at is None:
        return say("see whether flageemonitor-daemon runs and the control plane answers")
    return say(
        "the control plane was heard last at {time}: see whether it answers",
        time=f"{standing.told_at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}",
    )
