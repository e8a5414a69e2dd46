"""Minutes into which more jobs fall than may run at once: reported by `schedule` and `config check` before it happens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from contracts.config import Job, NetworkConfig
from contracts.schedule import upcoming
from contracts.text import Text, say, some_of
from runtime.adapters.memory import memory_limit, simultaneous_runs
from runtime.adapters.state.database import FILE
from runtime.adapters.state.history import usual_seconds
from runtime.cli.text import weekday
from runtime.domain.errors import RunError
from runtime.domain.time.crowd import Crowd, crowds, in_turn
from runtime.domain.time.turns import MB
from runtime.wiring import Installation

_HOURS = 24.0
_SHOWN = 5
_NAMED = 5


def sentences(
    installation: Installation, config: NetworkConfig, jobs: Sequence[Job], hours: float = _HOURS
) -> list[str]:
    """One for each set of jobs that meet, however often they do."""
    limit, start = simultaneous_runs(config.runs_at_once), installation.clock.now()
    zone = ZoneInfo(config.timezone)
    agent = installation.agent_id if _has_state(installation) else installation.settings.agent_id
    planned = in_turn(upcoming(jobs, zone, start, hours, agent), config)
    first: dict[tuple[str, ...], Crowd] = {}
    for crowd in crowds(planned, limit, _seconds(installation)):
        first.setdefault(tuple(job.id for job in crowd.jobs), crowd)
    return [_sentence(crowd, limit, config, installation.zone) for crowd in list(first.values())[:_SHOWN]]


def _sentence(crowd: Crowd, limit: int, config: NetworkConfig, zone: dt.tzinfo) -> Text:
    why = say("by the memory of {size} MB", size=memory_limit() // MB)
    local = crowd.at.astimezone(zone)
    text = say(
        "{day} {time}: {jobs} jobs are due, {limit} run at once ({why}); {waiting} wait for their turn",
        day=weekday(local),
        time=f"{local:%H:%M %Z}",
        jobs=len(crowd.jobs),
        limit=limit,
        why="runs_at_once" if config.runs_at_once else why,
        waiting=len(crowd.jobs) - limit,
    )
    last = crowd.waits[-1]
    if last is None:
        text = say("{text}; no earlier run shows for how long", text=text)
    else:
        text = say("{text}, the last one about {seconds} s", text=text, seconds=f"{last:.0f}")
    if crowd.too_late:
        jobs = some_of(crowd.too_late, _NAMED)
        text = say("{text}; longer than the grace of {jobs}, which would not start", text=text, jobs=jobs)
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
