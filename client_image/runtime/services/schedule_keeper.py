"""Knows by what this agent's jobs start: what the control plane said last, kept in the local state for runs and people.

Told by :mod:`runtime.services.status_report`, from its own thread; asked by the daemon's jobs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable

import structlog

from contracts.heartbeat import Basis, Schedule
from runtime.adapters.boot import steady_time
from runtime.adapters.state.schedule_lease import note_standing, read_standing
from runtime.adapters.state.starts import any_started
from runtime.adapters.state.store import State
from runtime.domain.errors import RunError
from runtime.domain.model import Deny, Verdict
from runtime.domain.ports import Clock
from runtime.domain.schedule_lease import UNASKED, Standing, SteadyTime, answered, verdict

log = structlog.get_logger("jobs")


class ScheduleKeeper:
    """``enrolled``: whether there is a control plane to ask. An agent that has one, and never started a job, waits for its first
    answer: it may have come to a network that another agent works for."""

    def __init__(
        self, state: State, clock: Clock, *, enrolled: bool, time: Callable[[], SteadyTime] = steady_time
    ) -> None:
        self._state, self._clock, self._time = state, clock, time
        known = read_standing(state)
        if known is None or known.why == "unasked":
            known = UNASKED if enrolled and not any_started(state) else Standing("alone")
            with contextlib.suppress(RunError):  # a full disk; this process knows it all the same
                note_standing(state, known)
        self.standing = known

    @property
    def basis(self) -> Basis:
        return self.standing.basis

    def now(self) -> SteadyTime:
        """To be taken before a report is sent."""
        return self._time()

    def verdict(self) -> Verdict:
        return verdict(self.standing, self._time())

    def anothers(self, fire: dt.datetime) -> str:
        known = self.standing
        return known.who if known.since is not None and fire <= known.since else ""

    def quiet(self) -> bool:
        return self.standing.why == "held"

    def heard(self, said: Schedule | None, asked: SteadyTime) -> None:
        self._keep(answered(said, asked, self._clock.now()))

    def refused(self) -> None:
        """By a control plane that will not say: of an earlier release, or to a token that is no agent's own."""
        if self.standing.why == "unasked":
            self._keep(Standing("alone", told_at=self._clock.now()))

    def doubled(self, why: str) -> None:
        """Two instances of this agent are at work."""
        self._keep(dataclasses.replace(self.standing, doubled=why))

    def _keep(self, standing: Standing) -> None:
        before, self.standing = self.standing, standing
        note_standing(self._state, standing)
        if (before.basis, before.why, before.agent) != (standing.basis, standing.why, standing.agent):
            found = verdict(standing, self._time())
            message = found.message if isinstance(found, Deny) else ""
            log.info("schedule_lease", basis=standing.basis, why=standing.why, agent=standing.agent, message=message)
