"""The last day of one agent out of millions of envelopes, on SQLite and PostgreSQL: `python -m bench last_day --size ROWS`.

The table is filled by one statement a day, on a disk: 30 days, 2,000 envelopes a day and agent, with the product's own
indexes. What is measured are pages of 1,000 as `GET /telemetry/history` reads them, and a batch that is stored. The peer
does the same in a database that has nothing but that agent's day. A look through all rows shows what a missing index costs.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Raw
from sqlalchemy import Table, func, select
from sqlalchemy.schema import AddConstraint, DropConstraint

from bench import report
from contracts.envelope import today
from server.services.telemetry.history import Meant, Wanted, history
from server.services.telemetry.reading import Sender
from server.services.telemetry.storing import take_batch
from server.storage.models import Agent, Envelope
from server.storage.session import Database, open_database
from tests.harness.agents import story
from tests.harness.control_plane import prepared
from tests.harness.postgres import cluster

DAYS, A_DAY, PAGE, BATCH = 30, 2_000, 1_000, 500
ROUNDS = 11
_BODY = json.dumps({"run_id": "0195a0a0-1000-7000-8000-000000000001", "outcome": "changed", "text": "a word " * 16})
_AGENT = "00000000-0000-7000-8000-"

Make = Callable[[Path, str], str]
Rows = list[tuple[str, ...]]


def main(size: int = 1_000_000) -> None:
    agents = max(1, size // (DAYS * A_DAY))
    with tempfile.TemporaryDirectory(dir=report.DISK) as name:
        measured("SQLite", agents, Path(name), lambda folder: f"sqlite:///{folder}/flagee.db")
    with (
        cluster(disk=report.DISK, max_wal_size="8GB", shared_buffers="512MB", maintenance_work_mem="512MB") as server,
        tempfile.TemporaryDirectory() as name,
    ):
        measured("PostgreSQL", agents, Path(name), lambda folder: server.create_database(folder.name))


def measured(backend: str, agents: int, folder: Path, url: Callable[[Path], str]) -> None:
    with filled(folder / "all", url, agents, DAYS) as (full, took), filled(folder / "day", url, 1, 1) as (small, _):
        show(f"{backend}, {agents * DAYS * A_DAY:,} envelopes of {agents} agents, filled in {took:,.0f} s", full, small)


def show(title: str, full: Database, small: Database) -> None:
    with full.reading() as connection:
        began = time.perf_counter()
        connection.scalar(select(func.count()).where(func.lower(Envelope.agent) == agent_id(0)))
        through_all = f"{(time.perf_counter() - began) * 1000:,.0f}"
    rows: Rows = []
    for what, work in (("first page", first_page), ("whole day", whole_day), ("a batch of 500 stored", store_batch)):
        mine, theirs = in_turns(work, full, small)
        figures = (report.ratio(theirs / mine), f"{mine * 1000:.1f}", f"{theirs * 1000:.1f}")
        rows.append((what, *figures, "" if work is store_batch else through_all))
    columns = ("one agent's day", "that day alone : ours", "ms", "that day alone ms", "through all rows ms")
    report.table(title, columns, rows)


def in_turns(work: Callable[[Database], Any], full: Database, small: Database) -> tuple[float, float]:
    """Seconds in each, the least of all rounds: other work on the machine only adds."""
    took: dict[int, list[float]] = {0: [], 1: []}
    for number in range(ROUNDS + 5):  # the first ones are prepared and loaded
        for place, database in enumerate((full, small)):
            began = time.perf_counter()
            work(database)
            if number >= 5:
                took[place].append(time.perf_counter() - began)
    return min(took[0]), min(took[1])


def first_page(database: Database) -> None:
    assert len(history(database, last_day(), PAGE).items) == PAGE


def whole_day(database: Database) -> None:
    page = history(database, last_day(), PAGE)
    total = len(page.items)
    while page.next:
        page = history(database, last_day(), PAGE, page.next)
        total += len(page.items)
    assert total == A_DAY


def last_day() -> Wanted:
    """Of agent 0, as `GET /telemetry/history` asks for it."""
    midnight = dt.datetime.combine(dt.datetime.now(dt.UTC).date(), dt.time(), dt.UTC)
    return Wanted(Meant({agent_id(0)}, select(Agent.id).where(Agent.id == agent_id(0))), since=midnight)


def store_batch(database: Database) -> None:
    sender = Sender(agent_id(-1), agent_id(-1), "c", 1)
    batch = [Raw(json.dumps(part).encode()) for part in story("", *(f"PDV{number}" for number in range(BATCH - 2)))]
    assert take_batch(database, sender, batch, dt.datetime.now(dt.UTC)).stored == BATCH


def agent_id(number: int) -> str:
    return f"{_AGENT}{number % 10**12:012}"


@contextmanager
def filled(folder: Path, url: Callable[[Path], str], agents: int, days: int) -> Iterator[tuple[Database, float]]:
    """A database of that many agents and days, and the seconds that filling it took."""
    folder.mkdir()
    plane = prepared(folder, url(folder))
    with closing(open_database(plane.settings().database_url, timeout=600)) as database:
        now = dt.datetime.now(dt.UTC)
        with database.writing() as session:
            for one in (agent_id(0), agent_id(-1)):  # who is asked for, and who sends the batches
                session.add(Agent(id=one, agent_id=one, network_id=1, hostname="proxy", enrolled_at=now, enrolment=1))
        began = time.perf_counter()
        last = today(now)
        with without_indexes(database):
            for day in range(last - days + 1, last + 1):
                fill(database, day, agents)
        if database.backend == "postgresql":  # as autovacuum does
            with database.migrating() as connection:
                connection.exec_driver_sql("ANALYZE envelopes")
        yield database, time.perf_counter() - began


@contextmanager
def without_indexes(database: Database) -> Iterator[None]:
    """Rows are written sooner, and each index is made as a whole; so is the primary key on PostgreSQL."""
    table = Envelope.__table__
    assert isinstance(table, Table)
    key = table.primary_key
    with database.migrating() as connection:
        for index in table.indexes:
            index.drop(connection)
        if database.backend == "postgresql":
            connection.execute(DropConstraint(key))
    yield
    with database.migrating() as connection:
        for index in table.indexes:
            index.create(connection)
        if database.backend == "postgresql":
            connection.execute(AddConstraint(key))


def fill(database: Database, day: int, agents: int) -> None:
    """A day's envelopes in the order of their arrival, those of all agents mixed."""
    turn = f"i / {agents}"  # of all agents
    who = f"(i - {turn} * {agents})"
    ms = f"({day * 86_400_000} + {turn} * {86_400_000 // A_DAY} + {who})"
    names = "agent, day, envelope_id, kind, sub, schema_version, ts_unix_ms, correlation_id, seq, body, received_at"
    same = f"'result', 'host', 1, {ms}, 'c-{day}-' || i / 50, i, '{_BODY}'"
    with database.migrating() as connection:
        if database.backend == "sqlite":
            connection.exec_driver_sql(
                f"INSERT INTO envelopes ({names}) "  # noqa: S608  # numbers and texts of this module
                f"WITH RECURSIVE number(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i < {agents * A_DAY - 1}) "
                f"SELECT '{_AGENT}' || printf('%012d', {who}), {day}, printf('%012x70008%015x', {ms}, i), {same}, "
                f"strftime('%Y-%m-%d %H:%M:%f000', {ms} / 1000.0, 'unixepoch') FROM number"
            )
        else:
            partition = f"PARTITION OF envelopes FOR VALUES FROM ({day}) TO ({day + 1})"
            connection.exec_driver_sql(f"CREATE TABLE envelopes_day_{day} {partition}")
            connection.exec_driver_sql(
                f"INSERT INTO envelopes ({names}) "  # noqa: S608
                f"SELECT '{_AGENT}' || lpad({who}::text, 12, '0'), {day}, "
                f"(lpad(to_hex({ms}), 12, '0') || '70008' || lpad(to_hex(i), 15, '0'))::uuid, {same}, "
                f"to_timestamp({ms} / 1000.0) FROM generate_series(0::bigint, {agents * A_DAY - 1}) AS i"
            )
