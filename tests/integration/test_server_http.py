"""The HTTP contract of the control plane, on SQLite and PostgreSQL, by the short way for polls and by Flask alone."""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import Client, TestResponse

from contracts.visible import visible
from server.api.config_poll import ConfigPoll
from tests.harness.control_plane import CLIENT, ControlPlane, prepared, services_of

PATH = "/api/ingest/bot/config"
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class World:
    """A prepared control plane with tokens of every kind; `http` is the application without a network between."""

    plane: ControlPlane
    http: FlaskClient
    raw: bytes
    etag: str
    tokens: Mapping[str, str]

    def get(self, token: str | None, query: str = "", **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["X-Bot-Token"] = self.tokens.get(token, token)
        return self.http.get(PATH + query, headers=given)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ControlPlane:
    folder: Path = tmp_path_factory.mktemp("plane")
    if request.param == "sqlite":
        return prepared(folder)
    cluster = request.getfixturevalue("postgres_cluster")
    return prepared(folder, cluster.create_database(folder.name))


@pytest.fixture(scope="module")
def tokens(plane: ControlPlane) -> dict[str, str]:
    plane.must("client", "add", "Other")
    plane.must("network", "add", "Other", "MAR")
    plane.must("client", "add", "Empty")
    revoked = plane.token()
    plane.must("token", "revoke", revoked.split(".")[1])
    return {
        "all": plane.token(),
        "sol": plane.token("--network", "SOL"),
        "lua": plane.token("--network", "LUA"),
        "both": plane.token("--network", "SOL", "--network", "LUA"),
        "expiring": plane.token("--network", "SOL", "--expires", "1d"),
        "ingest": plane.token("--network", "SOL", "--scope", "ingest", "--scope", "commands"),
        "other": plane.token(client="Other"),
        "empty": plane.token(client="Empty"),
        "revoked": revoked,
    }


@pytest.fixture(params=["short", "flask"])
def world(request: pytest.FixtureRequest, plane: ControlPlane, tokens: dict[str, str]) -> Iterator[World]:
    raw = plane.publish("SOL")
    with plane.app() as app:
        if request.param == "flask":
            app.wsgi_app = MethodType(Flask.wsgi_app, app)  # type: ignore[method-assign]
        yield World(plane, app.test_client(), raw, plane.etag("SOL"), tokens)


def at(now: dt.datetime) -> Callable[[], dt.datetime]:
    """A clock that stands still."""
    return lambda: now


def test_the_document_is_served_byte_for_byte(world: World) -> None:
    answer = world.get("sol")
    assert (answer.status_code, answer.data) == (200, world.raw)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["ETag"] == world.etag
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("token", "query"),
    [
        ("all", "?rede=SOL"),
        ("sol", "?rede=SOL"),
        ("sol", ""),
        ("sol", "?rede="),
        ("both", "?rede=SOL"),
        ("expiring", ""),
    ],
)
def test_a_token_gets_the_networks_that_it_allows(world: World, token: str, query: str) -> None:
    assert world.get(token, query).data == world.raw
    answer = world.get(token, query, If_None_Match=world.etag)
    assert (answer.status_code, answer.data) == (304, b"")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_accepted(world: World, scheme: str) -> None:
    token = world.tokens["sol"]
    assert world.get(None, Authorization=f"{scheme} {token}").data == world.raw
    assert world.get(None, Authorization=f"{scheme} {token}", If_None_Match=world.etag).status_code == 304
    assert world.get("sol", Authorization=f"{scheme} {token}").data == world.raw
    # Another scheme is a gateway's own business.
    assert world.get("sol", Authorization="Basic dTpw").data == world.raw


REFUSED = [
    (None, "", 401, "token_missing"),
    ("", "", 401, "token_missing"),
    ("fm1.0123456789ab." + "a" * 43, "", 401, "token_unknown"),
    ("not a token", "", 401, "token_unknown"),
    ("x" * 7000, "", 401, "token_unknown"),
    ("' OR 1=1 --", "", 401, "token_unknown"),
    ("revoked", "?rede=SOL", 403, "token_revoked"),
    ("ingest", "?rede=SOL", 403, "scope_missing"),
    ("sol", "?rede=LUA", 403, "network_not_allowed"),
    ("other", "?rede=SOL", 403, "network_not_allowed"),
    ("all", "?rede=MAR", 403, "network_not_allowed"),
    ("all", "?rede=sol", 403, "network_not_allowed"),
    ("all", "?rede=%00", 403, "network_not_allowed"),
    ("all", "?rede=SOL%0A", 403, "network_not_allowed"),
    ("all", "?rede=../../etc/passwd", 403, "network_not_allowed"),
    ("all", "?rede=%ff%fe", 403, "network_not_allowed"),
    ("all", "?rede=" + "S" * 2000, 403, "network_not_allowed"),
    ("all", "?rede=SOL&rede=LUA", 400, "network_ambiguous"),
    ("all", "", 400, "network_required"),
    ("both", "?rede=", 400, "network_required"),
    ("empty", "", 400, "network_required"),
    ("all", "?rede=LUA", 404, "configuration_missing"),
    ("lua", "", 404, "configuration_missing"),
]


@pytest.mark.parametrize(("token", "query", "status", "reason"), REFUSED)
def test_everything_else_is_refused_with_its_reason(
    world: World, token: str | None, query: str, status: int, reason: str
) -> None:
    for headers in ({}, {"If_None_Match": world.etag}):
        answer = world.get(token, query, **headers)
        assert (answer.status_code, answer.json and answer.json["reason"]) == (status, reason)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json
        assert answer.json["status"] == status
        assert answer.json["correlation_id"] == answer.headers["x-correlation-id"]
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert "ETag" not in answer.headers


def test_a_token_with_a_changed_secret_is_unknown(world: World) -> None:
    token = world.tokens["sol"]
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for headers in ({}, {"If_None_Match": world.etag}):
        assert world.get(changed, "?rede=SOL", **headers).status_code == 401


def test_a_revoked_token_is_reported_as_revoked_only_with_its_secret(world: World) -> None:
    public_id = world.tokens["revoked"].split(".")[1]
    answer = world.get(f"fm1.{public_id}." + "a" * 43)
    assert answer.json
    assert answer.json["reason"] == "token_unknown"


def test_two_different_tokens_are_refused(world: World) -> None:
    answer = world.get("sol", Authorization=f"Bearer {world.tokens['all']}")
    assert (answer.status_code, answer.json and answer.json["reason"]) == (400, "token_ambiguous")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic dTpw", "garbage", "Token abc"])
def test_a_malformed_authorization_counts_as_no_token(world: World, header: str) -> None:
    assert world.get(None, Authorization=header).status_code == 401


def test_without_rede_the_networks_to_choose_from_are_listed(world: World) -> None:
    answer = world.get("all")
    assert answer.json
    assert answer.json["networks"] == ["LUA", "SOL"]


def test_an_expired_token_is_refused_from_its_last_second_on(plane: ControlPlane, tokens: dict[str, str]) -> None:
    plane.publish("SOL")
    expires = next(
        dt.datetime.fromisoformat(row["expires_at"])
        for row in json.loads(plane.must("token", "list", "--output", "json"))
        if row["id"] == tokens["expiring"].split(".")[1]
    )
    seen = []
    for now in (expires - dt.timedelta(seconds=1), expires + dt.timedelta(seconds=1)):
        with plane.app(at(now)) as app:
            headers = {"X-Bot-Token": tokens["expiring"]}
            answer = app.test_client().get(f"{PATH}?rede=SOL", headers=headers)
            headers["If-None-Match"] = answer.headers.get("ETag", plane.etag("SOL"))
            seen += [answer.status_code, app.test_client().get(f"{PATH}?rede=SOL", headers=headers).status_code]
    assert seen == [200, 304, 403, 403]


def test_a_revocation_takes_effect_with_the_next_request(world: World) -> None:
    token = world.plane.token("--network", "SOL")
    assert world.get(token, "?rede=SOL", If_None_Match=world.etag).status_code == 304
    world.plane.must("token", "revoke", token)
    assert world.get(token, "?rede=SOL", If_None_Match=world.etag).status_code == 403
    assert world.get(token, "?rede=SOL").status_code == 403


def test_a_new_document_is_served_by_the_next_request(world: World) -> None:
    before = world.etag
    assert world.get("sol", "?rede=SOL", If_None_Match=before).status_code == 304
    raw = world.plane.publish("SOL", timezone="America/Manaus")
    answer = world.get("sol", "?rede=SOL", If_None_Match=before)
    assert (answer.status_code, answer.data) == (200, raw)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"other", {}', 304),
        ('"other",W/{}', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("{}x", 200),
        ('"unclosed', 200),
        (",,,", 200),
    ],
)
def test_if_none_match_takes_lists_weak_tags_and_the_star(world: World, form: str, status: int) -> None:
    assert world.get("sol", "?rede=SOL", If_None_Match=form.format(world.etag)).status_code == status


def test_head_is_get_without_the_body(world: World) -> None:
    headers = {"X-Bot-Token": world.tokens["sol"]}
    answer = world.http.head(PATH, headers=headers)
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (200, b"", world.etag)
    assert answer.headers["Content-Length"] == str(len(world.raw))
    assert world.http.head(f"{PATH}?rede=SOL", headers={**headers, "If-None-Match": world.etag}).status_code == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_answered_with_those_that_are_allowed(world: World, method: str) -> None:
    headers = {"X-Bot-Token": world.tokens["sol"], "If-None-Match": world.etag}
    answer = world.http.open(f"{PATH}?rede=SOL", method=method, headers=headers)
    assert (answer.status_code, answer.json and answer.json["reason"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path", ["/", "/api", PATH + "/", PATH + "/x", "/static/x", "/api/bootstrap/install.bat", "/%00"]
)
def test_unknown_paths_are_problems_too(world: World, path: str) -> None:
    answer = world.http.get(path)
    assert (answer.status_code, answer.json and answer.json["reason"]) == (404, "not_found")


@pytest.mark.parametrize("received", ["a", "run-7:host.3_x", "x" * 128])
def test_a_correlation_id_is_returned(world: World, received: str) -> None:
    for token, condition, status in (("sol", "none", 200), ("sol", world.etag, 304), (None, "none", 401)):
        answer = world.get(token, "?rede=SOL", X_Correlation_Id=received, If_None_Match=condition)
        assert (answer.status_code, answer.headers["x-correlation-id"]) == (status, received)


@pytest.mark.parametrize("received", ["", "two words", "x" * 129, "é", '"quoted"'])
def test_a_malformed_correlation_id_is_replaced(world: World, received: str) -> None:
    for headers in ({}, {"If_None_Match": world.etag}):
        given = world.get("sol", "?rede=SOL", X_Correlation_Id=received, **headers).headers["x-correlation-id"]
        assert given != received
        assert len(given) == 36


@pytest.mark.parametrize("token", ["all", "sol", "both", "expiring"])
def test_the_usual_poll_never_reaches_flask(plane: ControlPlane, tokens: dict[str, str], token: str) -> None:
    raw = plane.publish("SOL")

    def flask(*_: object) -> Iterable[bytes]:
        raise AssertionError("the long way was taken")

    with plane.app() as app:
        headers = {"X-Bot-Token": tokens[token]}
        short = Client(ConfigPoll(flask, services_of(app)))
        assert short.get(f"{PATH}?rede=SOL", headers=headers).data == raw
        headers["If-None-Match"] = plane.etag("SOL")
        assert short.get(f"{PATH}?rede=SOL", headers=headers).status_code == 304


def test_health_reports_ok(world: World) -> None:
    for path in ("/health", "/api/bootstrap/health"):
        answer = world.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        backend = services_of(world.http.application).database.backend
        assert answer.json == {
            "status": "ok",
            "reasons": [],
            "version": answer.json and answer.json["version"],
            "database": {"status": "ok", "backend": backend},
            "writing": {"status": "ok", "last_failed": None},
            "disk": {"status": "ok"} if backend == "sqlite" else None,
            "migrations": {"status": "current", "revision": "0009", "head": "0009"},
            "secret_key": {"status": "ok"},
            "assets": {"status": "ok"},
        }


def test_ready_answers_200_to_a_load_balancer(world: World) -> None:
    answer = world.http.get("/ready")
    assert (answer.status_code, answer.json) == (200, {"ready": True, "reasons": []})
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_request_writes_nothing_and_the_last_use_is_written_later(world: World) -> None:
    token = world.plane.token("--network", "SOL")
    assert world.get(token, "?rede=SOL", If_None_Match=world.etag).status_code == 304
    assert _last_use(world.plane, token) is None
    services_of(world.http.application).last_use.flush()
    assert _last_use(world.plane, token) is not None


def test_a_refused_request_is_not_recorded_as_a_use(world: World) -> None:
    token = world.plane.token("--scope", "ingest")
    assert world.get(token, "?rede=SOL").status_code == 403
    services_of(world.http.application).last_use.flush()
    assert _last_use(world.plane, token) is None


def test_an_older_use_never_replaces_a_newer_one(plane: ControlPlane) -> None:
    plane.publish("SOL")
    token = plane.token("--network", "SOL")
    for now in (NOW, NOW - dt.timedelta(hours=1)):
        with plane.app(at(now)) as app:
            assert app.test_client().get(PATH, headers={"X-Bot-Token": token}).status_code == 200
    assert _last_use(plane, token) == "2026-03-01T12:00:00Z"


def _last_use(plane: ControlPlane, token: str) -> object:
    rows = json.loads(plane.must("token", "list", CLIENT, "--output", "json"))
    return next(row["last_used_at"] for row in rows if row["id"] == token.split(".")[1])


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_callers_invisible_characters_are_visible_in_the_log(
    form: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plane = prepared(tmp_path)
    token = plane.token("--scope", "bootstrap", "--network", "SOL")
    hostile = "\u202e\u200b\x9b\u3164\ufe0f"
    with plane.app(LOG_FORMAT=form, TRUSTED_PROXIES="1") as app:
        http = app.test_client()
        capfd.readouterr()
        for path in (f"/{hostile}", "/%0a%1b%5b2J%ed%a0%80%ff", "/" + quote(hostile)):
            assert http.get(path, headers={"X-Bot-Token": f"fm1.{'é' * 12}.x", "User-Agent": "é"}).status_code == 404
        odd = {"X-Forwarded-For": "é" * 300, "X-Bot-Token": token, "x-correlation-id": "é\x85"}
        body = {"agent_id": "0198c0de-0000-7000-8000-00000000c0de", "hostname": "PDV\u3164\ufe0f"}
        assert http.post("/api/bootstrap/enroll", json=body, headers=odd).status_code == 201
        printed = re.sub(r"\x1b\[[0-9;]*m", "", capfd.readouterr().err)
    lines = printed.splitlines()
    assert len(lines) == 5
    assert visible(printed) == printed
    assert r"\u3164" in printed
