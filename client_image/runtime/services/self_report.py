"""Tells the control plane how the daemon is: its health when it changes, its figures, and log lines worth keeping.

Unlike the heartbeat, which is only ever true now, these wait in the outbox until they were delivered.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from runtime.adapters.state.outbox.events import post_event, post_event_once
from runtime.adapters.state.outbox.limits import count_outbox
from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import HEALTH_CHANGED, LOG_LINE, MEASURED
from runtime.adapters.state.runs import live_runs
from runtime.adapters.state.store import State
from runtime.domain.kept_lines import KeptLines
from runtime.domain.ports import Clock

MEASURE_S = 300.0
_LETTERS, _TROUBLES = 500, 20


class HealthWatch:
    """``trouble``: duties that fail now, each as ``name: why``. Told is which duties fail, not each new reason."""

    def __init__(self, state: State, clock: Clock, trouble: Callable[[], Sequence[str]]) -> None:
        self._state, self._clock, self._trouble = state, clock, trouble

    async def check(self) -> None:
        trouble = [text[:_LETTERS] for text in self._trouble()][:_TROUBLES]
        mark = ",".join(sorted({text.partition(":")[0] for text in trouble}))
        told = {"healthy": not trouble, "trouble": trouble}
        await asyncio.to_thread(
            lambda: post_event_once(self._state, HEALTH_CHANGED, mark, told, self._clock.now(), usual="")
        )


class Measures:
    """One row of figures at a time."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock
        self._began = clock.monotonic()

    async def measure(self) -> float:
        await asyncio.to_thread(self._post)
        return MEASURE_S

    def _post(self) -> None:
        now, folder = self._clock.now(), self._state.folder
        with self._state.read() as connection:
            outbox = count_outbox(connection)
        oldest = outbox.oldest_waiting
        values = {
            "uptime_seconds": round(self._clock.monotonic() - self._began),
            "outbox_waiting_rows": outbox.waiting,
            "outbox_dead_rows": outbox.dead,
            "outbox_dropped_rows": outbox.dropped,
            "outbox_delivered_rows": outbox.delivered,
            "outbox_oldest_seconds": max(0, round((now - oldest).total_seconds())) if oldest else 0,
            "runs_at_work": len(live_runs(folder)),
            "disk_free_bytes": shutil.disk_usage(folder).free,
            "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "load_1m": round(os.getloadavg()[0], 2),
        }
        post_event(self._state, MEASURED, {"values": values}, now)


class LogLines:
    """Puts the lines that were kept since the last time into the outbox."""

    def __init__(self, state: State, clock: Clock, lines: KeptLines) -> None:
        self._state, self._clock, self._lines = state, clock, lines

    async def flush(self) -> None:
        if lines := self._lines.take():
            now = self._clock.now()
            messages = [event(LOG_LINE, line, now) for line in lines]

            def work(connection: Connection) -> None:
                put(connection, messages)

            await asyncio.to_thread(self._state.write, work)
