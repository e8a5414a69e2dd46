"""A client that knows only the channel's documents is understood by the real control plane, and loses nothing."""

from __future__ import annotations

import ast
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from sqlalchemy import select

from contracts.ids import uuid7
from server.storage.models import Agent, Envelope
from server.storage.session import open_database
from tests.e2e.headquarters import enrol
from tests.harness.control_plane import ControlPlane, prepared
from tests.integration import outside_client
from tests.integration.outside_client import PAUSE_S, Client

AT = "2026-03-14T12:00:00Z"
NOT_JSON = "<html>Sign in to the hotel's network</html>"


@dataclass
class Site:
    """A folder with an outbox and a token file, a clock that is moved by hand, and the clients that were started there."""

    folder: Path
    base: str
    ahead: float = 0.0
    started: list[Client] = field(default_factory=list)

    def client(self, outbox: str = "outbox.db", wall: Callable[[], float] = time.time) -> Client:
        made = Client(
            self.base,
            self.folder / "token",
            self.folder / outbox,
            wall=wall,
            monotonic=lambda: self.ahead,
            jitter=lambda low, high: (low + high) / 2,
        )
        self.started.append(made)
        return made


@dataclass
class World(Site):
    """A site with an agent of its own at a served control plane."""

    plane: ControlPlane = field(kw_only=True)
    agent_id: str = field(kw_only=True)

    def shown(self, *words: str) -> Any:
        return json.loads(self.plane.must(*words, "--output", "json"))

    def stored(self) -> dict[str, Any]:
        """The agent's envelopes by their ids."""
        query = select(Envelope.__table__).where(Envelope.agent == Agent.id, Agent.agent_id == self.agent_id)
        database = open_database(self.plane.settings().database_url, timeout=5)
        with contextlib.closing(database), database.reading() as connection:
            return {str(row.envelope_id): row for row in connection.execute(query)}


@contextlib.contextmanager
def enrolled(plane: ControlPlane, base: str, folder: Path) -> Iterator[World]:
    agent_id = uuid7()
    (folder / "token").write_text(enrol(plane, base, agent_id))
    world = World(folder, base, plane=plane, agent_id=agent_id)
    yield world
    for client in world.started:
        client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ControlPlane, str]]:
    plane = prepared(tmp_path_factory.mktemp("outside"))
    with plane.serving(NGINX="none") as (base, _):
        yield plane, base


@pytest.fixture
def world(server: tuple[ControlPlane, str], tmp_path: Path) -> Iterator[World]:
    with enrolled(*server, tmp_path) as found:
        yield found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "token").write_text("fm1.token")
    found = Site(tmp_path, "http://127.0.0.1:9")
    yield found
    for client in found.started:
        client.close()


class Scripted(BaseAdapter):
    """Gives these answers, one each request, and keeps what was sent."""

    def __init__(self, *answers: tuple[int, object, Mapping[str, str]]) -> None:
        super().__init__()
        self.answers, self.sent = list(answers), 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.sent += 1
        status, body, headers = self.answers.pop(0)
        made = requests.Response()
        made.status_code, made.request, made.url = status, request, request.url or ""
        made._content = (body if isinstance(body, str) else json.dumps(body)).encode()
        made.headers.update(headers)
        return made

    def close(self) -> None:
        """Nothing is held."""


class Deaf(HTTPAdapter):
    """The request arrives; its answer does not."""

    def send(self, *words: Any, **more: Any) -> requests.Response:
        super().send(*words, **more).close()
        raise requests.ConnectionError("cut")


def answering(client: Client, *answers: tuple[int, object, Mapping[str, str]]) -> Scripted:
    made = Scripted(*answers)
    client.session.mount("http://", made)
    return made


def taken(*failed: dict[str, object], received: int = 1, version: str = "1") -> tuple[int, object, Mapping[str, str]]:
    told = {"received": received, "stored": received - len(failed), "failed": failed, "server_version": version}
    return 200, told, {}


def note(client: Client, **body: object) -> str:
    return client.add("event", "noted.outside", body)


def tell_run(client: Client, run_id: str, host: str, outcome: str = "changed") -> None:
    """The story of one run, in the order in which it happens."""
    about = {"id": "1", "name": host, "store": 1, "terminal": 1}
    result = {"host": about, "outcome": outcome, "reason": "confirmed", "run_id": run_id, "message": "washed by hand"}
    gates = [{"gate": "role", "allowed": True, "text": "checkout"}]
    finished = {"run_id": run_id, "exit_code": 0, "finished_at": AT, "summary": {outcome: 1}}
    client.add(
        "event",
        "run.started",
        {"run_id": run_id, "action": "wash_windows", "started_at": AT, "hosts": 1, "actor": "maria"},
    )
    client.add("result", "host", {**result, "action": "wash_windows", "gates": gates, "finished_at": AT})
    client.add("event", "run.finished", finished)


def test_the_client_needs_nothing_of_the_project() -> None:
    source = Path(outside_client.__file__).read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    imports = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imports |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert {name.partition(".")[0] for name in imports} <= sys.stdlib_module_names | {"requests"}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_runs_and_why_understand_what_an_outside_client_delivers(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    plane = prepared(tmp_path, None if database == "sqlite" else request.getfixturevalue("postgres_url"))
    with plane.serving(NGINX="none") as (base, _), enrolled(plane, base, tmp_path) as world:
        client, run_id = world.client(), uuid7()
        assert client.heartbeat() == 30
        tell_run(client, run_id, "SOL-LOJA001-PDV001")
        detected = {"run_id": run_id, "host": {"id": "1", "name": "SOL-LOJA001-PDV001"}, "reason": "host_key_changed"}
        client.add("detection", "host_key.changed", {**detected, "message": "another key", "at": AT})
        client.add("metric", "proxy", {"values": {"buckets_of_water": 2.5}, "at": AT})
        assert (client.deliver(), client.waiting(), client.dead_letters()) == (0, 0, [])
        (row,) = world.shown("runs")
        assert (row["run"], row["action"], row["outcomes"]) == (run_id, "wash_windows", {"changed": 1})
        (row,) = world.shown("why", "SOL-LOJA001-PDV001")
        assert (row["run"], row["outcome"], row["message"]) == (run_id, "changed", "washed by hand")
        assert row["gates"] == [{"gate": "role", "allowed": True, "text": "checkout"}]
        assert "1 changed" in plane.must("runs", run_id)
        world.ahead += 30
        client.heartbeat()
        (row,) = world.shown("agents")
        assert (row["state"], row["version"], row["waiting"]) == ("online", "outside 1", 0)


def test_envelopes_whose_answer_was_lost_are_duplicates_and_acknowledged(world: World) -> None:
    client = world.client()
    made = sorted(note(client, n=n) for n in range(3))
    client.session.mount("http://", Deaf())
    assert client.deliver() > 0
    assert (sorted(world.stored()), client.waiting()) == (made, 3)
    world.ahead += PAUSE_S
    client.session.mount("http://", HTTPAdapter())
    assert (client.deliver(), client.waiting(), client.dead_letters()) == (0, 0, [])
    assert sorted(world.stored()) == made


def test_what_the_server_will_never_take_is_a_dead_letter_and_the_rest_is_stored(world: World) -> None:
    client = world.client()
    good = [note(client)]
    client.add("event", "run.finished", {"run_id": "r"})
    note(client, text="x" * 70_000)
    client.add("event", "noted", {}, tenant_id="Somebody Else")
    client.add("event", "noted", {}, envelope_id=uuid7(0))
    client.add("weather", "rain", {})  # a kind that a later server may know
    note(client, text="x" * 5_000_000)  # more than a whole batch may have
    good.append(note(client))
    assert client.deliver() == 0
    dead = {error: detail for _, error, detail in client.dead_letters()}
    assert sorted(dead) == ["foreign", "http_413", "invalid", "too_large", "too_old"]
    assert "exit_code" in dead["invalid"]
    assert client.waiting() == 1
    found = world.stored()
    (tombstone,) = set(found) - set(good)
    lost = json.loads(found[tombstone].body)
    assert (lost["cause"], lost["dropped"], lost["ranges"]) == ("too_old", 1, [[5, 5]])
    assert set(good) < set(found)


def test_a_batch_that_is_larger_than_the_server_takes_is_halved_until_it_fits(tmp_path: Path) -> None:
    plane, limits = prepared(tmp_path), {"INGEST_ENVELOPES": "7", "INGEST_AGENT_QUOTA": "100"}
    with plane.serving(NGINX="none", **limits) as (base, _), enrolled(plane, base, tmp_path) as world:
        client = world.client()
        made = sorted(note(client, n=n) for n in range(60))
        assert (client.deliver(), client.waiting(), client.dead_letters()) == (0, 0, [])
        assert sorted(world.stored()) == made
        # More than the quota: what the server did not take stays, for as long as the server asks.
        for n in range(60):
            note(client, n=n)
        assert client.deliver() > 2
        assert 0 < client.waiting() < 60
        assert client.ingest.why == "/v1/ingest: 429"


def test_a_revoked_token_keeps_everything_until_a_new_one_is_in_its_file(world: World) -> None:
    client = world.client()
    note(client)
    new = enrol(world.plane, world.base, world.agent_id)  # ends the one in the file
    assert (client.deliver(), client.waiting()) == (PAUSE_S, 1)
    assert "token_revoked" in client.ingest.why
    (world.folder / "token").write_text(new)
    assert client.deliver() == PAUSE_S  # not before the five minutes are over
    world.ahead += PAUSE_S
    assert (client.deliver(), client.waiting()) == (0, 0)


def test_a_client_that_starts_again_sends_what_its_file_holds(world: World) -> None:
    first = world.client()
    made = note(first)
    stream = first.stream()
    again = world.client()
    assert (again.stream(), again.waiting()) == (stream, 1)
    later = note(again)
    assert again.deliver() == 0
    assert {found: row.seq for found, row in world.stored().items()} == {made: 1, later: 2}


def test_a_copy_that_is_older_than_what_was_delivered_begins_a_new_stream(world: World) -> None:
    client = world.client()
    note(client)
    shutil.copy(world.folder / "outbox.db", world.folder / "older.db")
    for _ in range(2):
        note(client)
    client.deliver()
    older = world.client("older.db")
    older.heartbeat()
    note(older)
    assert older.stream()[1] == 1
    assert older.stream()[0] != client.stream()[0]
    assert (older.deliver(), older.waiting()) == (0, 0)  # one of the two was stored before
    assert len(world.stored()) == 4


def test_a_damaged_outbox_is_put_aside(world: World) -> None:
    (world.folder / "outbox.db").write_bytes(b"no database" * 1000)
    client = world.client()
    note(client)
    assert (client.deliver(), len(world.stored())) == (0, 1)
    assert len(list(world.folder.glob("outbox.db.damaged-*"))) == 1


def test_pauses_follow_the_retry_table(site: Site) -> None:
    client = site.client()
    note(client)
    away = answering(
        client, (503, "", {}), (500, "", {}), (429, "", {"Retry-After": "90"}), (503, "", {"Retry-After": "99999"})
    )
    pauses = []
    for _ in range(4):
        pauses.append(client.deliver())
        assert client.deliver() == pauses[-1]  # nothing is sent before
        site.ahead += pauses[-1]
    assert pauses == [1.5, 2.5, 90, 3600]
    assert (away.sent, client.waiting()) == (4, 1)
    answering(client, taken())
    assert (client.deliver(), client.waiting(), client.ingest.failures) == (0, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        (302, "", {"Location": "http://127.0.0.1:9/elsewhere"}),
        (200, NOT_JSON, {}),
        (200, {"received": 2, "stored": 2, "failed": []}, {}),
        (200, {"received": 1, "stored": 0, "failed": [{"index": 3, "envelope_id": None, "error": "invalid"}]}, {}),
        taken({"index": 0, "envelope_id": "of another", "error": "invalid"}),
        taken({"index": 0, "envelope_id": None, "error": "of_a_later_server"}),
        (204, "", {}),
        (413, NOT_JSON, {}),
        (404, NOT_JSON, {}),
        (409, {"reason": "identity_in_use"}, {}),
    ],
    ids=[
        "a redirect",
        "a page",
        "another count",
        "another place",
        "another id",
        "an unknown error",
        "no content",
        "a page of a web proxy",
        "not found",
        "identity in use",
    ],
)
def test_an_answer_of_another_shape_pauses_and_costs_nothing(
    site: Site, answer: tuple[int, object, Mapping[str, str]]
) -> None:
    client = site.client()
    note(client)
    answering(client, answer)
    assert (client.deliver(), client.waiting(), client.dead_letters()) == (PAUSE_S, 1, [])


def test_an_unknown_kind_is_sent_again_to_a_server_of_another_version(site: Site) -> None:
    client = site.client()
    made = client.add("weather", "rain", {})
    refused = {"index": 0, "envelope_id": made, "error": "unknown_kind"}
    answering(client, taken(refused))
    assert (client.deliver(), client.deliver(), client.waiting()) == (0, 0, 1)
    newer = answering(client, (200, {"server_time_unix_ms": 1, "interval_s": 30, "server_version": "2"}, {}), taken())
    client.heartbeat()
    assert (client.deliver(), client.waiting(), newer.sent) == (0, 0, 2)


def test_a_heartbeat_that_fails_is_followed_by_a_new_one_after_the_interval(site: Site) -> None:
    client = site.client()
    answering(client, (503, "", {}), (403, {"reason": "token_revoked"}, {}), (429, "", {"Retry-After": "90"}))
    pauses = []
    for _ in range(3):
        pauses.append(client.heartbeat())
        assert client.heartbeat() == pauses[-1]
        site.ahead += pauses[-1]
    assert pauses == [30, 30, 90]


@pytest.mark.parametrize("error", ["quota", "unavailable"])
def test_what_the_server_cannot_take_now_waits(site: Site, error: str) -> None:
    client = site.client()
    made = note(client)
    answering(client, taken({"index": 0, "envelope_id": made, "error": error}), taken())
    assert (client.deliver(), client.waiting()) == (1.5, 1)
    site.ahead += 1.5
    assert (client.deliver(), client.waiting()) == (0, 0)


def test_a_clock_that_is_months_behind_ends_in_dead_letters_and_not_in_a_loop(world: World) -> None:
    client = world.client(wall=lambda: 1_600_000_000.0)
    note(client)
    assert (client.deliver(), client.waiting()) == (0, 0)
    assert [error for _, error, _ in client.dead_letters()] == ["too_old", "too_old"]
