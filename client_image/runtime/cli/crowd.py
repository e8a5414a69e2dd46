"""Minutes into which more jobs fall than may run at once: reported by `schedule` and `config check` before it happens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from contracts.config import Job, NetworkConfig
from contracts.schedule import upcoming
from contracts.text import Text, say, some_of
from runtime.adapters.memory import memory_limit, simultaneous_runs
from runtime.adapters.state.history import usual_seconds
from runtime.adapters.state.meta import agent_id
from runtime.adapters.state.store import State
from runtime.cli.text import weekday
from runtime.domain.errors import RunError
from runtime.domain.ports import Clock
from runtime.domain.time.crowd import Crowd, crowds, in_turn
from runtime.domain.time.turns import MB

_HOURS = 24.0
_SHOWN = 5
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Crowds:
    """What it takes to foresee crowds. ``state``: opens the local state, None where this machine has none yet; ``agent_id``: as
    the settings give it; ``zone``: of the sentences."""

    clock: Clock
    state: Callable[[], State] | None
    agent_id: str
    zone: Callable[[], dt.tzinfo]

    def sentences(self, config: NetworkConfig, jobs: Sequence[Job], hours: float = _HOURS) -> list[str]:
        """One for each set of jobs that meet, however often they do."""
        limit, start = simultaneous_runs(config.runs_at_once), self.clock.now()
        agent = agent_id(self.state(), self.agent_id) if self.state else self.agent_id
        planned = in_turn(upcoming(jobs, ZoneInfo(config.timezone), start, hours, agent), config)
        first: dict[tuple[str, ...], Crowd] = {}
        for crowd in crowds(planned, limit, self._usual_seconds()):
            first.setdefault(tuple(job.id for job in crowd.jobs), crowd)
        return [_sentence(crowd, limit, config, self.zone()) for crowd in list(first.values())[:_SHOWN]]

    def _usual_seconds(self) -> Mapping[str, float]:
        try:
            return usual_seconds(self.state()) if self.state else {}
        except RunError:
            return {}


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
