"""What a repair does about what it sees. Pure: a situation goes in, one act and its reason come out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from runtime.deployment.facts import Condition, Container, Probe
from runtime.deployment.records import ATTEMPTS
from runtime.deployment.sights import YOUNG

# An engine's own health check says `starting` for as long as its start period; longer than this, it hangs.
LONGEST_START = dt.timedelta(minutes=10)
# Without a health check in the image, a container may need so long.
PLAIN_START = dt.timedelta(minutes=3)
RESTARTS = 3


class Act(StrEnum):
    """``REPLACE``: through a candidate, on the image that runs (or the pinned one). ``CREATE``: nothing is there to lose."""

    NOTHING = "nothing"
    REMEMBER = "remember"
    WAIT = "wait"
    CREATE = "create"
    START = "start"
    RESTART = "restart"
    REPLACE = "replace"
    ROLL_BACK = "roll_back"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Situation:
    """``proved``: its image was healthy for long enough before. ``lasting``: it is so now. ``others``: another image was healthy,
    so that there is one to go back to. ``confirmed``: it was found ailing before, or the engine has counted that it ends again
    and again. ``attempts``: repairs of the last hour. ``drift``: differences from the specification, the image included."""

    condition: Condition
    proved: bool = False
    lasting: bool = False
    confirmed: bool = False
    others: bool = False
    drift: tuple[str, ...] = ()
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    act: Act
    why: str


def condition(container: Container | None, probe: Probe | None, age: dt.timedelta, restarted: int) -> Condition:
    """``probe``: our own, of a running container of which the engine's health check says nothing good. ``age``: of its present
    start. ``restarted``: how often it ended by itself lately."""
    if container is None:
        return Condition.MISSING
    if container.status == "running":
        return _of_running(container, probe, age, restarted)
    # Paused is none of these: it runs, and answers nobody.
    return _BY_STATUS.get(container.status, Condition.UNHEALTHY)


def _of_running(container: Container, probe: Probe | None, age: dt.timedelta, restarted: int) -> Condition:
    if restarted >= RESTARTS and age < YOUNG:
        return Condition.LOOPING  # just begun again; what it says of itself now will not last
    if container.health == "healthy" or (probe is not None and probe.code == 0):
        return Condition.HEALTHY  # the engine's own check is short of time on a busy machine
    patience = LONGEST_START if container.health else PLAIN_START
    return Condition.UNHEALTHY if container.health == "unhealthy" or age > patience else Condition.STARTING


def decide(situation: Situation) -> Plan:
    """What is missing is made, what differs is replaced, what ails is helped; what just starts is left alone."""
    match situation.condition:
        case Condition.MISSING:
            return Plan(Act.CREATE, "the runtime container is missing")
        case Condition.STARTING:
            return Plan(Act.WAIT, "the runtime is starting")
        case Condition.HEALTHY if situation.drift:
            spent = situation.attempts >= ATTEMPTS
            return Plan(Act.GIVE_UP if spent else Act.REPLACE, "; ".join(situation.drift))
        case Condition.HEALTHY:
            worth = situation.lasting and not situation.proved
            return Plan(Act.REMEMBER if worth else Act.NOTHING, "runs as specified")
        case _:
            return _help(situation, _SAID[situation.condition])


def _help(situation: Situation, said: str) -> Plan:
    """An image that has not proved itself is left; one that has gets another chance, but only so often an hour."""
    stopped = situation.condition is Condition.STOPPED
    spent = situation.attempts >= ATTEMPTS
    if not situation.proved and situation.others and (spent or not stopped):
        if stopped or situation.confirmed:
            return Plan(Act.ROLL_BACK, f"{said}, on an image that was never healthy for long")
        return Plan(Act.WAIT, f"{said}, on an image that was never healthy for long")
    if spent:
        return Plan(Act.GIVE_UP, f"{said}, and {situation.attempts} attempts within an hour did not help")
    if situation.drift or (situation.attempts and not stopped):
        return Plan(Act.REPLACE, said)
    return Plan(Act.START if stopped else Act.RESTART, said)


_BY_STATUS = {
    "restarting": Condition.LOOPING,
    "exited": Condition.STOPPED,
    "created": Condition.STOPPED,
    "dead": Condition.STOPPED,
    "removing": Condition.STOPPED,
}
_SAID = {
    Condition.UNHEALTHY: "the runtime is unhealthy",
    Condition.LOOPING: "the runtime ends again and again",
    Condition.STOPPED: "the runtime is stopped",
}
