"""Says that the daemon lives, as long as what must not fail does its duty, and judges the clock before each row of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from runtime.adapters.state.meta import note_heartbeat
from runtime.domain.time.clock_trust import ADVICE, Suspect, Trust, Trusted
from runtime.wiring import Installation

log = structlog.get_logger("daemon")


class ClockWatch:
    """The judgement of the clock, logged when it changes: nobody must find out by jobs that are missing."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._was: type[Trust] | None = None

    async def judge(self) -> Trust:
        trust = await asyncio.to_thread(self._installation.clock_trust)
        before, self._was = self._was, type(trust)
        if before is not type(trust) and isinstance(trust, Suspect):
            text = f"{trust.why}; until it is right nothing is deleted by age and no disruptive job starts"
            log.warning("clock_suspect", message=text, advice=ADVICE)
        elif before is Suspect and isinstance(trust, Trusted):
            log.info("clock_trusted", now=trust.now.isoformat(), by=trust.by)
        return trust


class Heartbeat:
    """``vital``: says why the schedule does not run; then there is no heartbeat, and the health check sees it."""

    def __init__(self, installation: Installation, clock: ClockWatch, vital: Callable[[], str]) -> None:
        self._installation, self._clock, self._vital = installation, clock, vital
        self._started_at = installation.clock.now()

    async def beat(self) -> None:
        if trouble := self._vital():
            raise RuntimeError(trouble)
        await self._clock.judge()  # before the heartbeat: a row of a wrong clock must not become its witness
        now, state = self._installation.clock.now(), self._installation.state
        await asyncio.to_thread(note_heartbeat, state, pid=os.getpid(), started_at=self._started_at, now=now)
