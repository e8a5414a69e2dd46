"""How long telemetry is kept, on SQLite and PostgreSQL: old rows go in small steps, and nothing newer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select, table, text

from contracts.envelope import today
from contracts.ids import uuid7
from server.services.telemetry import retention
from server.services.telemetry.retention import claim, remove_old
from server.storage.models import Base, Envelope, Outcome, Run, Stream
from server.storage.session import Database
from tests.harness.agents import Agent, enrolled, story
from tests.harness.control_plane import ControlPlane, prepared, services_of

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Moving:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def later(self, **span: float) -> dt.datetime:
        self.now += dt.timedelta(**span)
        return self.now


@pytest.fixture
def clock() -> Moving:
    return Moving()


@pytest.fixture
def app(plane: ControlPlane, clock: Moving) -> Iterator[Flask]:
    with plane.app(clock) as made:
        yield made


def counts(database: Database) -> dict[str, int]:
    tables: tuple[type[Base], ...] = (Envelope, Run, Outcome, Stream)
    with database.reading() as connection:
        return {one.__tablename__: connection.scalar(select(func.count()).select_from(one)) or 0 for one in tables}


def days(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(text("SELECT relid::text FROM pg_partition_tree('envelopes') WHERE isleaf")))


def test_old_telemetry_goes_and_newer_stays(
    plane: ControlPlane, app: Flask, clock: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    database, agent = services_of(app).database, enrolled(plane, app)

    def send(hosts: int) -> None:
        names = [f"PDV{number}" for number in range(hosts)]
        batch = story(uuid7(), *names, stream=uuid7(), seq=1)
        for one in batch:
            one["envelope_id"] = uuid7(int(clock.now.timestamp() * 1000))
        assert agent.send(batch).get_json()["stored"] == hosts + 2

    send(5)
    clock.later(days=60)
    send(3)
    pauses: list[None] = []
    removed = remove_old(database, 90, clock.later(days=29), lambda: pauses.append(None))
    assert replace(removed, arrivals=0) == retention.Removed()
    removed = remove_old(database, 90, clock.later(days=2), lambda: pauses.append(None))
    assert (removed.envelopes, removed.outcomes, removed.runs, removed.streams) == (7, 5, 1, 1)
    assert len(pauses) == 4 + 3 + 1 + 1 + 1  # the last one for the first batch in the list of arrivals
    assert counts(database) == {"envelopes": 5, "runs": 1, "outcomes": 3, "streams": 1}


def test_days_have_partitions_ahead_and_a_day_that_is_over_goes_as_a_whole(
    tmp_path: Path, postgres_url: str, clock: Moving
) -> None:
    plane = prepared(tmp_path, postgres_url)
    with plane.app(clock) as app:
        days_of_a_server(services_of(app).database, enrolled(plane, app), clock)


def days_of_a_server(database: Database, agent: Agent, clock: Moving) -> None:
    remove_old(database, 90, clock.now, lambda: None)
    first = today(START)
    assert days(database) == ["envelopes_default", *(f"envelopes_day_{first + n}" for n in range(1, 8))]
    clock.later(days=2)
    batch = story()
    for one in batch:
        one["envelope_id"] = uuid7(int(clock.now.timestamp() * 1000))
    assert agent.send(batch).get_json()["stored"] == 3
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(table(f"envelopes_day_{first + 2}"))) == 3
    late = {**story()[0], "envelope_id": uuid7(int(clock.now.timestamp() * 1000))}
    clock.later(days=20)
    assert agent.send([late]).get_json()["stored"] == 1  # received later than its day
    # Six of the seven days are over, and one of these has a late envelope.
    assert remove_old(database, 90, clock.later(days=75), lambda: None).days == 5
    assert counts(database)["envelopes"] == 1
    assert remove_old(database, 90, clock.later(days=20), lambda: None).days == 2
    assert counts(database)["envelopes"] == 0


def test_one_process_of_several_does_it_once_an_hour(app: Flask, clock: Moving) -> None:
    database = services_of(app).database

    def mine(now: dt.datetime) -> bool:
        with database.writing() as session:
            return claim(session, now)

    assert [mine(clock.now), mine(clock.now)] == [True, False]
    assert mine(clock.later(minutes=59)) is False
    assert [mine(clock.later(minutes=1)), mine(clock.now)] == [True, False]
    assert mine(clock.later(hours=-30)) is True  # the claim came from a clock that ran ahead


def test_a_running_server_does_it_by_itself(app: Flask) -> None:
    assert [services_of(app).upkeep.work(), services_of(app).upkeep.work()] == [True, False]
