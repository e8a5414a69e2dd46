"""``GET /telemetry/history``: pages and exports of what agents delivered, on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from contracts.ids import uuid7
from server.services.telemetry import history as history_module
from tests.harness.agents import Agent, enrolled, envelope
from tests.harness.control_plane import CLIENT, ControlPlane, prepared, services_of

PATH = "/telemetry/history"
BEGINNING = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=2)


@dataclass
class Time:
    """The server's clock."""

    now: dt.datetime = field(default=BEGINNING)

    def __call__(self) -> dt.datetime:
        return self.now


@dataclass(frozen=True)
class Fleet:
    """Two agents of the network SOL and one of LUA; `sent`: ids by agent, the newest first."""

    app: Flask
    clock: Time
    token: str
    sol: tuple[Agent, Agent]
    lua: Agent

    def deliver(self, agent: Agent, *envelopes: dict[str, Any]) -> list[str]:
        """In one batch, a minute later than the one before; their ids as history has them."""
        self.clock.now += dt.timedelta(minutes=1)
        assert agent.send(list(envelopes)).get_json()["failed"] == []
        return sorted((one["envelope_id"] for one in envelopes), reverse=True)

    def get(self, path: str = PATH, **query: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.app.test_client().get(path, query_string=query, headers=headers, buffered=True)

    def ids(self, **query: Any) -> list[str]:
        answer = self.get(**query)
        assert answer.status_code == 200, answer.text
        return [item["envelope_id"] for item in answer.get_json()["items"]]

    def all_pages(self, **query: Any) -> tuple[list[str], int]:
        """Ids, and how many pages they came in."""
        found: list[str] = []
        cursor, pages = "", 0
        while True:
            answer = self.get(cursor=cursor, **query).get_json()
            found += [item["envelope_id"] for item in answer["items"]]
            cursor, pages = answer["next"], pages + 1
            if cursor is None:
                return found, pages


@pytest.fixture(params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
def fleet(plane: ControlPlane) -> Iterator[Fleet]:
    clock = Time()
    with plane.app(clock) as app:
        plane.must("operator", "add", "ana", "--role", "viewer")
        token = plane.must("operator", "token", "ana").splitlines()[-1]
        yield Fleet(app, clock, token, (enrolled(plane, app), enrolled(plane, app)), enrolled(plane, app, "LUA"))


def test_an_envelope_comes_back_as_it_was_sent_with_whose_it_is(fleet: Fleet) -> None:
    stream = uuid7()
    sent = envelope(
        body={"a": [1.50, None, "\u00e9"]}, meta={"k": "v"}, correlation_id="request-7", stream=stream, seq=3
    )
    fleet.deliver(fleet.lua, sent)
    [item] = fleet.get().get_json()["items"]
    assert {name: item[name] for name in sent} == sent
    assert (item["agent_id"], item["client"], item["network"]) == (fleet.lua.agent_id, CLIENT, "LUA")
    assert dt.datetime.fromisoformat(item["received_at"]) == fleet.clock.now


def test_filters_leave_what_is_asked_for_the_newest_first(fleet: Fleet) -> None:
    one, two = fleet.sol
    first = fleet.deliver(one, envelope("event", "noted"), envelope("event", "noted"))
    second = fleet.deliver(two, envelope("event", "other"))
    third = fleet.deliver(fleet.lua, envelope("metric", "noted"))
    fourth = fleet.deliver(one, envelope("event", "other"))
    assert fleet.ids() == fourth + third + second + first
    assert fleet.ids(agent_id=one.agent_id) == fleet.ids(agent_id=one.agent_id.upper()) == fourth + first
    assert fleet.ids(network="SOL") == fourth + second + first
    assert fleet.ids(client=CLIENT, network="LUA") == third
    assert fleet.ids(kind="event", sub="other") == fourth + second
    assert fleet.ids(kind="metric") == third
    assert fleet.ids(agent_id=one.agent_id, sub="noted") == first
    assert fleet.ids(agent_id=uuid7()) == fleet.ids(network="MAR") == []
    since = (BEGINNING + dt.timedelta(minutes=2)).isoformat()
    until = f"{(BEGINNING + dt.timedelta(minutes=4)).timestamp() * 1000:.0f}"
    assert fleet.ids(**{"from": since, "to": until}) == third + second
    assert fleet.ids(start_date=since.replace("+00:00", "Z")) == fourth + third + second
    assert fleet.ids(start_date=f"{BEGINNING:%Y-%m-%d}") == fourth + third + second + first


@pytest.mark.parametrize("few", [16, 0], ids=["agent by agent", "by time"])
def test_pages_hold_everything_once_in_its_order(fleet: Fleet, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "_FEW", few)
    monkeypatch.setattr(history_module, "_SCAN", 4)
    monkeypatch.setattr(history_module, "_STEPS", 1)
    rare: list[str] = []
    expected: list[str] = []
    for place in range(6):
        agent = (*fleet.sol, fleet.lua)[place % 3]
        rare = fleet.deliver(agent, envelope("metric", "rare")) + rare if place in (0, 4) else rare
        expected = (rare[:1] if place in (0, 4) else []) + expected
        expected = fleet.deliver(agent, *(envelope() for _ in range(3))) + expected
    assert fleet.all_pages(limit=5)[0] == fleet.all_pages(limit=1)[0] == fleet.ids(limit=1000) == expected
    found, pages = fleet.all_pages(kind="metric")
    assert found == rare
    assert pages > 2, "each page looks through a few rows only"
    sol = set(fleet.ids(network="SOL")) if few else set(fleet.all_pages(network="SOL")[0])
    assert fleet.all_pages(network="SOL", limit=2)[0] == [one for one in expected if one in sol]
    assert len(sol) == 14
    assert fleet.all_pages(network="SOL", kind="metric", limit=1)[0] == [one for one in rare if one in sol]


def test_pages_by_number_are_as_the_source_document_has_them(fleet: Fleet) -> None:
    expected: list[str] = []
    for _ in range(5):
        expected = fleet.deliver(fleet.lua, envelope()) + expected
    mine = {"agent_id": fleet.lua.agent_id, "start_date": BEGINNING.isoformat()}
    assert fleet.ids(page=0, page_size=2, **mine) == expected[:2]
    assert fleet.ids(page=2, page_size=2, **mine) == expected[4:]
    assert fleet.ids(page=3, page_size=2, **mine) == []
    assert fleet.ids(page=1, **mine) == []


def test_what_cannot_be_asked_is_refused_with_what_is_wrong(fleet: Fleet) -> None:
    for query in (
        {"kind": "rumour"},
        {"limit": 1001},
        {"page": 100, "page_size": 100},
        {"page": 0, "cursor": "x"},
        {"page": 0, "limit": 5},
        {"cursor": "x"},
        {"cursor": "WzEsMl0"},
        {"from": "yesterday"},
        {"from": "2026-01-01", "start_date": "2026-01-01"},
        {"to": "9" * 15},
        {"format": "csv"},
    ):
        answer = fleet.get(**query)
        assert (query, answer.status_code, answer.get_json()["reason"]) == (query, 400, "query_invalid")
    assert fleet.get(client="Nobody").get_json()["reason"] == "client_unknown"


def test_an_export_holds_all_in_lines_and_ends_where_it_is_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PAGE", 2)
    expected: list[str] = []
    for agent in (*fleet.sol, fleet.lua):
        expected = fleet.deliver(agent, envelope(), envelope()) + expected

    def exported(**query: Any) -> list[str]:
        answer = fleet.get(format="ndjson", **query)
        assert (answer.status_code, answer.content_type) == (200, "application/x-ndjson")
        return [json.loads(line)["envelope_id"] for line in answer.text.splitlines()]

    assert exported() == expected
    assert exported(limit=3) == expected[:3]
    assert exported(network="LUA") == expected[:2]
    assert exported(kind="metric") == []
    headers = {"Authorization": f"Bearer {fleet.token}", "Accept": "application/x-ndjson"}
    assert len(fleet.app.test_client().get(PATH, headers=headers, buffered=True).text.splitlines()) == 6


def test_two_exports_at_once_are_sent_and_a_third_is_told_when_to_come_again(fleet: Fleet) -> None:
    fleet.deliver(fleet.lua, envelope())
    headers = {"Authorization": f"Bearer {fleet.token}"}
    client = fleet.app.test_client()
    path = f"{PATH}?format=ndjson"
    first, second = (client.get(path, headers=headers, buffered=False) for _ in range(2))
    refused = client.get(path, headers=headers)
    assert (refused.status_code, refused.get_json()["reason"], refused.headers["Retry-After"]) == (
        503,
        "exports_busy",
        "10",
    )
    assert fleet.get().status_code == 200  # a page is no export
    first.close()
    third = client.get(path, headers=headers)
    assert len(third.text.splitlines()) == 1
    third.close()
    second.close()


def test_an_operator_of_another_client_finds_nothing(plane: ControlPlane, fleet: Fleet) -> None:
    fleet.deliver(fleet.lua, envelope())
    plane.must("client", "add", "Mercado Lua")
    plane.must("operator", "set", "ana", "--client", "Mercado Lua")
    assert fleet.ids() == fleet.ids(agent_id=fleet.lua.agent_id) == []
    assert fleet.get(format="ndjson").text == ""
    assert fleet.get(client=CLIENT).status_code == 404
    plane.must("operator", "set", "ana", "--client", CLIENT)
    assert len(fleet.ids()) == 1


def test_history_is_read_by_an_index_without_sorting_all(fleet: Fleet) -> None:
    """The plan of the very statement; PostgreSQL reads and sorts small tables as a whole, unless it is told not to."""
    database = services_of(fleet.app).database
    wanted = history_module.Wanted(since=BEGINNING, kind="event")
    plans: list[str] = []
    for agent in (fleet.lua.agent_id, None):
        with database.reading() as connection:
            query = history_module._scanned(wanted, None, agent).limit(10)
            sql = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
            if database.backend == "postgresql":
                connection.execute(text("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off"))
            explain = "EXPLAIN QUERY PLAN" if database.backend == "sqlite" else "EXPLAIN"
            plans.append(" ".join(map(str, connection.exec_driver_sql(f"{explain} {sql}"))))
    assert "agent_received_at" in plans[0]
    assert "received_at" in plans[1].replace("agent_received_at", "")
    for plan in plans:
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan
        assert "Seq Scan" not in plan
