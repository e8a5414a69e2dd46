"""Says that the daemon lives, as long as what must not fail does its duty, and judges the clock before each row of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from contracts.text import say
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.meta import note_heartbeat
from runtime.adapters.state.outbox.events import post_event_once
from runtime.adapters.state.outbox.topics import CLOCK_DISAGREES
from runtime.adapters.state.store import State
from runtime.domain.ports import Clock
from runtime.domain.time.clock_trust import ADVICE, Suspect, Trust, Trusted

log = structlog.get_logger("daemon")


class ClockWatch:
    """The judgement of the clock, logged when it changes: nobody must find out by jobs that are missing."""

    def __init__(self, judge: ClockJudge, state: State, clock: Clock) -> None:
        self._judge, self._state, self._clock = judge, state, clock
        self._was: type[Trust] | None = None

    async def judge(self) -> Trust:
        trust = await asyncio.to_thread(self._judge.judge)
        before, self._was = self._was, type(trust)
        if before is not type(trust) and isinstance(trust, Suspect):
            text = say("{why}; until it is right nothing is deleted by age and no disruptive job starts", why=trust.why)
            log.warning("clock_suspect", message=text, advice=ADVICE)
        elif before is Suspect and isinstance(trust, Trusted):
            log.info("clock_trusted", now=trust.now.isoformat(), by=trust.by)
        if before is not type(trust):
            await asyncio.to_thread(self._post, trust)
        return trust

    def _post(self, trust: Trust) -> None:
        told = {"trusted": isinstance(trust, Trusted), "message": trust.why}
        mark = "trusted" if isinstance(trust, Trusted) else "suspect"
        post_event_once(self._state, CLOCK_DISAGREES, mark, told, self._clock.now(), usual="trusted")


class Heartbeat:
    """``vital``: says why the schedule does not run; then there is no heartbeat, and the health check sees it."""

    def __init__(self, state: State, clock: Clock, watch: ClockWatch, vital: Callable[[], str]) -> None:
        self._state, self._clock, self._watch, self._vital = state, clock, watch, vital
        self._started_at = clock.now()

    async def beat(self) -> None:
        if trouble := self._vital():
            raise RuntimeError(trouble)
        await self._watch.judge()  # before the heartbeat: a row of a wrong clock must not become its witness
        now = self._clock.now()
        await asyncio.to_thread(note_heartbeat, self._state, pid=os.getpid(), started_at=self._started_at, now=now)
