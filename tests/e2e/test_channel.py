"""What a proxy did is known at headquarters: the real daemon, the real control plane, and kills in between."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from contracts.ids import uuid7
from tests.e2e import daemon as daemons
from tests.harness.control_plane import ControlPlane, prepared
from tests.harness.process import wait_until
from tests.integration.proxy import Proxy

# Addresses that no configuration allows: every host gets an outcome, and nothing is connected.
HOSTS = [{"name": f"SOL-LOJA001-PDV{number}", "address": f"192.0.2.{number}"} for number in range(101, 141)]
DOCUMENT = {
    "schema_version": 2,
    "network": "SOL",
    "inventory": {"kind": "static", "hosts": HOSTS},
    "ssh": {"allowed_networks": ["198.51.100.0/24"]},
}


@dataclass
class World:
    plane: ControlPlane
    proxy: Proxy
    agent_id: str

    def shown(self, *words: str) -> Any:
        return json.loads(self.plane.must(*words, "--output", "json"))

    def made(self) -> set[str]:
        """Ids of all that the proxy's outbox holds."""
        return {row[0] for row in self.proxy.rows("SELECT id FROM outbox")}

    def stored(self) -> list[str]:
        """Ids of all that the control plane has, as often as it has them."""
        with contextlib.closing(sqlite3.connect(self.plane.folder / "flagee.db")) as database:
            return [row[0] for row in database.execute("SELECT envelope_id FROM envelopes")]

    def until(self, found: Callable[[], bool], what: str) -> None:
        wait_until(found, within=120, what=what)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    plane = prepared(tmp_path)
    plane.publish("SOL", **{name: part for name, part in DOCUMENT.items() if name not in ("schema_version", "network")})
    with plane.serving(NGINX="none") as (base, _):
        agent_id = uuid7()
        bootstrap = plane.token("--scope", "bootstrap", "--network", "SOL")
        answer = requests.post(
            f"{base}/api/bootstrap/enroll",
            headers={"X-Bot-Token": bootstrap},
            json={"agent_id": agent_id, "hostname": "proxy"},
            timeout=30,
        )
        proxy = Proxy(tmp_path / "proxy", DOCUMENT)
        token = proxy.config / "token"
        token.write_text(answer.json()["token"])
        token.chmod(0o400)
        proxy.environment |= {
            "FLAGEEMONITOR_API_BASE": f"{base}/api/ingest",
            "FLAGEEMONITOR_REDE": "SOL",
            "FLAGEEMONITOR_AGENT_ID": agent_id,
        }
        yield World(plane, proxy, agent_id)
        proxy.close()


def test_the_daemon_delivers_what_was_done_and_says_how_the_proxy_is(world: World) -> None:
    said = world.proxy.run("test_endpoint_connection", "--all", "--output", "json")
    assert {one["outcome"] for one in said.json["hosts"]} == {"blocked"}
    assert world.proxy.run("outbox", "--output", "json").json["counts"]["waiting"] == len(HOSTS) + 2
    with daemons.running(world.proxy) as daemon:
        world.until(lambda: len(world.shown("runs")) == 1, "a run at headquarters")
        world.until(lambda: world.shown("agents")[0]["state"] == "online", "a heartbeat")
        daemon.wait("delivery", state="ok")
        world.until(
            lambda: world.proxy.run("outbox", "--output", "json").json["counts"]["waiting"] == 0, "an empty outbox"
        )
        checks = world.proxy.run("doctor", "--output", "json").json
    [run] = world.shown("runs")
    assert (run["run"], run["exit_code"], run["outcomes"]) == (said.json["run"]["run_id"], 1, {"blocked": len(HOSTS)})
    [why] = world.shown("why", "PDV101")
    assert why["reason"] == said.result("SOL-LOJA001-PDV101")["reason"]
    assert why["gates"] == said.result("SOL-LOJA001-PDV101")["gates"]
    assert next(check for check in checks if check["name"] == "outbox")["status"] == "ok"
    report = world.shown("agents", "show", world.agent_id)["report"]
    assert (report["outbox"].get("dead", 0), report["breakers"]) == (0, {"ingest": "closed"})


def test_a_daemon_that_cannot_deliver_says_so_and_goes_on(world: World) -> None:
    world.plane.must("agents", "retire", world.agent_id)
    world.proxy.run("test_endpoint_connection", "--host", "SOL-LOJA001-PDV101")
    with daemons.running(world.proxy) as daemon:
        daemon.wait("delivery", state="refused")
        daemon.wait("status_report")
        checks = world.proxy.run("doctor", "--output", "json").json
        outbox = next(check for check in checks if check["name"] == "outbox")
        assert (outbox["status"], "was revoked" in outbox["text"]) == ("warning", True)
        assert outbox["advice"]
        assert world.proxy.run("outbox").code == 1
        assert world.proxy.run("test_endpoint_connection", "--host", "SOL-LOJA001-PDV102").code == 1
        assert next(check for check in checks if check["name"] == "daemon")["status"] == "ok"
    assert world.stored() == []


def test_whenever_the_sender_is_killed_everything_arrives_once(world: World) -> None:
    for _ in range(12):
        world.proxy.run("test_endpoint_connection", "--all")
    made, chance = world.made(), random.Random(7)
    for _ in range(10):
        going = world.proxy.start("outbox", "--drain")
        time.sleep(chance.uniform(0.3, 1.5))
        going.process.kill()
        going.process.wait()
        stored = world.stored()
        assert len(stored) == len(set(stored))
        assert made <= {str_of(one) for one in stored} | world.made()
        end_leases(world.proxy)
    assert world.proxy.run("outbox", "--drain").code == 0
    assert {str_of(one) for one in world.stored()} == made
    assert world.made() == set()


def str_of(hexadecimal: str) -> str:
    """An id as SQLite has it, with its dashes."""
    text = hexadecimal.replace("-", "")
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def end_leases(proxy: Proxy) -> None:
    """As three minutes would: whoever held a batch is dead."""
    with contextlib.closing(sqlite3.connect(proxy.data / "state.db", isolation_level=None)) as database:
        database.execute("UPDATE outbox SET leased_by = NULL, leased_until = NULL")
