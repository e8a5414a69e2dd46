"""A small collector with everything real around it: a database, a sink over HTTP that can misbehave, the local state on disk.

Run as a program it is one run in a process of its own, so that the sink can kill it: FOLDER DATABASE PORT.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import http.client
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from contracts.config import NetworkConfig
from runtime.adapters.state.deliveries import SqlDeliveries
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.locks import FileLocks
from runtime.adapters.state.runs import register
from runtime.adapters.state.store import State
from runtime.domain.action import Action, Decision, Done, Params, Stage
from runtime.domain.catalogue import Catalogue, build
from runtime.domain.deliveries import AnswerLost, Deliver, Parcel, Receipt, Rejected
from runtime.domain.errors import Transient
from runtime.domain.model import Host, HostResult, Outcome, Reason, Selector
from runtime.domain.pipeline import Request, resolve
from runtime.domain.providers import Provider
from runtime.domain.sources import Query, Row, SourceFacts
from runtime.domain.time.clocks import Anchor
from runtime.engine import gates
from runtime.engine.concentrator import Concentrators
from runtime.engine.run import Listener, execute
from runtime.engine.run_context import RunContext
from runtime.engine.stop import Stop
from tests.harness.ports import LOOPBACK

BATCH = 3
TIMEOUT_S = 1.0
SQLITE = "SELECT id, total FROM coupons WHERE id > CAST(:watermark AS INTEGER) ORDER BY id LIMIT 3"
POSTGRESQL = (
    "SELECT id, total FROM coupons WHERE id > coalesce(nullif(%(watermark)s, ''), '0')::int ORDER BY id LIMIT 3"
)


class Clock:
    """The machine's clocks."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def collector(text: str = SQLITE) -> Action:
    """Delivers what is new in the table, three rows at once. Not shipped: it stands for the collectors to come."""

    def decide(facts: SourceFacts, params: Params, host: Host) -> Decision:
        rows = facts.rows["coupons"]
        if not rows:
            return Done({"watermark": facts.watermark}, f"delivered up to {facts.watermark or 'nothing'}")
        step = Deliver("coupons", "business_api", tuple(rows))
        return Stage("deliver coupons", (step,), confirm="receipt", watermark=str(rows[-1]["id"]))

    return Action(
        name="collect_test_coupons",
        aliases=(),
        version="1.0.0",
        summary="Deliver coupons.",
        effect="read",
        target="concentrator",
        roles=frozenset({"concentrator"}),
        queries=(Query("coupons", "controle", text),),
        decide=decide,
        stages=50,
    )


class SqliteSources:
    """One database file for every concentrator."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[SqliteSources]:
        yield self

    async def read(self, query: Query, values: Mapping[str, Any]) -> Sequence[Row]:
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query.text, values)]


class PostgresSources:
    """One database for every concentrator, read in sessions that cannot write."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextlib.asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[PostgresSources]:
        try:
            connection = await psycopg.AsyncConnection.connect(self._url, row_factory=dict_row, autocommit=True)
        except psycopg.OperationalError as error:
            text = f"{host.name}: {error}"
            raise Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, text) from error
        async with connection:
            await connection.set_read_only(True)
            self._connection = connection
            yield self

    async def read(self, query: Query, values: Mapping[str, Any]) -> Sequence[Row]:
        cursor = await self._connection.execute(query.text.encode(), values)
        return await cursor.fetchall()


class HttpSink:
    """The client's side. What it says of an attempt is what can be known: refused before it was sent, or lost after."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def deliver(self, parcel: Parcel) -> Receipt:
        return await asyncio.to_thread(self._post, parcel)

    def _post(self, parcel: Parcel) -> Receipt:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=10)
        headers = {"X-Idempotency-Key": parcel.key, "X-Pid": str(os.getpid()), "Content-Type": "application/json"}
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError as error:
                raise Rejected(f"it cannot be connected to ({error.strerror})") from None
            try:
                connection.request("POST", "/coupons", parcel.payload, headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                raise AnswerLost("ended the connection without an answer") from None
        if answer.status != 200:
            raise Rejected(f"HTTP {answer.status}")
        said = json.loads(body)
        return Receipt(said["stored"], {str(one["id"]): one["error"] for one in said["failed"]})


@dataclass
class SinkServer:
    """A back end that knows its keys. ``moods``: what it does with the next requests, then "ack".

    ``requests``: every key that came, in order; ``stored``: ids of the rows, each as often as it was stored.
    """

    moods: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    known: set[tuple[str, int]] = field(default_factory=set)
    late_s: float = 2 * TIMEOUT_S
    port: int = 0

    def store(self, key: str, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if (key, row["id"]) not in self.known:
                self.known.add((key, row["id"]))
                self.stored.append(row["id"])


@contextlib.contextmanager
def sink_server(*moods: str) -> Iterator[SinkServer]:
    sink = SinkServer(list(moods))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            key, rows = (
                self.headers["X-Idempotency-Key"],
                json.loads(self.rfile.read(int(self.headers["Content-Length"]))),
            )
            sink.requests.append(key)
            mood = sink.moods.pop(0) if sink.moods else "ack"
            taken = rows[:-1] if mood == "partial" else rows
            if mood in ("refuse", "drop"):
                self._answer(422, {}) if mood == "refuse" else self._hang_up()
                return
            sink.store(key, taken)
            if mood == "store and drop":
                self._hang_up()
            elif mood == "store and kill":
                os.kill(int(self.headers["X-Pid"]), signal.SIGKILL)
                self._hang_up()
            else:
                time.sleep(sink.late_s if mood == "late" else 0)
                failed = [{"id": row["id"], "error": "no such till"} for row in rows[len(taken) :]]
                self._answer(200, {"stored": len(taken), "failed": failed})

        def _hang_up(self) -> None:
            self.close_connection = True

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    sink.port = server.server_address[1]
    threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()


def make_source(path: Path, rows: int) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE coupons (id INTEGER PRIMARY KEY, total INTEGER)")
    add_rows(path, 1, rows)
    return path


def add_rows(path: Path, first: int, last: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO coupons VALUES (?, ?)", [(number, number) for number in range(first, last + 1)]
        )


def collect(
    folder: Path, sources: SqliteSources | PostgresSources, port: int, *, text: str = SQLITE, dry_run: bool = False
) -> HostResult:
    """One run over the one concentrator of the configuration, in the local state of ``folder``."""
    return asyncio.run(_collect(folder, sources, port, text, dry_run))


async def _collect(
    folder: Path, sources: SqliteSources | PostgresSources, port: int, text: str, dry_run: bool
) -> HostResult:
    action, clock = collector(text), Clock()
    concentrator = {"address": LOOPBACK, "name": "ACME-LOJA001-HUB", "store": 1}
    config = NetworkConfig.model_validate(
        {"network": "ACME", "inventory": {"kind": "static"}, "concentrators": [concentrator]}
    )
    providers = {"arius": Provider(id="arius", display_name="Arius", default_rollout=100)}
    known = Catalogue(build([action]), providers, {action.name: "L2"})
    request = Request(action.name, selector=Selector(stores=(1,)), dry_run=dry_run)
    with State(folder, now=clock.now()) as state:
        job = resolve(request, config, known, agent_id="agent-1", now=clock.now())
        sinks = {"business_api": HttpSink(port)}
        context = RunContext(
            plan=job,
            policy=gates.policy(config, providers, ()),
            locks=FileLocks(folder, clock),
            ledger=SqlLedger(state, clock),
            clock=clock,
            stop=Stop(),
            anchor=Anchor.take(clock),
            identities=None,  # type: ignore[arg-type]  # only terminals say who they are
            drivers={"concentrator": Concentrators(sources, sinks, SqlDeliveries(state, clock), TIMEOUT_S)},
            host_deadline=30.0,
        )
        listener = Listener(selected=lambda job, hosts: None, result=lambda result: None)
        with register(folder, job.info):
            report, trouble = await execute(job, context, NoInventory(), config, listener)
        assert trouble is None
        (result,) = report.results
        return result


class NoInventory:
    """A run on concentrators has no use for the inventory of terminals."""

    def read(self, selector: Selector) -> Any:
        raise AssertionError("the inventory was read")


if __name__ == "__main__":
    collect(Path(sys.argv[1]), SqliteSources(Path(sys.argv[2])), int(sys.argv[3]))
