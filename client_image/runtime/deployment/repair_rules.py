"""In what condition the runtime is, and what a repair does about it: the table "Patience" of docs/deployment.md. Pure.

One observation tells little: a container in a crash loop is healthy now and then, a health check may be slow, and the wall clock
may jump. So each repair adds what it saw to a history, in seconds of the host's uptime, which does not jump.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.text import joined, say
from runtime.deployment.engine import Container, Probe

# The repair timer's interval: a container that is seen for the first time has hardly run for longer.
TIMER = dt.timedelta(minutes=5)
# A container that was started this recently has not shown yet that it stays.
YOUNG = dt.timedelta(minutes=5)
# The engine's own health check says `starting` for its start period; longer than this, the container hangs.
LONGEST_START = dt.timedelta(minutes=10)
# The same for an image without a health check.
PLAIN_START = dt.timedelta(minutes=3)
RESTARTS = 3
ATTEMPTS = 3
CONFIRMED_AFTER_S = 60.0
_COUNTED_FOR_S = 3600.0


class Condition(StrEnum):
    """Of the runtime container."""

    HEALTHY = "healthy"
    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    LOOPING = "looping"
    STOPPED = "stopped"
    MISSING = "missing"


class HealthHistory(BaseModel):
    """What repairs saw of one container. All seconds are the host's uptime; the names in the file are older than these.

    ``watched_since``: when its present start was first seen. ``restarts``: the engine's count at ``counted_at``, which is at most
    an hour ago. ``unhealthy_since``, ``healthy_since``: the first of an unbroken series of observations.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    container: str
    started_at: AwareDatetime | None = None
    watched_since: float = Field(alias="since")
    restarts: int = 0
    counted_at: float = Field(alias="counted")
    unhealthy_since: float | None = Field(None, alias="ailing")
    healthy_since: float | None = Field(None, alias="well")

    def age(self, container: Container, now: dt.datetime, uptime: float) -> dt.timedelta:
        """Time since the container's last start: by the clock, but no longer than it was watched (and one timer interval)."""
        watched = dt.timedelta(seconds=uptime - self.watched_since)
        if container.started_at is None or container.started_at > now:
            return watched
        return min(now - container.started_at, watched + TIMER)

    def healthy_for(self, uptime: float) -> dt.timedelta:
        """Time for which every observation found it healthy; it may have begun one timer interval before the first."""
        if self.healthy_since is None:
            return dt.timedelta()
        return dt.timedelta(seconds=uptime - self.healthy_since) + TIMER

    def recent_restarts(self, container: Container) -> int:
        """How often it ended and was restarted by the engine within the last hour."""
        return container.restarts - self.restarts

    def confirmed(self, uptime: float) -> bool:
        """Whether an earlier observation, at least a minute ago, already found it unhealthy."""
        return self.unhealthy_since is not None and uptime - self.unhealthy_since >= CONFIRMED_AFTER_S

    def with_condition(self, condition: Condition, uptime: float) -> HealthHistory:
        """With what the observation of this moment has found."""
        unhealthy = condition in (Condition.UNHEALTHY, Condition.LOOPING)
        healthy = condition is Condition.HEALTHY
        return self.model_copy(
            update={
                "unhealthy_since": _series(self.unhealthy_since, uptime, continues=unhealthy),
                "healthy_since": _series(self.healthy_since, uptime, continues=healthy),
            }
        )


def continue_history(
    before: HealthHistory | None, container: Container, now: dt.datetime, uptime: float
) -> HealthHistory:
    """The history up to now: a new one for another container, or after a start of the host."""
    if before is None or before.container != container.id or max(before.watched_since, before.counted_at) > uptime:
        # When the restarts of a container that has run for long happened is not known, so they do not count.
        running_for = now - container.started_at if container.started_at else dt.timedelta()
        return HealthHistory(
            container=container.id,
            started_at=container.started_at,
            watched_since=uptime,
            restarts=0 if running_for < YOUNG else container.restarts,
            counted_at=uptime,
        )
    changes: dict[str, object] = {}
    if before.started_at != container.started_at:
        changes |= {"started_at": container.started_at, "watched_since": uptime, "healthy_since": None}
    if container.restarts < before.restarts:
        changes |= {"restarts": 0, "counted_at": uptime}  # started by somebody: the engine counts from 0 again
    elif uptime - before.counted_at > _COUNTED_FOR_S:
        changes |= {"restarts": container.restarts, "counted_at": uptime}
    return before.model_copy(update=changes)


def _series(since: float | None, uptime: float, *, continues: bool) -> float | None:
    return (uptime if since is None else since) if continues else None


def classify(container: Container | None, probe: Probe | None, age: dt.timedelta, restarts: int) -> Condition:
    """``probe``: our own health check, of a running container that the engine does not call healthy. ``age``: time since its last
    start. ``restarts``: how often it ended within the last hour."""
    if container is None:
        return Condition.MISSING
    if not container.running:
        # Paused counts as unhealthy: it runs, and answers nothing.
        return _BY_STATUS.get(container.status, Condition.UNHEALTHY)
    if restarts >= RESTARTS and age < YOUNG:
        return Condition.LOOPING  # whatever it says of itself now: it has only just started again
    if container.health == "healthy" or (probe is not None and probe.code == 0):
        return Condition.HEALTHY  # the engine's own check may be too slow on a busy machine
    patience = LONGEST_START if container.health else PLAIN_START
    return Condition.UNHEALTHY if container.health == "unhealthy" or age > patience else Condition.STARTING


_BY_STATUS = {
    "restarting": Condition.LOOPING,
    "exited": Condition.STOPPED,
    "created": Condition.STOPPED,
    "dead": Condition.STOPPED,
    "removing": Condition.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a repair decides on.

    ``image_proved``: its image was healthy for long enough before. ``proved_now``: it has been so for long enough now.
    ``confirmed``: it was unhealthy before as well, or the engine has counted that it ends repeatedly. ``can_roll_back``: another
    image was healthy here. ``drift``: differences from the specification, the image included. ``attempts``: repairs within the
    last hour that count for this cause.
    """

    condition: Condition
    image_proved: bool = False
    proved_now: bool = False
    confirmed: bool = False
    can_roll_back: bool = False
    drift: tuple[str, ...] = ()
    attempts: int = 0


class Remedy(StrEnum):
    """``CREATE``: nothing runs. ``REPLACE``: through a candidate, with the image that runs, is pinned or was newly configured."""

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
class RepairDecision:
    """``why``: the beginning of a sentence for an operator."""

    remedy: Remedy
    why: str


def decide(situation: Situation) -> RepairDecision:
    """What is missing is created, what differs is replaced, what fails is helped; what has just started is left alone."""
    match situation.condition:
        case Condition.MISSING:
            return RepairDecision(Remedy.CREATE, say("the runtime container is missing"))
        case Condition.STARTING:
            return RepairDecision(Remedy.WAIT, say("the runtime is starting"))
        case Condition.HEALTHY if situation.drift:
            spent = situation.attempts >= ATTEMPTS
            return RepairDecision(Remedy.GIVE_UP if spent else Remedy.REPLACE, joined(situation.drift, "; "))
        case Condition.HEALTHY:
            newly_proved = situation.proved_now and not situation.image_proved
            return RepairDecision(Remedy.REMEMBER if newly_proved else Remedy.NOTHING, say("runs as specified"))
        case failing:
            return _decide_failing(situation, _FAILING[failing])


def cause_of(condition: Condition, drift: tuple[str, ...]) -> str:
    """What a repair acts against, as a word for the records. Differences that come back are the same cause, others another."""
    match condition:
        case Condition.HEALTHY:
            return f"drift {hashlib.sha256(repr(sorted(map(str, drift))).encode()).hexdigest()[:16]}"
        case Condition.MISSING:
            return "missing"
        case _:
            return "failing"  # one that fails is now stopped, now unhealthy


_FAILING = {
    Condition.UNHEALTHY: say("the runtime is unhealthy"),
    Condition.LOOPING: say("the runtime ends again and again"),
    Condition.STOPPED: say("the runtime is stopped"),
}


def _decide_failing(situation: Situation, what: str) -> RepairDecision:
    """An image that has not proved itself is rolled back; one that has is started again, only so often an hour."""
    stopped = situation.condition is Condition.STOPPED
    spent = situation.attempts >= ATTEMPTS
    if not situation.image_proved and situation.can_roll_back and (spent or not stopped):
        roll_back = stopped or situation.confirmed
        why = say("{what}, on an image that was never healthy for long", what=what)
        return RepairDecision(Remedy.ROLL_BACK if roll_back else Remedy.WAIT, why)
    if spent:
        why = say("{what}, and {attempts} attempts within an hour did not help", what=what, attempts=situation.attempts)
        return RepairDecision(Remedy.GIVE_UP, why)
    if situation.drift or (situation.attempts and not stopped):
        return RepairDecision(Remedy.REPLACE, what)
    return RepairDecision(Remedy.START if stopped else Remedy.RESTART, what)
