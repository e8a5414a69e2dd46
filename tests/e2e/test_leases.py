"""Two proxies of one network and their control plane, each a process: one runs the schedule, and the other takes it over."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from contracts.ids import uuid7
from tests.e2e import daemon as daemons
from tests.e2e.clocks import MovableClock, movable_clock
from tests.harness.control_plane import ControlPlane, prepared
from tests.harness.process import wait_until
from tests.integration.proxy import Proxy

# Addresses that no configuration allows: every host gets an outcome, and nothing is connected.
DOCUMENT = {
    "schema_version": 2,
    "network": "SOL",
    "inventory": {"kind": "static", "hosts": [{"name": "SOL-LOJA001-PDV101", "address": "192.0.2.1"}]},
    "ssh": {"allowed_networks": ["198.51.100.0/24"]},
    "schedule": [
        {"id": "minutely", "action": "update_endpoint_timezone", "cron": "* * * * *", "selector": {"all": True}}
    ],
}


@dataclass
class World:
    plane: ControlPlane
    base: str
    clock: MovableClock
    folder: Path

    @contextlib.contextmanager
    def agent(self, name: str, agent_id: str) -> Iterator[tuple[Proxy, daemons.Daemon]]:
        bootstrap = self.plane.token("--scope", "bootstrap", "--network", "SOL")
        answer = requests.post(
            f"{self.base}/api/bootstrap/enroll",
            headers={"X-Bot-Token": bootstrap},
            json={"agent_id": agent_id, "hostname": name},
            timeout=60,
        )
        proxy = Proxy(self.folder / name, DOCUMENT)
        token = proxy.config / "token"
        token.write_text(answer.json()["token"])
        token.chmod(0o400)
        proxy.environment |= {
            "FLAGEEMONITOR_API_BASE": f"{self.base}/api/ingest",
            "FLAGEEMONITOR_REDE": "SOL",
            "FLAGEEMONITOR_AGENT_ID": agent_id,
        }
        with daemons.running(proxy, self.clock.environment) as daemon:
            yield proxy, daemon
        proxy.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    plane = prepared(tmp_path)
    plane.publish("SOL", **{name: part for name, part in DOCUMENT.items() if name not in ("schema_version", "network")})
    with plane.serving(NGINX="none", HEARTBEAT_INTERVAL="5") as (base, _):
        yield World(plane, base, movable_clock(tmp_path), tmp_path)


def planned(daemon: daemons.Daemon) -> list[str]:
    return [line["planned"] for line in daemon.events("job_started")]


def schedule_of(proxy: Proxy) -> Mapping[str, Any]:
    """The line of `doctor` about the lease."""
    checks = proxy.run("doctor", "--output", "json").json
    (line,) = [check for check in checks if check["name"] == "schedule"]
    found: Mapping[str, Any] = line
    return found


def test_one_proxy_runs_the_schedule_and_the_other_takes_it_over_when_it_is_suspended(world: World) -> None:
    with world.agent("one", uuid7()) as (_, one):
        one.wait("schedule_lease", basis="alone")
        with world.agent("two", uuid7()) as (second, two):
            two.wait("schedule_lease", why="held")
            one.wait("schedule_lease", basis="lease", why="")
            # The time is set forward: the next minute comes at once, and the lease is what it was.
            world.clock.set_off_by(90)
            one.wait("job_ended", job="minutely", outcomes={"blocked": 1})
            two.wait("job_dropped", job="minutely")
            assert planned(two) == []
            assert schedule_of(second)["status"] == "ok"
            assert "one" in schedule_of(second)["text"]
            (job,) = {row["held"] for row in second.run("schedule", "--next", "10m", "--output", "json").json}
            assert "one" in job

            # Suspended in the middle of it, as a machine that sleeps: its lease goes on running out.
            os.kill(one.child.pid, signal.SIGSTOP)
            before = planned(one)
            two.wait("schedule_lease", basis="lease", why="")
            world.clock.set_off_by(200)
            two.wait("job_started", job="minutely")
            os.kill(one.child.pid, signal.SIGCONT)
            one.wait("schedule_lease", why="held", times=1)
            one.wait("job_dropped", job="minutely")
            assert planned(one) == before
            assert not set(planned(one)) & set(planned(two))
            wait_until(
                lambda: schedule_of(second)["text"].startswith("this agent has the lease"), within=60, what="the lease"
            )


def test_two_instances_of_one_agent_start_no_job_until_one_is_gone(world: World) -> None:
    agent_id = uuid7()
    with world.agent("one", agent_id) as (proxy, one):
        one.wait("schedule_lease", basis="alone")
        copied = proxy.config / "token"
        twin = Proxy(world.folder / "twin", DOCUMENT)
        (twin.config / "token").write_text(copied.read_text())
        (twin.config / "token").chmod(0o400)
        twin.environment |= {
            name: value
            for name, value in proxy.environment.items()
            if name in ("FLAGEEMONITOR_API_BASE", "FLAGEEMONITOR_AGENT_ID")
        }
        twin.environment["FLAGEEMONITOR_REDE"] = "SOL"
        with daemons.running(twin, world.clock.environment) as other:
            for daemon in (one, other):
                daemon.wait("schedule_held")
            world.clock.set_off_by(90)
            for waiting in (proxy, twin):
                wait_until(
                    lambda here=waiting: here.rows("SELECT 1 FROM job_starts WHERE state = 'waiting'"),  # type: ignore[misc]
                    within=120,
                    what="a job that is due",
                )
            line = schedule_of(proxy)
            assert (line["status"], "two instances" in line["text"]) == ("bad", True)
            other.terminate()
            assert other.ended() == 0
        one.wait("schedule_released")
        one.wait("job_ended", job="minutely")
        twin.close()
        for daemon in (one, other):
            told = [line["event"] for line in daemon.events_of("schedule_held", "schedule_released", "job_started")]
            held = told.index("schedule_held")
            assert told[held + 1 : held + 2] in ([], ["schedule_released"])
