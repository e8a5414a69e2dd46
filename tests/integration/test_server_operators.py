"""Operators and what they see of agents over HTTP, on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from contracts.ids import uuid7
from server.storage.models import OperatorToken
from tests.harness.agents import Agent, enrolled, envelope
from tests.harness.control_plane import CLIENT, ControlPlane, services_of

OTHER = "Mercado Lua"
PATHS = ("/agents/status", "/v1/workers", "/v1/workers/health")


@dataclass
class Time:
    """The server's clock."""

    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def app(plane: ControlPlane, clock: Time) -> Iterator[Flask]:
    with plane.app(clock) as made:
        yield made


def operator(plane: ControlPlane, name: str = "ana", *options: str, role: str = "viewer") -> str:
    """The token of a new operator."""
    plane.must("operator", "add", name, "--role", role, *options)
    return plane.must("operator", "token", name).splitlines()[-1]


def get(app: Flask, token: str, path: str = PATHS[0], /, **query: Any) -> TestResponse:
    return app.test_client().get(path, query_string=query, headers={"Authorization": f"Bearer {token}"})


def beat(agent: Agent, **more: Any) -> None:
    said = {"instance_id": uuid7(), "clock_unix_ms": time.time_ns() // 10**6, **more}
    assert agent.post(json.dumps(said).encode(), "/v1/heartbeat").status_code == 200


def test_neither_kind_of_token_does_what_the_other_can(plane: ControlPlane, app: Flask) -> None:
    agent, token = enrolled(plane, app), operator(plane, role="operator")
    everything = plane.token("--scope", "bootstrap", "--scope", "config", "--scope", "ingest", "--scope", "commands")
    for path in PATHS:
        for wrong in (agent.token, everything, "nothing"):
            assert (get(app, wrong, path).status_code, get(app, wrong, path).get_json()["reason"]) == (
                403,
                "operator_required",
            )
        assert get(app, token, path).status_code == 200
    asked = Agent(app, agent.agent_id, token)
    assert asked.send([envelope()]).get_json()["reason"] == "agent_required"
    assert asked.post(b"{}", "/v1/heartbeat").get_json()["reason"] == "agent_required"
    for path in ("/api/ingest/bot/config", "/api/bootstrap/install.sh"):
        answer = app.test_client().get(path, headers={"X-Bot-Token": token, "Accept": "application/json"})
        assert (answer.status_code, answer.get_json()["reason"]) == (403, "scope_missing")


def test_a_token_ends_with_itself_and_with_its_operator(plane: ControlPlane, app: Flask) -> None:
    first = operator(plane)
    second = plane.must("operator", "token", "ana", "--expires", "1h").splitlines()[-1]
    assert get(app, first).status_code == get(app, second).status_code == 200
    plane.must("operator", "revoke", first.split(".")[1])
    assert (get(app, first).status_code, get(app, second).status_code) == (403, 200)
    plane.must("operator", "remove", "ana")
    assert get(app, second).get_json()["reason"] == "token_revoked"
    assert get(app, first[:-1] + "!").get_json()["reason"] == "token_unknown"
    assert app.test_client().get(PATHS[0]).get_json()["reason"] == "token_missing"
    rows = json.loads(plane.must("operator", "tokens", "ana", "--output", "json"))
    assert [row["state"] for row in rows] == ["revoked", "revoked"]


def test_the_last_use_of_a_token_is_kept(plane: ControlPlane, app: Flask, clock: Time) -> None:
    token = operator(plane)
    get(app, token)
    services = services_of(app)
    services.last_use_of_operators.flush()
    with services.database.reading() as connection:
        assert connection.scalar(select(OperatorToken.last_used_at)) == clock.now


def test_an_operator_of_one_client_sees_nothing_of_another(plane: ControlPlane, app: Flask) -> None:
    plane.must("client", "add", OTHER)
    mine = enrolled(plane, app)
    other = operator(plane, "rui", "--client", OTHER)
    token = operator(plane, "ana", "--client", CLIENT)
    assert [one["agent_id"] for one in get(app, token).get_json()["agents"]] == [mine.agent_id]
    assert [one["worker_id"] for one in get(app, token, PATHS[1], state="never").get_json()] == [mine.agent_id]
    assert get(app, other).get_json()["agents"] == get(app, other, agent_id=mine.agent_id).get_json()["agents"] == []
    assert get(app, other, PATHS[2]).get_json()["counts"]["never"] == 0
    refused = get(app, other, client=CLIENT).get_json()
    assert (refused["status"], refused["reason"]) == (404, "client_unknown")
    assert {**refused, "correlation_id": ""} == {
        **json.loads(get(app, other, client="Nobody").text.replace("Nobody", CLIENT)),
        "correlation_id": "",
    }
    plane.must("operator", "set", "rui", "--all-clients")
    assert len(get(app, other).get_json()["agents"]) == 1


def test_states_follow_from_how_long_an_agent_was_silent(plane: ControlPlane, app: Flask, clock: Time) -> None:
    token, never, gone, loud = operator(plane), enrolled(plane, app), enrolled(plane, app), enrolled(plane, app, "LUA")
    plane.must("agents", "retire", gone.agent_id)
    beat(loud, version="1.2", outbox={"stream": uuid7(), "highest_seq": 9, "waiting": 4, "oldest_s": 8}, runs=["r"])

    def state_after(seconds: int) -> tuple[str, str]:
        clock.now += dt.timedelta(seconds=seconds)
        found = get(app, token, agent_id=loud.agent_id).get_json()["agents"][0]["state"]
        return found, get(app, token, PATHS[2], network="LUA").get_json()["status"]

    found = [state_after(seconds) for seconds in (0, 59, 1, 239, 1)]
    assert found == [
        ("online", "ok"),
        ("online", "ok"),
        ("late", "degraded"),
        ("late", "degraded"),
        ("offline", "down"),
    ]
    clock.now -= dt.timedelta(seconds=300)
    answer = get(app, token).get_json()
    assert answer["counts"] == {"never": 1, "online": 1, "late": 0, "offline": 0, "retired": 1}
    [shown] = [one for one in answer["agents"] if one["agent_id"] == loud.agent_id]
    assert (
        shown["client"],
        shown["network"],
        shown["version"],
        shown["waiting"],
        shown["oldest_s"],
        shown["running"],
    ) == (
        CLIENT,
        "LUA",
        "1.2",
        4,
        8,
        1,
    )
    assert [one["worker_id"] for one in get(app, token, PATHS[1]).get_json()] == [loud.agent_id]
    chosen = get(app, token, state="never,retired").get_json()["agents"]
    assert {one["agent_id"] for one in chosen} == {never.agent_id, gone.agent_id}


def test_the_fleets_health_names_what_is_silent_and_what_is_in_trouble(
    plane: ControlPlane, app: Flask, clock: Time
) -> None:
    token, silent, loud = operator(plane), enrolled(plane, app), enrolled(plane, app)
    beat(silent, version="1.1")
    clock.now += dt.timedelta(minutes=6)
    beat(
        loud, version="1.2", trouble=["the clock is wrong"], outbox={"stream": uuid7(), "highest_seq": 1, "waiting": 3}
    )
    found = get(app, token, PATHS[2]).get_json()
    assert (found["status"], found["waiting"], found["trouble"], found["versions"]) == ("degraded", 3, 1, {"1.2": 1})
    assert [(one["agent_id"], one["state"], one["silent_s"]) for one in found["silent"]] == [
        (silent.agent_id, "offline", 360)
    ]


def test_pages_hold_every_agent_once(plane: ControlPlane, app: Flask) -> None:
    token, agents = operator(plane), {enrolled(plane, app).agent_id for _ in range(5)}
    found: list[str] = []
    cursor = ""
    while True:
        page = get(app, token, limit=2, cursor=cursor).get_json()
        found += [one["agent_id"] for one in page["agents"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert (len(found), set(found)) == (5, agents)
    answer = get(app, token, PATHS[1], limit=2, state="never")
    assert len(answer.get_json()) == 2
    assert len(get(app, token, PATHS[1], cursor=answer.headers["X-Next-Cursor"], state="never").get_json()) == 3


def test_a_query_that_cannot_be_used_is_refused_with_what_is_wrong(plane: ControlPlane, app: Flask) -> None:
    token = operator(plane)
    for query in (
        *("limit=0", "limit=x", "limit=1&limit=2", "state=asleep", "colour=blue", "client=%00"),
        f"network={'x' * 600}",
    ):
        answer = app.test_client().get(f"{PATHS[0]}?{query}", headers={"Authorization": f"Bearer {token}"})
        assert (query, answer.status_code, answer.get_json()["reason"]) == (query, 400, "query_invalid")


def test_commands_say_what_they_did_and_refuse_what_makes_no_sense(plane: ControlPlane) -> None:
    assert "next: flagee-server operator token ana" in plane.must("operator", "add", "ana", "--role", "viewer")
    assert plane.must("operator", "list").split("\t")[:4] == ["ana", "viewer", "all", "0"]
    assert "operator\tall" in plane.must("operator", "set", "ana", "--role", "operator")
    assert plane.run("operator", "set", "ana").exit_code == 2
    assert plane.run("operator", "set", "ana", "--all-clients", "--client", CLIENT).exit_code == 2
    assert plane.run("operator", "add", "rui", "--role", "admin").exit_code == 2
    for command in (("token", "rui"), ("remove", "rui"), ("tokens", "rui"), ("revoke", "0")):
        assert plane.run("operator", *command).exit_code == 1
    shown = json.loads(plane.must("operator", "token", "ana", "--output", "json"))
    assert shown["token"].split(".")[:2] == ["fo1", shown["id"]]
    assert "1 token has ended" in plane.must("operator", "remove", "ana")
