"""Hands business events to StatsD and OTLP, a duty of the daemon for each.

It takes them from the local state, so that a run never waits for an address that does not answer, and a daemon that was away
still tells what happened meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import structlog

from contracts import retry
from runtime.adapters.exporters import Exporter
from runtime.adapters.state.codec import loads
from runtime.adapters.state.outbox.exports import Exported, exported, shorten, waiting_for
from runtime.adapters.state.store import State
from runtime.domain.background import in_background
from runtime.domain.export_formats import Origin, Told

BATCH = 200
IDLE_S = 5.0

log = structlog.get_logger("daemon")


class Exporting:
    """``draw``: from 0 to below 1, at random."""

    def __init__(
        self, state: State, exporter: Exporter, origin: Callable[[], Origin], draw: Callable[[], float] = random.random
    ) -> None:
        self._state, self._exporter, self._origin, self._draw = state, exporter, origin, draw
        self._failures = 0
        self._was = ""

    async def export(self) -> float:
        """One batch; seconds until the next."""
        return await in_background(self.step)

    def step(self) -> float:
        """The same, blocking."""
        sink = self._exporter.name
        with self._state.read() as connection:
            rows = waiting_for(connection, sink, BATCH)
        if not rows:
            return IDLE_S
        fate, why = self._exporter.send([_told(row) for row in rows], self._origin())
        self._tell(why)
        if fate == "again":
            self._failures += 1
            self._state.write(lambda connection: shorten(connection, sink))
            return max(IDLE_S, retry.pause(self._failures, self._draw()))
        self._failures = 0
        self._state.write(lambda connection: exported(connection, sink, rows[-1].number))
        return 0.0 if len(rows) == BATCH else IDLE_S

    def _tell(self, why: str) -> None:
        """In the log when it changes."""
        if why and not self._was:
            log.warning("export", sink=self._exporter.name, message=why)
        elif self._was and not why:
            log.info("export", sink=self._exporter.name, message="events arrive again")
        self._was = why


def _told(row: Exported) -> Told:
    body = loads(row.body)
    return Told(
        row.topic.kind, row.topic.sub, body if isinstance(body, dict) else {}, row.correlation_id, row.created_at
    )
