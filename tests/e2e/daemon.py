"""A running `flageemonitor-daemon` of a proxy, known by what it logs. Called by the end-to-end tests."""

import contextlib
import datetime as dt
import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.adapters.state.meta import note_job_fire
from runtime.adapters.state.store import State
from tests.e2e.held_programs import WAIT_S
from tests.e2e.plane import PROGRAMS
from tests.harness import process
from tests.harness.process import wait_until
from tests.integration.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Daemon:
    """One process; the runs that it starts are others."""

    child: process.Child

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Its log lines of this event with these fields, in order."""
        lines = [json.loads(line) for line in self.child.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event and fields.items() <= line.items()]

    def events_of(self, *names: str) -> list[dict[str, Any]]:
        """Its log lines of these events, in order."""
        lines = [json.loads(line) for line in self.child.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") in names]

    def wait(self, event: str, *, times: int = 1, **fields: Any) -> dict[str, Any]:
        """The last such line, as soon as there are so many."""

        def found() -> list[dict[str, Any]]:
            return self.events(event, **fields)

        with contextlib.suppress(process.NotReadyError):
            wait_until(lambda: len(found()) >= times or not self.child.alive(), within=WAIT_S, what=event)
        assert len(found()) >= times, f"no {event} {fields} in\n{self.child.log_tail(30)}"
        return found()[-1]

    def terminate(self) -> None:
        """Ask it to stop; see `ended`."""
        os.kill(self.child.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word, and nothing else."""
        os.kill(self.child.pid, signal.SIGKILL)
        self.ended()

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        wait_until(lambda: not self.child.alive(), within=WAIT_S, what="end of the daemon")
        return self.child.stop()


@contextlib.contextmanager
def starting(proxy: Proxy, environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """The daemon on this proxy's folders; `environment` adds to the proxy's own."""
    child = process.start(
        [PROGRAMS / "flageemonitor-daemon"],
        name=f"daemon-{os.urandom(3).hex()}",
        folder=proxy.data.parent,
        env={**proxy.environment, **(environment or {})},
    )
    try:
        yield Daemon(child)
    finally:
        child.stop()


@contextlib.contextmanager
def running(proxy: Proxy, environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """The same, once it has reported its start."""
    with starting(proxy, environment) as daemon:
        daemon.wait("started")
        yield daemon


def minutes_ago(minutes: int) -> dt.datetime:
    """A whole minute, in UTC."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)).replace(second=0, microsecond=0)


def daily(job_id: str, action: str, at: dt.datetime, **parts: Any) -> dict[str, Any]:
    """A job of the schedule that is planned for this minute of every day."""
    cron = f"{at.minute} {at.hour} * * *"
    return {"id": job_id, "action": action, "cron": cron, "timezone": "UTC", "selector": {"all": True}, **parts}


def seen(proxy: Proxy, *job_ids: str) -> None:
    """Make these jobs known to the proxy as if it had passed their moment of yesterday; what came due since was missed."""
    now = dt.datetime.now(dt.UTC)
    with State(proxy.data, now=now) as state:
        for job_id in job_ids:
            note_job_fire(state, job_id, now - dt.timedelta(hours=23))
