"""``GET /telemetry/live``: what agents deliver, as it comes, on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import func, select

from contracts.ids import uuid7
from server.services.telemetry import live as live_module
from server.services.telemetry.arrivals import KEPT, Mark, batches_after, newest, note_arrival, rows_of
from server.services.telemetry.history import items_of
from server.services.telemetry.retention import remove_old
from server.storage.models import Arrival
from tests.harness.agents import Agent, enrolled, envelope
from tests.harness.control_plane import CLIENT, ControlPlane, prepared, services_of
from tests.harness.process import wait_until

PATH = "/telemetry/live"


@pytest.fixture(params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@dataclass
class Time:
    """The server's clock."""

    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(microseconds=1)
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def app(plane: ControlPlane, clock: Time, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(live_module, "_POLL_S", 0.02)
    with plane.app(clock) as made:
        yield made


def operator(plane: ControlPlane, *options: str) -> str:
    plane.must("operator", "add", "ana", "--role", "viewer", *options)
    return plane.must("operator", "token", "ana").splitlines()[-1]


@dataclass
class Event:
    """One event of a stream; a comment or a field without data has the name empty."""

    id: str = ""
    event: str = ""
    data: Any = None


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """As a browser reads them, and those without data too."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        *whole, rest = rest.split(b"\n\n")
        for block in whole:
            fields = dict(line.split(": ", 1) for line in block.decode().splitlines())
            if "retry" not in fields:
                yield Event(fields.get("id", ""), fields.get("event", ""), json.loads(fields.get("data", "null")))


@contextmanager
def looking(app: Flask, token: str, last: str = "", **query: Any) -> Iterator[Iterator[Event]]:
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
    answer = app.test_client().get(PATH, query_string=query, headers=headers, buffered=False)
    assert answer.status_code == 200, answer.text
    assert (answer.mimetype, answer.headers["X-Accel-Buffering"]) == ("text/event-stream", "no")
    try:
        yield events(answer.response)  # type: ignore[arg-type]
    finally:
        answer.close()


def deliver(agent: Agent, *envelopes: dict[str, Any]) -> list[str]:
    assert agent.send(list(envelopes)).get_json()["failed"] == []
    return sorted(one["envelope_id"] for one in envelopes)


def ids(stream: Iterator[Event], number: int) -> list[str]:
    """Of the next events with data."""
    found: list[str] = []
    while len(found) < number:
        event = next(stream)
        if event.data is not None:
            assert event.event not in ("gap", "dropped"), event
            found.append(event.data["envelope_id"])
    return found


def test_what_is_delivered_is_shown_once_in_its_order_with_whose_it_is(plane: ControlPlane, app: Flask) -> None:
    sol, lua, token = enrolled(plane, app), enrolled(plane, app, "LUA"), operator(plane)
    deliver(sol, envelope())
    with looking(app, token) as stream:
        first = deliver(lua, envelope("metric", body={"a": "x\u2028"}), envelope("metric"))
        event = next(stream)
        assert (event.event, event.data["envelope_id"], event.data["network"]) == ("metric", first[0], "LUA")
        assert event.data["agent_id"] == lua.agent_id
        again = envelope()
        second = deliver(sol, again)
        assert sol.send([again]).get_json()["failed"][0]["error"] == "duplicate"
        third = deliver(sol, envelope(), envelope())
        assert ids(stream, 4) == first[1:] + second + third


def test_a_body_on_several_lines_is_one_line_of_a_stream_and_of_an_export(plane: ControlPlane, app: Flask) -> None:
    agent, token = enrolled(plane, app), operator(plane)
    made = envelope(body={"a": ["\n", 1]})
    with looking(app, token) as stream:
        body = json.dumps([made], indent=2).replace("\n", "\r\n").encode()
        assert agent.post(body).get_json()["stored"] == 1
        assert next(stream).data["body"] == made["body"]
    answer = app.test_client().get(
        "/telemetry/history?format=ndjson", headers={"Authorization": f"Bearer {token}"}, buffered=True
    )
    assert [json.loads(line)["body"] for line in answer.text.splitlines()] == [made["body"]]


def test_each_sees_what_was_asked_for_and_may_be_seen(plane: ControlPlane, app: Flask) -> None:
    sol, lua, token = enrolled(plane, app), enrolled(plane, app, "LUA"), operator(plane)
    plane.must("client", "add", "Mercado Lua")
    plane.must("operator", "add", "rui", "--role", "viewer", "--client", "Mercado Lua")
    other = plane.must("operator", "token", "rui").splitlines()[-1]
    headers = {"Authorization": f"Bearer {other}"}
    assert app.test_client().get(PATH, query_string={"client": CLIENT}, headers=headers).status_code == 404
    assert app.test_client().get(PATH, query_string={"kind": "rumour"}, headers=headers).status_code == 400
    assert app.test_client().get(PATH, headers={**headers, "Last-Event-ID": "7"}).status_code == 400
    with (
        looking(app, token, agent_id=sol.agent_id.upper(), kind="event") as mine,
        looking(app, token, network="LUA", sub="other") as theirs,
        looking(app, other) as nothing,
    ):
        sent = [envelope("event"), envelope("metric")]
        deliver(sol, *sent)
        wanted = deliver(lua, envelope("event", "other"))
        deliver(lua, envelope("event", "noted"))
        last = deliver(sol, envelope("event", "other"))
        assert ids(mine, 2) == [sent[0]["envelope_id"], *last]
        assert ids(theirs, 1) == wanted
        live = services_of(app).live
        with live._changed:
            for onlooker in live._onlookers:
                assert not onlooker.waiting
        del nothing


def test_a_stream_is_resumed_after_any_event_without_loss_or_repeat(plane: ControlPlane, app: Flask) -> None:
    agent, token = enrolled(plane, app), operator(plane)
    with looking(app, token) as stream:
        expected = [one for _ in range(3) for one in deliver(agent, *(envelope() for _ in range(3)))]
        seen: list[Event] = []
        while len(seen) < 9:
            seen += [event for event in (next(stream),) if event.data]
    assert [event.data["envelope_id"] for event in seen] == expected
    expected += deliver(agent, envelope(), envelope())  # nobody looks on meanwhile
    for place, event in enumerate(seen):
        with looking(app, token, last=event.id) as stream:
            assert ids(stream, len(expected) - place - 1) == expected[place + 1 :]
    with looking(app, token, last_event_id=seen[7].id) as stream, looking(app, token) as beside:
        later = deliver(agent, envelope())
        assert ids(stream, 4) == expected[8:] + later
        assert ids(beside, 1) == later


def test_what_another_process_has_shown_already_is_not_shown_again(plane: ControlPlane, app: Flask) -> None:
    """The reader of that process may have been ahead of this one's."""
    sent = deliver(enrolled(plane, app), *(envelope() for _ in range(3)))
    live, database = services_of(app).live, services_of(app).database
    with database.reading() as reader:
        [batch] = batches_after(reader, Mark(0, 0), 5)
        items = items_of(reader, rows_of(reader, batch))
    onlooker = live.begin(live_module.Filter(), live_module.Seen(0, batch.mark, 1))
    live._hand_on(batch.mark._replace(position=batch.mark.position - 1), items)
    live._hand_on(batch.mark, items)
    assert [event.data["envelope_id"] for event in events(onlooker.waiting)] == sent[2:]
    live.end(onlooker)


def test_a_quiet_stream_says_where_it_is_and_is_resumed_there(
    plane: ControlPlane, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_QUIET_S", 0.05)
    agent, token = enrolled(plane, app), operator(plane)
    deliver(agent, envelope())
    with looking(app, token) as stream:
        place = next(stream)
    assert (place.data, live_module.parse_seen(place.id) is None) == (None, False)
    missed = deliver(agent, envelope(), envelope())
    with looking(app, token, last=place.id) as stream:
        assert ids(stream, 2) == missed


@pytest.mark.parametrize("seen", ["old", "ahead"])
def test_what_cannot_be_resumed_is_said_and_the_stream_goes_on(
    plane: ControlPlane, app: Flask, clock: Time, seen: str
) -> None:
    agent, token = enrolled(plane, app), operator(plane)
    deliver(agent, envelope())
    sent = clock.now - (KEPT + dt.timedelta(seconds=1) if seen == "old" else dt.timedelta(0))
    mark = Mark(0, 1) if seen == "old" else Mark(2**50, 2**50)
    last = live_module.Seen(int(sent.timestamp() * 1000), mark, 0).text()
    with looking(app, token, last=last) as stream:
        assert next(stream).event == "gap"
        assert deliver(agent, envelope()) == ids(stream, 1)


def test_a_slow_reader_is_dropped_and_the_others_go_on(
    plane: ControlPlane, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_MOST_EVENTS", 5)
    agent, token = enrolled(plane, app), operator(plane)
    with looking(app, token) as slow, looking(app, token) as quick:
        expected: list[str] = []
        for _ in range(3):
            sent = deliver(agent, envelope(), envelope())
            expected += sent
            assert ids(quick, 2) == sent
        assert [event.event for event in slow] == ["dropped"]
        assert deliver(agent, envelope()) == ids(quick, 1)


def test_a_stream_ends_with_the_token_and_when_the_operator_sees_other_clients(
    plane: ControlPlane, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_QUIET_S", 0.05)
    token = operator(plane)
    with looking(app, token) as stream:
        assert next(stream).id
        plane.must("operator", "set", "ana", "--client", CLIENT)
        assert all(event.data is None for event in stream)
    with looking(app, token) as stream:
        assert next(stream).id
        plane.must("operator", "remove", "ana")
        assert all(event.data is None for event in stream)


def test_only_so_many_look_on_in_one_process(plane: ControlPlane, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MOST_READERS", 1)
    token = operator(plane)
    headers = {"Authorization": f"Bearer {token}"}
    with looking(app, token):
        refused = app.test_client().get(PATH, headers=headers)
        assert (refused.status_code, refused.get_json()["reason"], refused.headers["Retry-After"]) == (
            503,
            "live_busy",
            "10",
        )
    with looking(app, token):
        pass
    live = services_of(app).live
    wait_until(lambda: live._reader is None, within=60, what="the end of the reader that nobody needs")


def test_nothing_is_shown_while_an_older_transaction_is_open(postgres_url: str, tmp_path: Path) -> None:
    """It could commit a batch that belongs before what is there already."""
    plane = prepared(tmp_path, postgres_url)
    with plane.app() as app:
        agent, token = enrolled(plane, app), operator(plane)
        database = services_of(app).database
        with database.reading() as reader:
            before = newest(reader)
        with looking(app, token) as stream:
            with database.writing() as session:
                note_arrival(session.connection(), "older", dt.datetime.now(dt.UTC))
                sent = deliver(agent, envelope())
                with database.reading() as reader:
                    assert reader.scalar(select(func.count()).select_from(Arrival)) == 1
                    assert batches_after(reader, before, 10) == []
                    assert newest(reader) < Mark(before.txid + 1, 0)
            with database.reading() as reader:
                found = batches_after(reader, before, 10)
            assert [batch.agent == "older" for batch in found] == [True, False]
            assert ids(stream, 1) == sent


def test_arrivals_are_removed_after_a_day_but_for_the_last(plane: ControlPlane, app: Flask, clock: Time) -> None:
    agent = enrolled(plane, app)
    for _ in range(3):
        deliver(agent, envelope())
    database = services_of(app).database
    assert remove_old(database, 90, clock.now + KEPT - dt.timedelta(minutes=1), lambda: None).arrivals == 0
    assert remove_old(database, 90, clock.now + KEPT + dt.timedelta(minutes=1), lambda: None).arrivals == 2
    assert remove_old(database, 90, clock.now + KEPT + dt.timedelta(minutes=1), lambda: None).arrivals == 0


def test_many_look_on_through_nginx_and_neither_hold_up_others_nor_the_end(tmp_path: Path) -> None:
    """One worker with room for one request at the database; the streams outnumber it."""
    plane = prepared(tmp_path)
    with plane.app() as app:
        agent = enrolled(plane, app)
    token = operator(plane)
    with plane.serving(THREADS="1") as (base, child):
        address = urlsplit(base)

        def connection() -> http.client.HTTPConnection:
            return http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)

        streams = []
        for _ in range(30):
            one = connection()
            one.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
            streams.append((one, one.getresponse()))
        assert {answer.status for _, answer in streams} == {200}
        sender = connection()
        made = envelope()
        sender.request(
            "POST", "/v1/ingest", json.dumps([made]), {"X-Bot-Token": agent.token, "Content-Type": "application/json"}
        )
        assert json.loads(sender.getresponse().read())["stored"] == 1
        sender.close()
        for _, answer in streams:
            lines = iter(answer.readline, b"")
            data = next(line for line in lines if line.startswith(b"data: "))
            assert json.loads(data[6:])["envelope_id"] == made["envelope_id"]
        os.kill(child.pid, signal.SIGTERM)
        for _, answer in streams:  # each has its last chunk: a stream that is cut raises IncompleteRead
            assert b"data: " not in answer.read()
        wait_until(lambda: not child.alive(), within=60, what="the end of the server")
        for cut_off in ("graceful timeout", "part_killed"):
            assert cut_off not in child.log_tail(1000)
        for one, _ in streams:
            one.close()


def test_ids_of_events_are_read_in_their_one_form_only() -> None:
    good = live_module.Seen(1, Mark(2, 3), 4)
    assert live_module.parse_seen(good.text()) == good
    for text in ("", "1-2-3", "1-2-3-4-5", "a-2-3-4", "1-2-3-4\n", f"{10**18}-2-3-4", f"1-{'9' * 19}-3-4", uuid7()):
        assert live_module.parse_seen(text) is None
