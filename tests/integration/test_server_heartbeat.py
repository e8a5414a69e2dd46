"""``POST /v1/heartbeat`` on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from flask import Flask
from sqlalchemy import select

from contracts.ids import uuid7
from server.storage.models import AgentReport
from tests.harness.agents import Agent, enrolled, envelope
from tests.harness.control_plane import ControlPlane, services_of


def report(instance: str = "", **more: Any) -> dict[str, Any]:
    return {"instance_id": instance or uuid7(), "clock_unix_ms": time.time_ns() // 10**6, **more}


def beat(agent: Agent, said: Any) -> tuple[int, dict[str, Any]]:
    answer = agent.post(json.dumps(said).encode(), "/v1/heartbeat")
    return answer.status_code, answer.get_json()


def test_the_answer_tells_the_time_and_when_the_next_one_is_due(agent: Agent) -> None:
    status, answer = beat(agent, report())
    assert (status, answer["interval_s"]) == (200, 30)
    assert abs(answer["server_time_unix_ms"] - time.time() * 1000) < 60_000


def test_the_answer_names_the_highest_number_that_is_stored_of_the_stream(agent: Agent) -> None:
    stream = uuid7()
    outbox = {"stream": stream.upper(), "highest_seq": 9, "waiting": 2}
    assert beat(agent, report(outbox=outbox))[1].get("highest_seq") is None
    agent.send([envelope(stream=stream, seq=7), envelope(stream=uuid7(), seq=8)])
    assert beat(agent, report(outbox=outbox))[1]["highest_seq"] == 7


def test_only_the_latest_report_is_kept(app: Flask, agent: Agent) -> None:
    instance = uuid7()
    for version in ("1", "2"):
        assert beat(agent, report(instance, version=version, colour="blue"))[0] == 200
    with services_of(app).database.reading() as connection:
        row = connection.execute(select(AgentReport.__table__)).one()
    assert (row.version, row.instance, json.loads(row.report)["colour"]) == ("2", instance, "blue")
    assert abs(row.clock_ms) < 60_000


def test_two_instances_of_one_agent_are_both_refused_until_one_is_gone(agent: Agent) -> None:
    one, other = report(), report()
    found = [beat(agent, said)[0] for said in (one, other, one, other, one)]
    assert found == [200, 200, 200, 409, 409]
    assert beat(agent, one)[1]["reason"] == "identity_in_use"
    assert beat(agent, report())[0] == 200  # one that was started again


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        "text",
        report("no uuid"),
        {**report(), "clock_unix_ms": -1},
        {**report(), "clock_unix_ms": "now"},
        {**report(), "runs": "all"},
    ],
    ids=["nothing", "a list", "a text", "another instance id", "a negative clock", "a clock in words", "runs in words"],
)
def test_what_is_no_report_is_refused(agent: Agent, said: Any) -> None:
    status, answer = beat(agent, said)
    assert (status, answer["reason"]) == (400, "body_invalid")


def test_a_report_may_be_packed(agent: Agent) -> None:
    packed: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
    for encoding, pack in packed.items():
        body = pack(json.dumps(report()).encode())
        assert agent.post(body, "/v1/heartbeat", **{"Content-Encoding": encoding}).status_code == 200
    assert agent.post(b"{}", "/v1/heartbeat", **{"Content-Encoding": "br"}).status_code == 415


def test_odd_words_and_clocks_break_nothing(app: Flask, agent: Agent) -> None:
    said = report(version="\x00" * 255, build="\x00", trouble=["\x00"])
    said["clock_unix_ms"] = 2**63 - 1
    assert beat(agent, said)[0] == 200


def test_the_lease_of_a_schedule_goes_to_one_of_two_agents_and_to_the_other_when_it_falls_silent(
    plane: ControlPlane,
) -> None:
    now = [dt.datetime.now(dt.UTC)]
    with plane.app(lambda: now[0]) as app:
        one, other, elsewhere = enrolled(plane, app), enrolled(plane, app), enrolled(plane, app, "LUA")
        said = {agent.agent_id: report(schedule="lease") for agent in (one, other, elsewhere)}

        def turn(agent: Agent, basis: str = "lease", later: float = 1.0) -> dict[str, Any]:
            now[0] += dt.timedelta(seconds=later)
            status, answer = beat(agent, {**said[agent.agent_id], "schedule": basis})
            assert status == 200
            found: dict[str, Any] = answer["schedule"]
            return found

        assert turn(one) == {"basis": "alone"}
        waiting = {"basis": "lease", "why": "unconfirmed", "agent": one.agent_id, "hostname": "proxy"}
        assert turn(other) == waiting  # the first one may start jobs until it knows of the second
        assert turn(one, "alone") == {"basis": "lease", "lease_s": 120.0}
        assert turn(other) == {**waiting, "why": "held", "own_s": 0.0}
        assert turn(one) == {"basis": "lease", "lease_s": 120.0}
        assert turn(elsewhere) == {"basis": "alone"}

        assert turn(other, later=178)["why"] == "held"
        assert turn(other) == {"basis": "lease", "lease_s": 120.0, "own_s": 60.0}
        assert turn(one)["agent"] == other.agent_id

        # Two instances of the one that has it: neither renews it, so it goes back.
        clone = report(schedule="lease")
        assert [beat(other, clone if n % 2 else said[other.agent_id])[0] for n in range(1, 5)] == [200, 200, 409, 409]
        assert turn(one, later=182)["lease_s"] == 120.0

        # A program without a schedule takes no part, and a retired agent none any more.
        assert "schedule" not in beat(one, report())[1]
        plane.must("agents", "retire", other.agent_id)
        assert turn(one, later=200)["basis"] == "alone"
