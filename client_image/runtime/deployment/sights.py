"""What repairs have seen of the runtime container, one after another: how long it has been up, and whether it keeps ending. Pure.

A single look tells little: a container that crash-loops is healthy now and then, one health check may be slow, and the wall clock
may jump. So each repair notes what it saw, by the host's uptime, which does not jump.
"""

from __future__ import annotations

import datetime as dt

from pydantic import AwareDatetime, BaseModel, ConfigDict

from runtime.deployment.facts import Condition, Container

# The timer comes this often, so a container has hardly been there for longer before it was seen first.
TIMER = dt.timedelta(minutes=5)
YOUNG = dt.timedelta(minutes=5)
CONFIRMED_AFTER_S = 60.0
_COUNTED_FOR_S = 3600.0


class Sight(BaseModel):
    """Of one container. All numbers of seconds are the host's uptime.

    ``since``: first look at its present start. ``restarts``: the engine's count at ``counted``, at most an hour ago.
    ``ailing``, ``well``: since when every look has found it so.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    container: str
    started_at: AwareDatetime | None = None
    since: float
    restarts: int = 0
    counted: float
    ailing: float | None = None
    well: float | None = None


def seen_again(before: Sight | None, container: Container, now: dt.datetime, uptime: float) -> Sight:
    """What is known with this look."""
    if before is None or before.container != container.id or max(before.since, before.counted) > uptime:
        # Of one that runs for long, nobody knows when the engine counted what it did.
        counted = 0 if _wall_age(container, now) < YOUNG else container.restarts
        return Sight(
            container=container.id,
            started_at=container.started_at,
            since=uptime,
            restarts=counted,
            counted=uptime,
        )
    changes: dict[str, object] = {}
    if before.started_at != container.started_at:
        changes |= {"started_at": container.started_at, "since": uptime, "well": None}
    if container.restarts < before.restarts:
        changes |= {"restarts": 0, "counted": uptime}  # started by somebody: the engine counts anew
    elif uptime - before.counted > _COUNTED_FOR_S:
        changes |= {"restarts": container.restarts, "counted": uptime}
    return before.model_copy(update=changes)


def found(sight: Sight, what: Condition, uptime: float) -> Sight:
    """With what this look has found."""
    return sight.model_copy(
        update={
            "ailing": _since(sight.ailing, uptime, what in (Condition.UNHEALTHY, Condition.LOOPING)),
            "well": _since(sight.well, uptime, what is Condition.HEALTHY),
        }
    )


def age(sight: Sight, container: Container, now: dt.datetime, uptime: float) -> dt.timedelta:
    """How long it has been up at least since its last start: what the clock says, as far as it was also watched."""
    watched = dt.timedelta(seconds=uptime - sight.since)
    if container.started_at is None or container.started_at > now:
        return watched
    return min(now - container.started_at, watched + TIMER)


def well(sight: Sight, uptime: float) -> dt.timedelta:
    """For how long every look has found it healthy; as with the age, that may have begun a while before the first."""
    return dt.timedelta(seconds=uptime - sight.well) + TIMER if sight.well is not None else dt.timedelta()


def restarted(sight: Sight, container: Container) -> int:
    """How often it ended by itself within the last hour."""
    return container.restarts - sight.restarts


def confirmed(sight: Sight, uptime: float) -> bool:
    """Whether a look before this one, and not just before, has found it ailing too."""
    return sight.ailing is not None and uptime - sight.ailing >= CONFIRMED_AFTER_S


def _since(before: float | None, uptime: float, so: bool) -> float | None:
    return (uptime if before is None else before) if so else None


def _wall_age(container: Container, now: dt.datetime) -> dt.timedelta:
    return now - container.started_at if container.started_at else dt.timedelta()
