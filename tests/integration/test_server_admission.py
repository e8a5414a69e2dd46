"""Every endpoint that takes a token, by every way to it, lets in the same and refuses with the same reason."""

import datetime as dt
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, update
from sqlalchemy.pool import Pool
from werkzeug.test import TestResponse

from server.services.tokens.access import Scope
from server.services.tokens.lifecycle import issue
from server.storage.models import Token
from tests.harness.control_plane import CLIENT, ControlPlane, prepared, services_of

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
MOMENT = dt.timedelta(microseconds=1)
PATH = "/api/ingest/bot/config"

Ask = Callable[[FlaskClient, str, str, str], TestResponse]


def poll(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.get(PATH + query, headers={"X-Bot-Token": token, "If-None-Match": etag})


def fetch(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.get(PATH + query, headers={"X-Bot-Token": token})


def poll_by_flask(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.get(PATH + query, headers={"Authorization": f"Bearer {token}", "If-None-Match": etag})


def fetch_by_flask(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.get(PATH + query, headers={"Authorization": f"Bearer {token}"})


def head(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.head(PATH + query, headers={"X-Bot-Token": token})


def install_sh(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.get("/api/bootstrap/install.sh" + query, headers={"X-Bot-Token": token, "Accept": "application/json"})


def install_ps1(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    return http.get("/api/bootstrap/install.ps1" + query, headers={"X-Bot-Token": token, "Accept": "application/json"})


def enroll(http: FlaskClient, query: str, token: str, etag: str) -> TestResponse:
    body = {"agent_id": str(uuid.uuid4()), "hostname": "pdv"}
    return http.post("/api/bootstrap/enroll" + query, headers={"X-Bot-Token": token}, json=body)


OF_CONFIG: list[tuple[Ask, int]] = [
    (poll, 304),
    (fetch, 200),
    (poll_by_flask, 304),
    (fetch_by_flask, 200),
    (head, 200),
]
OF_BOOTSTRAP: list[tuple[Ask, int]] = [(install_sh, 200), (install_ps1, 200), (enroll, 201)]
ENDPOINTS = [*OF_CONFIG, *OF_BOOTSTRAP]


@dataclass(frozen=True)
class World:
    http: FlaskClient
    tokens: Mapping[str, str]
    etag: str

    def asked(self, ask: Ask, token: str, query: str) -> tuple[int, str | None]:
        answer = ask(self.http, query, self.tokens[token], self.etag)
        body = answer.get_json(silent=True) or {}  # HEAD has none
        return answer.status_code, body.get("reason")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("plane")
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_cluster").create_database(folder.name)
    plane = prepared(folder, url)
    plane.must("client", "add", "Other")
    plane.must("network", "add", "Other", "MAR")
    with plane.app(lambda: NOW) as app:
        yield World(app.test_client(), _tokens(plane, services_of(app).database.writing), plane.etag("SOL"))


def _tokens(plane: ControlPlane, writing: Callable[[], object]) -> dict[str, str]:
    made: dict[str, str] = {}

    def make(
        name: str,
        *networks: str,
        client: str = CLIENT,
        scopes: tuple[Scope, ...] = (Scope.CONFIG, Scope.BOOTSTRAP),
        expires_at: dt.datetime | None = None,
        **ended: dt.datetime,
    ) -> None:
        with writing() as session:  # type: ignore[attr-defined]
            row, secret = issue(
                session, client=client, networks=networks, scopes=scopes, expires_at=expires_at, now=NOW
            )
            if ended:
                session.execute(update(Token).where(Token.public_id == row.id).values(**ended))
        made[name] = secret.reveal()

    make("all")
    make("sol", "SOL")
    make("lua", "LUA")
    make("both", "SOL", "LUA")
    make("other", client="Other")
    make("a moment left", "SOL", expires_at=NOW + MOMENT)
    make("expires now", "SOL", expires_at=NOW)
    make("expired", "SOL", expires_at=NOW - MOMENT)
    make("revoked", "SOL", revoked_at=NOW)
    make("revoked later", "SOL", revoked_at=NOW + dt.timedelta(days=1))
    make("used", "SOL", used_at=NOW - MOMENT)
    make("used and expired", "SOL", used_at=NOW - MOMENT, expires_at=NOW)
    make("of no such scope", "SOL", scopes=(Scope.INGEST, Scope.COMMANDS))
    made["wrong secret"] = made["sol"][:-43] + made["all"][-43:]
    made["nobody's"] = "fm1.0123456789ab." + "a" * 43
    made["no token"] = "anything"
    return made


CASES: list[tuple[str, str, int, str]] = [
    ("sol", "?rede=SOL", 0, ""),
    ("sol", "", 0, ""),
    ("sol", "?rede=", 0, ""),
    ("all", "?rede=SOL", 0, ""),
    ("both", "?rede=SOL", 0, ""),
    ("a moment left", "?rede=SOL", 0, ""),
    ("a moment left", "", 0, ""),
    ("sol", "?rede=LUA", 403, "network_not_allowed"),
    ("lua", "?rede=SOL", 403, "network_not_allowed"),
    ("other", "?rede=SOL", 403, "network_not_allowed"),
    ("all", "?rede=MAR", 403, "network_not_allowed"),
    ("all", "?rede=NONE", 403, "network_not_allowed"),
    ("all", "?rede=sol", 403, "network_not_allowed"),
    ("all", "?rede=%00", 403, "network_not_allowed"),
    ("all", "", 400, "network_required"),
    ("both", "", 400, "network_required"),
    ("expires now", "?rede=SOL", 403, "token_expired"),
    ("expires now", "", 403, "token_expired"),
    ("expired", "?rede=SOL", 403, "token_expired"),
    ("revoked", "?rede=SOL", 403, "token_revoked"),
    ("revoked later", "?rede=SOL", 403, "token_revoked"),
    ("used", "?rede=SOL", 403, "token_used"),
    ("used and expired", "", 403, "token_used"),
    ("of no such scope", "?rede=SOL", 403, "scope_missing"),
    ("wrong secret", "?rede=SOL", 401, "token_unknown"),
    ("nobody's", "?rede=SOL", 401, "token_unknown"),
    ("no token", "", 401, "token_unknown"),
]


@pytest.mark.parametrize(("token", "query", "status", "reason"), CASES)
def test_every_endpoint_gives_the_same_verdict(world: World, token: str, query: str, status: int, reason: str) -> None:
    for ask, success in ENDPOINTS:
        expected = (status or success, None if ask is head else reason or None)
        assert world.asked(ask, token, query) == expected, ask.__name__


def test_no_endpoint_reveals_anything_about_a_network_outside_the_token(world: World) -> None:
    for ask, _ in ENDPOINTS:
        there, absent = (ask(world.http, f"?rede={code}", world.tokens["lua"], world.etag) for code in ("SOL", "NONE"))
        assert there.status_code == absent.status_code == 403
        assert {"ETag", "Last-Modified"}.isdisjoint(there.headers.keys())
        bodies = [{**(one.get_json(silent=True) or {}), "correlation_id": ""} for one in (there, absent)]
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize(("endpoints", "scope"), [(OF_CONFIG, Scope.CONFIG), (OF_BOOTSTRAP, Scope.BOOTSTRAP)])
def test_a_scope_admits_only_to_its_own_endpoints(world: World, endpoints: list[tuple[Ask, int]], scope: Scope) -> None:
    with services_of(world.http.application).database.writing() as session:
        _, secret = issue(session, client=CLIENT, networks=["SOL"], scopes=[scope], expires_at=None, now=NOW)
    for ask, success in ENDPOINTS:
        expected = success if (ask, success) in endpoints else 403
        assert ask(world.http, "", secret.reveal(), world.etag).status_code == expected, ask.__name__


def test_a_token_that_works_once_is_refused_everywhere_after_its_enrolment(world: World) -> None:
    with services_of(world.http.application).database.writing() as session:
        _, secret = issue(
            session,
            client=CLIENT,
            networks=["SOL"],
            scopes=[Scope.CONFIG, Scope.BOOTSTRAP],
            expires_at=None,
            now=NOW,
            single_use=True,
        )
    for _ in range(2):
        for ask, success in (*OF_CONFIG, (install_sh, 200), (install_ps1, 200)):
            assert ask(world.http, "", secret.reveal(), world.etag).status_code == success, ask.__name__
    assert enroll(world.http, "", secret.reveal(), world.etag).status_code == 201
    for ask, _ in ENDPOINTS:
        assert ask(world.http, "", secret.reveal(), world.etag).status_code == 403, ask.__name__


def test_a_poll_reads_at_most_twice_by_indexes_and_writes_nothing(tmp_path: Path) -> None:
    plane = prepared(tmp_path)
    token, etag, seen = plane.token("--network", "SOL"), plane.etag("SOL"), list[str]()

    def listen(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(seen.append)

    event.listen(Pool, "connect", listen)
    try:
        with plane.app(lambda: NOW) as app:
            counts = []
            for ask in (poll, fetch, fetch, poll_by_flask, fetch_by_flask):
                seen.clear()
                assert ask(app.test_client(), "?rede=SOL", token, etag).status_code in (200, 304)
                reads = [one for one in seen if not one.startswith("PRAGMA")]
                counts.append(len(reads))
                assert all(one.startswith("SELECT") for one in reads)
                with services_of(app).database.reading() as connection:
                    for one in reads:
                        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}")]
                        assert not [step for step in plan if step.startswith("SCAN")], plan
    finally:
        event.remove(Pool, "connect", listen)
    assert counts == [1, 2, 1, 1, 1], "a document is read once, and the token each time"
