"""What a proxy did is known at headquarters: the real daemon and the real control plane."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import daemon as daemons
from tests.e2e.headquarters import HOSTS, World, serving


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as found:
        yield found


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


def test_what_a_run_did_is_told_to_statsd_too_also_while_headquarters_is_away(world: World) -> None:
    world.plane.must("agents", "retire", world.agent_id)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.settimeout(120)
        port = here.getsockname()[1]
        world.proxy.environment |= {
            "FLAGEEMONITOR_STATSD": f"dogstatsd://127.0.0.1:{port}",
            "FLAGEEMONITOR_OTLP": "http://no-such-name.invalid:4318",
        }
        with daemons.running(world.proxy) as daemon:
            daemon.wait("started")
            heard = b""
            while b"event:config.applied" not in heard and b"flagee.proxy.uptime_seconds" not in heard:
                heard += here.recv(9000) + b"\n"
            world.proxy.run("test_endpoint_connection", "--host", "SOL-LOJA001-PDV101")
            while b"event:run.finished" not in heard:
                heard += here.recv(9000) + b"\n"
            daemon.wait("export", sink="otlp")
    assert b"flagee.run.hosts:1|c" in heard
