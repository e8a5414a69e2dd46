"""`flagee-server agents`, `runs` and `why`: what headquarters sees, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import time
from typing import Any

from flask import Flask

from contracts.ids import uuid7
from tests.harness.agents import Agent, enrolled, envelope, story
from tests.harness.control_plane import CLIENT, ControlPlane


def shown(plane: ControlPlane, *words: str) -> Any:
    return json.loads(plane.must(*words, "--output", "json"))


def beat(agent: Agent, **more: Any) -> None:
    said = {"instance_id": uuid7(), "clock_unix_ms": time.time_ns() // 10**6, **more}
    assert agent.post(json.dumps(said).encode(), "/v1/heartbeat").status_code == 200


def tell(agent: Agent, *names: str, exit_code: int = 0, outcome: str = "changed") -> str:
    run_id = uuid7()
    parts = story(run_id, *names)
    for part in parts[1:-1]:
        part["body"].update(outcome=outcome, gates=[{"gate": "role", "allowed": True, "text": "checkout"}])
    parts[-1]["body"]["exit_code"] = exit_code
    assert agent.send(parts).get_json()["failed"] == []
    return run_id


def test_agents_are_listed_with_their_state_and_what_they_said_last(plane: ControlPlane, app: Flask) -> None:
    silent, loud = enrolled(plane, app, "LUA"), enrolled(plane, app)
    beat(loud, version="1.2", outbox={"stream": uuid7(), "highest_seq": 9, "waiting": 4}, colour="blue")
    rows = shown(plane, "agents", "--client", CLIENT)
    assert [(row["agent"], row["network"], row["state"], row["version"], row["waiting"]) for row in rows] == [
        (silent.agent_id, "LUA", "never", None, None),
        (loud.agent_id, "SOL", "online", "1.2", 4),
    ]
    found = shown(plane, "agents", "show", loud.agent_id[:30])
    assert (found["agent"]["agent"], found["report"]["colour"]) == (loud.agent_id, "blue")
    assert plane.must("agents").count("\n") == 2


def test_a_retired_agent_delivers_nothing_until_it_enrols_again(plane: ControlPlane, app: Flask) -> None:
    agent = enrolled(plane, app)
    assert shown(plane, "agents", "retire", agent.agent_id)["state"] == "retired"
    assert agent.send([envelope()]).get_json()["reason"] == "token_revoked"
    again = enrolled(plane, app, agent_id=agent.agent_id)
    beat(again)
    row = shown(plane, "agents", "show", agent.agent_id)["agent"]
    assert (row["state"], row["enrolment"]) == ("online", 2)


def test_an_agent_that_is_not_one_is_refused_with_what_to_do(plane: ControlPlane, app: Flask) -> None:
    for _ in range(2):
        enrolled(plane, app)
    for asked in ("nobody", "", "0"):
        result = plane.run("agents", "show", asked)
        assert (result.exit_code, "see: flagee-server agents" in result.stderr) == (1, True)
    assert "2 agents are meant by" in plane.run("agents", "retire", "proxy").stderr


def test_runs_of_all_proxies_are_listed_the_newest_first(plane: ControlPlane, app: Flask) -> None:
    sol, lua = enrolled(plane, app), enrolled(plane, app, "LUA")
    good, bad = tell(sol, "SOL-1", "SOL-2"), tell(lua, "LUA-1", exit_code=1, outcome="failed")
    rows = shown(plane, "runs")
    assert {row["run"] for row in rows} == {good, bad}
    assert next(row for row in rows if row["run"] == good)["outcomes"] == {"changed": 2}
    assert [row["run"] for row in shown(plane, "runs", "--failed")] == [bad]
    assert [row["network"] for row in shown(plane, "runs", "--failed", "--since", "1h")] == ["LUA"]
    assert plane.run("runs", "--client", "Nobody").exit_code == 1
    found = shown(plane, "runs", good)
    assert [host["name"] for host in found["hosts"]] == ["SOL-1", "SOL-2"]
    assert "no run has an id" in plane.run("runs", "zzz").stderr
    assert "2 changed" in plane.must("runs", good)


def test_why_tells_what_became_of_a_host_gate_by_gate(plane: ControlPlane, app: Flask) -> None:
    agent = enrolled(plane, app)
    first = tell(agent, "SOL-LOJA001-PDV201", "SOL-LOJA001-PDV202")
    second = tell(agent, "SOL-LOJA001-PDV201", outcome="unknown")
    rows = shown(plane, "why", "sol-loja001-pdv201")
    assert [(row["run"], row["outcome"]) for row in rows] == [(second, "unknown"), (first, "changed")]
    assert rows[0]["gates"] == [{"gate": "role", "allowed": True, "text": "checkout"}]
    assert [row["run"] for row in shown(plane, "why", "PDV202", "--last", "1")] == [first]
    assert len(shown(plane, "why", "10.1.1.201")) == 3
    tell(agent, "SOL-LOJA002-PDV201")
    assert "2 hosts end like" in plane.run("why", "PDV201").stderr
    assert "no agent has told of a host" in plane.run("why", "PDV999").stderr


def test_a_trace_tells_the_story_of_one_correlation_id_in_its_order(plane: ControlPlane, app: Flask) -> None:
    agent, run_id = enrolled(plane, app), uuid7()
    parts = story(run_id, "PDV1", correlation_id="request-7", stream=uuid7())
    for place, part in enumerate(parts):
        part.update(ts_unix_ms=1773489600000 + place, seq=place)
    strange = envelope(correlation_id="request-7", ts_unix_ms=2**62, body={"host": 7, "message": "\x1b[2J"})
    agent.send([strange, *reversed(parts), envelope(correlation_id="request-8")])
    steps = shown(plane, "trace", "request-7")
    assert [(step["sub"], step["what"]) for step in steps] == [
        ("run.started", "set_zone"),
        ("host", "PDV1 set_zone changed confirmed the zone is America/Sao_Paulo"),
        ("run.finished", "exit 0"),
        ("noted", r"\x1b[2J"),
    ]
    assert shown(plane, "trace", run_id) == steps
    assert shown(plane, "trace", parts[1]["envelope_id"]) == steps
    result = plane.run("trace", "request-9")
    assert (result.exit_code, "check the id" in result.stderr) == (1, True)


def test_why_shows_what_happened_last_also_where_a_backlog_came_with_the_newest_first(
    plane: ControlPlane, app: Flask
) -> None:
    agent, name = enrolled(plane, app), "SOL-LOJA001-PDV299"
    for day in (3, 2, 1):
        parts = story("", name)
        parts[1]["body"].update(finished_at=f"2026-03-0{day}T12:00:00Z", message=f"of day {day}")
        agent.send(parts)
    assert [row["message"] for row in shown(plane, "why", name)] == ["of day 3", "of day 2", "of day 1"]
    assert [row["message"] for row in shown(plane, "why", name, "--last", "1")] == ["of day 3"]
