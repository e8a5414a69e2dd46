"""The proxy's outbox against the real control plane on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from contracts.ids import uuid7
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.adapters.state.outbox.delivery import begin_stream, last_seq, stream_of
from runtime.adapters.state.outbox.limits import count_outbox
from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import JOB_MISSED
from runtime.adapters.state.store import State
from runtime.services.delivery import Delivery, drain
from runtime.wiring import SystemClock
from server.storage.models import Envelope, Outcome, Run
from server.storage.session import open_database
from tests.e2e.headquarters import enrol
from tests.harness.control_plane import ControlPlane, prepared
from tests.unit.state.support import complete_run, make_hosts, make_info, make_result


@dataclass
class World:
    """A served control plane with an enrolled agent, and the local state of a proxy."""

    plane: ControlPlane
    base: str
    agent_id: str
    token_file: Path
    state: State

    def transport(self) -> HttpControlPlane:
        return HttpControlPlane(url=f"{self.base}/api/ingest/bot/config", token_file=self.token_file, base=self.base)

    def drain(self) -> Delivery:
        delivery = Delivery(self.state, self.transport, SystemClock())
        drain(delivery, self.state, SystemClock())
        return delivery

    def counts(self) -> tuple[int, int, int]:
        with self.state.read() as connection:
            found = count_outbox(connection)
        return found.waiting, found.dead, found.delivered

    def post(self, number: int, word: str = "late") -> None:
        told = {"job": "j", "action": "a", "reason": word, "message": "m"}
        messages = [event(JOB_MISSED, told, dt.datetime.now(dt.UTC)) for _ in range(number)]
        self.state.write(lambda connection: put(connection, messages))

    def run(self, hosts: int) -> str:
        info = make_info()
        asyncio.run(complete_run(self.state, info, [make_result(host) for host in make_hosts(hosts)]))
        return info.run_id

    def stored(self, *columns: Any) -> list[tuple[Any, ...]]:
        database = open_database(self.plane.settings().database_url, timeout=5)
        with contextlib.closing(database), database.reading() as connection:
            return [tuple(row) for row in connection.execute(select(*columns))]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    plane = prepared(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    with plane.serving(NGINX="none") as (base, _), State(tmp_path / "data", now=dt.datetime.now(dt.UTC)) as state:
        agent_id, token_file = uuid7(), tmp_path / "token"
        token_file.write_text(enrol(plane, base, agent_id))
        token_file.chmod(0o400)
        yield World(plane, base, agent_id, token_file, state)


def test_a_run_of_the_proxy_is_a_run_at_headquarters(world: World) -> None:
    run_id = world.run(40)  # each host is changed, which is an event beside its result
    status = world.drain().status
    assert status is not None
    assert (status.state, world.counts()) == ("ok", (0, 0, 82))
    assert world.stored(Run.run_id, Run.hosts, Run.exit_code) == [(run_id, 40, 0)]
    with world.state.read() as connection:
        here = connection.exec_driver_sql("SELECT name, outcome, reason FROM run_hosts ORDER BY name").all()
    assert sorted(world.stored(Outcome.name, Outcome.outcome, Outcome.reason)) == [tuple(row) for row in here]


def test_a_revoked_token_pauses_and_a_new_one_is_read_without_a_restart(world: World) -> None:
    world.post(3)
    token = enrol(world.plane, world.base, world.agent_id)  # ends the one in the file
    status = world.drain().status
    assert status is not None
    assert (status.state, world.counts()) == ("refused", (3, 0, 0))
    assert "was revoked" in status.message
    world.token_file.chmod(0o600)
    world.token_file.write_text(token)
    assert world.drain().status is not None
    assert world.counts() == (0, 0, 3)


def test_what_the_server_finds_invalid_is_a_dead_letter_with_its_word(world: World) -> None:
    world.post(2)
    world.post(1, word="x" * 65)
    world.post(2)
    world.drain()
    assert world.counts() == (0, 1, 4)
    with world.state.read() as connection:
        why: str = connection.exec_driver_sql("SELECT last_error FROM outbox").scalar_one()
    assert why.startswith("invalid: body: Expected `str` of length <= 64")


def test_a_backlog_of_several_batches_arrives_whole_and_once(world: World) -> None:
    world.post(1700)
    world.drain()
    assert world.counts() == (0, 0, 1700)
    seqs = sorted(number for (number,) in world.stored(Envelope.seq))
    assert seqs == list(range(1, 1701))


def test_a_server_that_is_away_costs_nothing_but_time(world: World, tmp_path: Path) -> None:
    world.post(2)
    base, world.base = world.base, "http://127.0.0.1:9"
    status = world.drain().status
    assert status is not None
    assert (status.state, world.counts()) == ("waiting", (2, 0, 0))
    world.base = base
    world.drain()
    assert world.counts() == (0, 0, 2)


def test_a_restored_folder_begins_a_new_stream(world: World) -> None:
    world.post(3)
    world.drain()
    with world.state.read() as connection:
        before, seq = stream_of(connection), last_seq(connection)
    assert seq == 3
    world.state.write(begin_stream)
    world.post(1)
    world.drain()
    assert len({str(stream) for (stream,) in world.stored(Envelope.stream)} - {before}) == 1
