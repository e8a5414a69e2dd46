"""`flagee-server status` and `events`: the fleet at one look, and as it happens, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from contracts.ids import uuid7
from tests.harness.agents import Agent, enrolled, envelope, story
from tests.harness.control_plane import COMMAND, ControlPlane, prepared
from tests.harness.process import running, wait_until

FIRST, SECOND = "SOL-LOJA001-PDV201", "SOL-LOJA001-PDV202"


@pytest.fixture(params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
def app(plane: ControlPlane) -> Iterator[Flask]:
    with plane.app() as made:
        yield made


def beat(agent: Agent, instance: str = "", **more: Any) -> int:
    said = {"instance_id": instance or uuid7(), "clock_unix_ms": time.time_ns() // 10**6, **more}
    return agent.post(json.dumps(said).encode(), "/v1/heartbeat").status_code


def status(plane: ControlPlane, *words: str, code: int) -> dict[str, str]:
    """Text and command of each line that is not ok."""
    result = plane.run("status", *words, "--output", "json")
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    return {line["text"]: line["see"] for line in found["lines"] if line["level"] != "ok"}


def test_the_status_tells_of_agents_runs_and_events_and_ends_with_one_where_something_is_bad(
    plane: ControlPlane, app: Flask
) -> None:
    assert "no agent has enrolled yet" in status(plane, code=0)
    one, two = enrolled(plane, app), enrolled(plane, app)
    first, second = uuid7(), uuid7()
    assert [beat(one, first, schedule="lease"), beat(two, schedule="lease")] == [200, 200]
    assert status(plane, code=0) == {}
    assert "Mercado Sol/SOL (proxy)" in plane.must("status")

    parts = story("", FIRST)
    parts[-1]["body"]["exit_code"] = 1
    at = "2026-03-14T12:00:00Z"
    missed = {"job": "j", "action": "a", "reason": "too_late", "message": "m", "at": at}
    one.send([*parts, envelope("event", "job.missed", missed), envelope("event", "noted")])
    assert status(plane, code=0) == {
        "1 of 1 runs of the last 24 h ended with an error; hosts: 1 changed": "flagee-server runs --failed --since 24h",
        "a scheduled job was missed: 1 time in the last 24 h": "flagee-server events --sub job.missed",
    }
    assert [beat(one, instance) for instance in (second, first, second)] == [200, 200, 409]
    assert any(text.startswith("two instances of 1 agent") for text in status(plane, code=1))
    assert status(plane, "--client", "Mercado Sol", code=1)
    plane.must("client", "add", "Mercado Lua")
    assert list(status(plane, "--client", "Mercado Lua", code=0)) == ["no agent has enrolled yet"]
    assert plane.run("status", "--client", "nobody").exit_code == 1


def test_in_a_pipe_each_line_of_the_status_has_four_parts(plane: ControlPlane, app: Flask) -> None:
    beat(enrolled(plane, app))
    lines = plane.must("status").splitlines()
    assert {len(line.split("\t")) for line in lines} == {4}
    assert {line.split("\t")[0] for line in lines} == {"ok"}


def test_events_are_listed_by_kind_sub_network_and_host(plane: ControlPlane, app: Flask) -> None:
    one, other = enrolled(plane, app), enrolled(plane, app, "LUA")
    one.send([part | {"seq": place, "stream": STREAM} for place, part in enumerate(story("", FIRST, SECOND), 1)])
    other.send(story("", FIRST))

    def listed(*words: str) -> list[tuple[str, str]]:
        rows = json.loads(plane.must("events", *words, "--output", "json"))
        return [(row["network"], row["sub"]) for row in rows]

    host, begun, over = "host", "run.started", "run.finished"
    assert listed("--network", "SOL") == [("SOL", begun), ("SOL", host), ("SOL", host), ("SOL", over)]
    assert listed("--kind", "result", "--network", "LUA") == [("LUA", host)]
    assert sorted(listed("--sub", over)) == [("LUA", over), ("SOL", over)]
    assert sorted(listed("--host", FIRST.lower())) == [("LUA", host), ("SOL", host)]
    assert listed("--host", "pdv202") == [("SOL", host)]
    assert listed("--host", "PDV999") == listed("--network", "NONE") == []
    assert len(listed("--last", "2")) == 2
    line = plane.must("events", "--host", "PDV202").rstrip("\n").split("\t")
    assert line[1:5] == ["Mercado Sol", "SOL", "result", "host"]
    assert SECOND in line[5]


STREAM = uuid7()


def test_who_follows_sees_each_event_once_as_it_is_stored(plane: ControlPlane, app: Flask) -> None:
    agent = enrolled(plane, app)
    agent.send(story("", FIRST))
    words = ["events", "--follow", "--last", "1", "--output", "json"]
    with running(
        [*COMMAND, *words], name="events", folder=plane.folder, env=plane.environ, ready=lambda: True, within=60
    ) as child:

        def told() -> list[str]:
            lines = child.log.read_text().splitlines()
            return [json.loads(line)["sub"] for line in lines if line.startswith("{")]

        wait_until(lambda: len(told()) == 1, within=60, what="the last event")
        for number in range(3):
            agent.send([envelope("event", f"noted.{number}")])
            wait_until(lambda: f"noted.{number}" in told(), within=60, what="the event")  # noqa: B023
    assert told()[1:] == ["noted.0", "noted.1", "noted.2"]
