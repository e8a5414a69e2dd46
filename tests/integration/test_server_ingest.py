"""``POST /v1/ingest`` on SQLite and PostgreSQL: every envelope is stored once, and each that is not is named with the reason."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import json
import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from flask import Flask
from sqlalchemy import func, select

from contracts.ids import uuid7
from server.storage.models import Envelope, Outcome, Run, Stream
from tests.harness.agents import Agent, enrolled, envelope, story
from tests.harness.control_plane import CLIENT, ControlPlane, services_of

FOLDER = Path(__file__).parents[1] / "contract" / "channel"
EXAMPLES: list[dict[str, Any]] = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
HOSTILE: list[dict[str, Any]] = json.loads((FOLDER / "hostile.json").read_text(encoding="utf-8"))
# The examples' ids are of this day.
THEN = dt.datetime(2025, 3, 17, 12, tzinfo=dt.UTC)


def stored(app: Flask) -> list[str]:
    with services_of(app).database.reading() as connection:
        return [str(found) for found in connection.scalars(select(Envelope.envelope_id).order_by(Envelope.envelope_id))]


def test_a_batch_is_stored_and_a_second_time_everything_is_a_duplicate(app: Flask, agent: Agent) -> None:
    batch = [envelope() for _ in range(7)]
    answer = agent.send(batch)
    assert answer.status_code == 200
    assert {**answer.get_json(), "server_version": ""} == {
        "received": 7,
        "stored": 7,
        "failed": [],
        "server_version": "",
    }
    again = agent.send(batch).get_json()
    assert (again["stored"], [one["error"] for one in again["failed"]]) == (0, ["duplicate"] * 7)
    assert stored(app) == sorted(one["envelope_id"] for one in batch)


def test_what_comes_is_kept_as_it_came(app: Flask, agent: Agent) -> None:
    body = {"text": "Olá \U0001f600 \x00", "number": 1.5e300, "nothing": None}
    sent = envelope(body=body, meta={"a": "b\x00"}, correlation_id="c-1", stream=uuid7(), seq=4, schema_version=3)
    assert agent.send([sent]).get_json()["stored"] == 1
    with services_of(app).database.reading() as connection:
        row = connection.execute(select(Envelope.__table__)).one()
    assert (json.loads(row.body), json.loads(row.meta)) == (body, {"a": "b\x00"})
    assert (row.correlation_id, str(row.stream), row.seq, row.schema_version) == ("c-1", sent["stream"], 4, 3)
    assert row.ts_unix_ms == sent["ts_unix_ms"]


def test_one_bad_envelope_keeps_no_other_from_being_stored(app: Flask, agent: Agent) -> None:
    bad = {**envelope(), "ts_unix_ms": "yesterday"}
    batch = [envelope(), bad, envelope(), 7, "text", None, [], {}]
    answer = agent.send(batch).get_json()
    assert (answer["received"], answer["stored"]) == (8, 2)
    assert [(one["index"], one["envelope_id"], one["error"]) for one in answer["failed"]] == [
        (1, bad["envelope_id"], "invalid"),
        *((place, None, "invalid") for place in range(3, 8)),
    ]
    assert "ts_unix_ms" in answer["failed"][0]["detail"]


def test_each_hostile_envelope_gets_its_own_error_and_the_others_are_stored(plane: ControlPlane) -> None:
    with plane.app(lambda: THEN) as app:
        agent = enrolled(plane, app, agent_id="0195a0a0-7777-7000-8000-000000000001")
        good = {**envelope(), "envelope_id": uuid7(int(THEN.timestamp() * 1000))}
        answer = agent.send([*(case["envelope"] for case in HOSTILE), good]).get_json()
    found = {HOSTILE[one["index"]]["name"]: one["error"] for one in answer["failed"]}
    assert found == {case["name"]: case["error"] for case in HOSTILE}
    assert answer["stored"] == 1


def test_the_examples_are_stored_and_make_a_run_with_its_outcome(plane: ControlPlane) -> None:
    with plane.app(lambda: THEN) as app:
        answer = enrolled(plane, app).send(EXAMPLES).get_json()
        assert (answer["stored"], answer["failed"]) == (len(EXAMPLES), [])
        with services_of(app).database.reading() as connection:
            run = connection.execute(select(Run.__table__)).one()
            outcome = connection.execute(select(Outcome.__table__)).one()
    assert (run.action, run.exit_code, run.hosts, json.loads(run.summary)) == (
        "update_endpoint_timezone",
        0,
        1,
        {"changed": 1},
    )
    assert (outcome.name, outcome.outcome, outcome.reason, outcome.store) == (
        "SOL-LOJA001-PDV201",
        "changed",
        "confirmed",
        1,
    )


def test_the_order_of_arrival_makes_no_difference_to_the_ledger(plane: ControlPlane, app: Flask) -> None:
    run_id = uuid7()
    parts = story(run_id, "PDV1", "PDV2")
    found = []
    for order in itertools.islice(itertools.permutations(parts), 0, 24, 5):
        agent = enrolled(plane, app)
        for part in order:  # the ids are the agent's own, so the same envelopes may come from each
            assert agent.send([part]).get_json()["stored"] == 1
        with services_of(app).database.reading() as connection:
            columns = [one for one in Run.__table__.c if one.name not in ("agent", "seen_at")]
            found.append(connection.execute(select(*columns).order_by(Run.seen_at.desc()).limit(1)).one())
            assert connection.scalar(select(func.count()).select_from(Outcome)) == 2 * len(found)
    assert len(set(found)) == 1
    assert found[0].action == "set_zone"
    assert found[0].exit_code == 0


def test_the_first_outcome_of_a_host_counts(app: Flask, agent: Agent) -> None:
    run_id = uuid7()
    first, late = story(run_id)[1], story(run_id)[1]
    late["body"]["outcome"] = "unknown"
    for one in (first, late):
        assert agent.send([one]).get_json()["stored"] == 1
    with services_of(app).database.reading() as connection:
        assert connection.scalars(select(Outcome.outcome)).all() == ["changed"]


def test_words_of_a_terminal_cannot_break_a_batch(app: Flask, agent: Agent) -> None:
    parts = story("", "PDV\x00\u202e" + "x" * 240)
    parts[1]["body"].update(message="\x00\x1b[2J", detail="\x00", started_at="0001-01-01T00:00:00+14:00")
    parts[1]["body"]["host"].update(address="\x00" * 64, role="\x00" * 32)
    assert agent.send(parts).get_json()["failed"] == []
    with services_of(app).database.reading() as connection:
        row = connection.execute(select(Outcome.__table__)).one()
    assert (row.message, row.started_at, row.name[:9]) == (r"\x00\x1b[2J", None, r"PDV\x00\u")


def test_an_id_twice_in_one_batch_is_stored_once(app: Flask, agent: Agent) -> None:
    one, other = envelope(), envelope()
    answer = agent.send([one, other, one]).get_json()
    assert (answer["stored"], answer["failed"]) == (
        2,
        [{"index": 2, "envelope_id": one["envelope_id"], "error": "duplicate"}],
    )


def test_two_agents_may_have_the_same_id(plane: ControlPlane, app: Flask) -> None:
    sent = envelope()
    for network in ("SOL", "LUA"):
        assert enrolled(plane, app, network).send([sent]).get_json()["stored"] == 1


def test_a_ulid_is_the_same_envelope_as_its_uuid(agent: Agent) -> None:
    number = int(uuid7().replace("-", ""), 16)
    ulid = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> 5 * place & 31] for place in reversed(range(26)))
    assert agent.send([envelope(envelope_id=ulid)]).get_json()["stored"] == 1
    text = f"{number:032x}"
    same = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    assert agent.send([envelope(envelope_id=same)]).get_json()["failed"][0]["error"] == "duplicate"


@pytest.mark.parametrize("form", ["json", "ndjson", "msgpack"])
@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_each_form_and_each_encoding_is_taken(agent: Agent, form: str, encoding: str) -> None:
    batch = [envelope() for _ in range(3)]
    raw = {
        "json": json.dumps(batch).encode(),
        "ndjson": b"\n".join(json.dumps(one).encode() for one in batch) + b"\n",
        "msgpack": msgspec.msgpack.encode(batch),
    }[form]
    packed = {"": raw, "gzip": gzip.compress(raw), "zstd": zstandard.compress(raw)}[encoding]
    kind = {"json": "application/json", "ndjson": "application/x-ndjson", "msgpack": "application/msgpack"}[form]
    answer = agent.post(packed, **{"Content-Type": kind, **({"Content-Encoding": encoding} if encoding else {})})
    assert answer.get_json()["stored"] == 3


def test_a_batch_that_cannot_be_read_is_answered_with_its_reason(agent: Agent) -> None:
    for body, headers, status, reason in (
        (b"{}", {}, 400, "batch_invalid"),
        (b"[]", {"Content-Encoding": "br"}, 415, "encoding_unsupported"),
        (b"[]", {"Content-Type": "text/plain"}, 415, "batch_type_unsupported"),
        (json.dumps([1] * 1001).encode(), {}, 413, "too_many_envelopes"),
        (b"[" + b" " * 4 * 2**20 + b"]", {}, 413, "body_too_large"),
    ):
        answer = agent.post(body, **headers)
        assert (answer.status_code, answer.get_json()["reason"]) == (status, reason)


def test_envelopes_have_a_size_each_and_results_may_be_larger(agent: Agent) -> None:
    result = story()[1]
    result["body"]["facts"] = {"text": "x" * 200_000}
    event = envelope(body={"text": "x" * 70_000})
    huge = story()[1]
    huge["body"]["facts"] = {"text": "x" * 270_000}
    answer = agent.send([result, event, huge]).get_json()
    assert [(one["index"], one["envelope_id"], one["error"]) for one in answer["failed"]] == [
        (1, event["envelope_id"], "too_large"),
        (2, huge["envelope_id"], "too_large"),
    ]


def test_a_token_that_is_no_agents_own_is_refused(plane: ControlPlane, app: Flask) -> None:
    token = plane.token("--scope", "ingest", "--network", "SOL")
    answer = Agent(app, "", token).send([envelope()])
    assert (answer.status_code, answer.get_json()["reason"]) == (403, "agent_required")


def test_after_a_new_enrolment_the_earlier_token_delivers_nothing(
    plane: ControlPlane, app: Flask, agent: Agent
) -> None:
    again = enrolled(plane, app, agent_id=agent.agent_id)
    assert agent.send([envelope()]).get_json()["reason"] == "token_revoked"
    assert again.send([envelope(agent_id=agent.agent_id, tenant_id=CLIENT)]).get_json()["stored"] == 1


def test_the_highest_number_of_a_stream_is_kept(app: Flask, agent: Agent) -> None:
    stream = uuid7()
    for numbers in ((3, 9, 5), (4,), (10, 2)):
        agent.send([envelope(stream=stream, seq=number) for number in numbers])
    with services_of(app).database.reading() as connection:
        assert connection.execute(select(Stream.stream, Stream.highest_seq)).all()[0].highest_seq == 10


def test_a_quota_closes_for_a_while_and_says_for_how_long(plane: ControlPlane) -> None:
    with plane.app(INGEST_AGENT_QUOTA="100") as app:
        agent, other = enrolled(plane, app), enrolled(plane, app)
        assert agent.send([envelope() for _ in range(90)]).status_code == 200
        answer = agent.send([envelope()])
        assert (answer.status_code, answer.get_json()["reason"]) == (429, "quota_exceeded")
        assert 15 <= int(answer.headers["Retry-After"]) <= 30
        assert other.send([envelope()]).status_code == 200


def test_the_same_batch_many_times_at_once_is_stored_once(app: Flask, agent: Agent) -> None:
    batch = [*story("", *(f"PDV{n}" for n in range(40))), {**envelope(), "ts_unix_ms": "bad"}]
    answers: list[dict[str, Any]] = []

    def send() -> None:
        shuffled = random.sample(batch, len(batch))
        while (answer := agent.send(shuffled)).status_code == 503:  # the database was busy: it is sent again
            pass
        answers.append(answer.get_json())

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer["stored"] for answer in answers) == len(batch) - 1 == len(stored(app))
    assert all(sorted({one["error"] for one in answer["failed"]})[-1] == "invalid" for answer in answers)
