"""Who takes the batches of `python -m bench ingest`. Each makes what it is given outside of what is measured.

- `naive`: the usual way to write such an endpoint, which writes no ledger.
- `without_writes`: our application, whose writing transaction takes every statement and sends none.
- `bare`: the rows that ingest stores, ready made, into the same tables: by `executemany` on SQLite, by COPY on PostgreSQL.
  Nothing is read, checked or looked up, so no program can store them faster there.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask, request
from flask.typing import ResponseReturnValue
from sqlalchemy import BigInteger, Text, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from contracts.ids import uuid7
from server.current import EXTENSION
from server.storage.session import Database
from tests.harness.agents import Agent, story
from tests.harness.control_plane import services_of

SIZE = 500
TABLES = ("envelopes", "runs", "outcomes")


@dataclass(frozen=True)
class Peer:
    """``send`` is measured, with what ``make`` made."""

    make: Callable[[], Any]
    send: Callable[[Any], None]


def batch() -> bytes:
    """A run with its results, as large as a proxy sends them, with ids of its own."""
    parts = story(uuid7(), *(f"SOL-LOJA001-PDV{number}" for number in range(SIZE - 2)), stream=uuid7(), seq=1)
    results(parts)
    return gzip.compress(json.dumps(parts).encode())


def results(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of a story, made as large as a proxy's."""
    for part in parts[1:-1]:
        gates = [{"gate": gate, "allowed": True, "text": "a reason of some words"} for gate in "abcdef"]
        part["body"].update(gates=gates, facts={f"fact_{number}": "a value" for number in range(15)})
    return parts[1:-1]


def ours(agent: Agent) -> Peer:
    client = agent.app.test_client()
    headers = {"X-Bot-Token": agent.token, "Content-Type": "application/json", "Content-Encoding": "gzip"}

    def send(packed: bytes) -> None:
        answer = client.post("/v1/ingest", data=packed, headers=headers)
        assert answer.get_json()["stored"] == SIZE, answer.text

    return Peer(batch, send)


def without_writes(agent: Agent) -> Peer:
    whole = ours(agent)
    services = services_of(agent.app)
    unwritten: Any = _Unwritten(services.database)

    def send(packed: bytes) -> None:
        agent.app.extensions[EXTENSION] = replace(services, database=unwritten)
        try:
            whole.send(packed)
        finally:
            agent.app.extensions[EXTENSION] = services

    return Peer(batch, send)


class _Unwritten:
    """The database, but that nothing is written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @contextmanager
    def writing(self) -> Iterator[_Taken]:
        yield _Taken(self._database)


class _Taken:
    """A session, its connection and the driver's; every row is new."""

    rowcount = SIZE

    def __init__(self, database: Database) -> None:
        self.dialect = database.dialect
        self.connection = self.driver_connection = self

    def __call__(self) -> _Taken:
        return self

    def get_bind(self) -> _Taken:
        return self

    def execute(self, *_: Any) -> _Taken:
        return self

    def exec_driver_sql(self, *_: Any) -> _Taken:
        return self

    def scalars(self) -> list[Any]:
        return []

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        yield


class _Base(DeclarativeBase):
    pass


class _Naive(_Base):
    __tablename__ = "naive_envelopes"

    envelope_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    sub: Mapped[str]
    ts_unix_ms: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str] = mapped_column(Text)


def naive(url: str) -> Peer:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    _Base.metadata.create_all(engine)
    app = Flask("naive")

    @app.post("/ingest")
    def take() -> ResponseReturnValue:
        stored = 0
        with Session(engine) as session, session.begin():
            for one in json.loads(gzip.decompress(request.data)):
                if session.get(_Naive, str(uuid.UUID(one["envelope_id"]))) is None:
                    row = {name: one[name] for name in ("envelope_id", "kind", "sub", "ts_unix_ms")}
                    session.add(_Naive(**row, body=json.dumps(one["body"])))
                    stored += 1
        return {"stored": stored}

    client = app.test_client()

    def send(packed: bytes) -> None:
        assert client.post("/ingest", data=packed).get_json()["stored"] == SIZE

    return Peer(batch, send)


def bare_sqlite(file: Path) -> Peer:
    """``file``: our database, which has a batch of ours. The same settings of SQLite."""
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    rows = {name: connection.execute(f"SELECT * FROM {name} LIMIT {SIZE}").fetchall() for name in TABLES}  # noqa: S608
    columns = {name: [found[1] for found in connection.execute(f"PRAGMA table_info({name})")] for name in TABLES}

    def send(made: dict[str, list[tuple[Any, ...]]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for name, those in made.items():
            marks = ", ".join("?" * len(columns[name]))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", those)  # noqa: S608
        connection.execute("COMMIT")

    return Peer(lambda: _renewed(columns, rows, lambda: uuid7().replace("-", "")), send)


def bare_postgresql(address: str) -> Peer:
    """``address``: of our database, for libpq; it has a batch of ours."""
    connection = psycopg.connect(address)
    columns: dict[str, list[str]] = {}
    rows = {}
    for name in TABLES:
        cursor = connection.execute(f"SELECT * FROM {name} LIMIT {SIZE}".encode())  # noqa: S608
        columns[name], rows[name] = [found.name for found in cursor.description or ()], cursor.fetchall()
    connection.commit()

    def send(made: dict[str, list[tuple[Any, ...]]]) -> None:
        with connection.cursor() as cursor:
            for name, those in made.items():
                with cursor.copy(f"COPY {name} ({', '.join(columns[name])}) FROM STDIN".encode()) as copy:
                    for row in those:
                        copy.write_row(row)
        connection.commit()

    return Peer(lambda: _renewed(columns, rows, lambda: uuid.UUID(uuid7())), send)


def _renewed(
    columns: dict[str, list[str]], rows: dict[str, list[tuple[Any, ...]]], new_id: Callable[[], Any]
) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of one batch with ids of their own, in the order of their keys."""
    run = uuid7()
    ids = sorted(new_id() for _ in rows["envelopes"])
    made: dict[str, list[tuple[Any, ...]]] = {}
    for name in TABLES:
        fresh = []
        for row, own in zip(rows[name], ids, strict=False):
            values = dict(zip(columns[name], row, strict=True))
            values.update({key: value for key, value in {"run_id": run, "envelope_id": own}.items() if key in values})
            fresh.append(tuple(values.values()))
        made[name] = fresh
    return made
