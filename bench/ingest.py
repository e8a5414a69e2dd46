"""`POST /v1/ingest`: batches of 500 results from request to commit, on SQLite, one process. Run by `python -m bench ingest`.

The peers, in turns: the usual way to write such an endpoint (Flask, json, one ORM object an envelope, a look-up for duplicates),
which writes no ledger; and our own way without the database. Requests are made in the process, so that nothing but the
endpoint is measured.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from flask import Flask, request
from flask.typing import ResponseReturnValue
from sqlalchemy import BigInteger, Text, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench import report
from contracts.envelope import today
from contracts.ids import uuid7
from server.services.telemetry.batch import Limits, read_batch
from server.services.telemetry.reading import Item, Sender, read_item
from tests.harness.agents import enrolled, story
from tests.harness.control_plane import prepared

ROUNDS, EACH, SIZE = 5, 3, 500
NO_QUOTA = {"INGEST_AGENT_QUOTA": "1000000000", "INGEST_CLIENT_QUOTA": "1000000000", "LOG_LEVEL": "error"}
Send = Callable[[bytes], None]


class _Base(DeclarativeBase):
    pass


class _Naive(_Base):
    __tablename__ = "envelopes"

    envelope_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    sub: Mapped[str]
    ts_unix_ms: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str] = mapped_column(Text)


def batch() -> bytes:
    """A run with its results, as large as a proxy sends them, with ids of its own."""
    parts = story(uuid7(), *(f"SOL-LOJA001-PDV{number}" for number in range(SIZE - 2)), stream=uuid7(), seq=1)
    for part in parts[1:-1]:
        gates = [{"gate": gate, "allowed": True, "text": "a reason of some words"} for gate in "abcdef"]
        part["body"].update(gates=gates, facts={f"fact_{number}": "a value" for number in range(15)})
    return gzip.compress(json.dumps(parts).encode())


def naive(folder: Path) -> Send:
    engine = create_engine(f"sqlite:///{folder}/naive.db")
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

    return send


def without_database() -> Send:
    sender, limits = Sender("a", "a", "c", 1), Limits(1000, 4 * 2**20)

    def send(packed: bytes) -> None:
        raw = read_batch(packed, encoding="gzip", content_type="application/json", limits=limits)
        day = today(dt.datetime.now(dt.UTC))
        assert all(isinstance(read_item(place, one, sender, day), Item) for place, one in enumerate(raw))

    return send


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # a real disk
        folder = Path(name)
        plane = prepared(folder)
        with plane.app(**NO_QUOTA) as app:
            agent = enrolled(plane, app)
            headers = {
                "X-Bot-Token": agent.token,
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
            }
            client = app.test_client()

            def ours(packed: bytes) -> None:
                answer = client.post("/v1/ingest", data=packed, headers=headers)
                assert answer.get_json()["stored"] == SIZE, answer.text

            peers: dict[str, Send] = {
                "ingest": ours,
                "Flask and ORM": naive(folder),
                "ingest without the database": without_database(),
            }
            for send in peers.values():
                measured(send)  # what is compiled and loaded the first time
            took: dict[str, list[float]] = {peer: [] for peer in peers}
            for _ in range(ROUNDS):
                for peer, send in peers.items():
                    took[peer].append(measured(send))
    show(took)


def measured(send: Send) -> float:
    """Seconds a batch."""
    batches = [batch() for _ in range(EACH)]
    began = time.perf_counter()
    for packed in batches:
        send(packed)
    return (time.perf_counter() - began) / EACH


def show(took: dict[str, list[float]]) -> None:
    """The ratio: how many times as fast as the peer ingest is."""
    ours = took["ingest"]
    rows = []
    for peer, seconds in took.items():
        ratios = [theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]
        rate = SIZE / statistics.median(seconds)
        rows.append((peer, report.ratio(statistics.median(ratios)), f"{rate:,.0f}"))
    report.table("POST /v1/ingest, batches of 500 results", ("", "ratio", "envelopes/s"), rows)
