"""A proxy's delivery, stepped by a test, over a line that breaks. Called by the tests of this folder."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.adapters.state.outbox.limits import OutboxCounts, count_outbox
from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import JOB_MISSED
from runtime.adapters.state.store import State
from runtime.services.delivery import Delivery, drain
from tests.e2e.headquarters import World


class Clock:
    """The machine's clocks, moved by hand. ``ahead``: of pauses that nobody waits for. ``wrong``: of the wall's clock alone."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()
        self.wrong = dt.timedelta()

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead + self.wrong

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead.total_seconds()


@dataclass
class Line:
    """``address``: of the control plane, as this proxy knows it."""

    world: World
    address: str
    state: State
    clock: Clock
    token: Path

    def __post_init__(self) -> None:
        self.delivery = Delivery(self.state, self._connect, self.clock)
        self.generated: set[str] = set()

    def _connect(self) -> HttpControlPlane:
        url = f"{self.address}/api/ingest/bot/config"
        return HttpControlPlane(url=url, token_file=self.token, base=self.address)

    def post(self, number: int, reason: str = "late") -> set[str]:
        """Rows of what happened; their ids, once they are on disk."""
        told = {"job": "j", "action": "a", "reason": reason, "message": "m"}
        messages = [event(JOB_MISSED, told, self.clock.now()) for _ in range(number)]
        self.state.write(lambda connection: put(connection, messages))
        found = {one.id for one in messages}
        self.generated |= found
        return found

    def step(self) -> None:
        """One batch after the pause that is due before it."""
        self.clock.ahead += dt.timedelta(seconds=self.delivery.breaker.wait(self.clock.monotonic()))
        self.delivery.step()

    def drain(self) -> None:
        drain(self.delivery, self.state, self.clock)

    def counts(self) -> OutboxCounts:
        with self.state.read() as connection:
            return count_outbox(connection)

    def here(self) -> set[str]:
        with self.state.read() as connection:
            return {row[0] for row in connection.exec_driver_sql("SELECT id FROM outbox")}

    def check(self) -> set[str]:
        """Nothing is lost and nothing is stored twice; what is stored of ours."""
        stored = self.world.stored()
        assert len(stored) == len(set(stored))
        assert self.generated <= set(stored) | self.here()
        return self.generated & set(stored)


@contextlib.contextmanager
def line(world: World, folder: Path, address: str = "", token: Path | None = None) -> Iterator[Line]:
    """A proxy with its state in this folder, by default with the token of the world's."""
    clock = Clock()
    with State(folder, now=clock.now()) as state:
        yield Line(world, address or world.base, state, clock, token or world.token)
