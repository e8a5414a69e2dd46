"""How a host becomes a proxy: install.sh, install.ps1, enrolment and install-command, on SQLite and PostgreSQL."""

import contextlib
import datetime as dt
import json
import shlex
import shutil
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import Engine, event
from werkzeug.test import TestResponse

from contracts.ids import uuid7
from server.services.installer.assets import find_root
from tests.harness.control_plane import (
    CLIENT,
    PRODUCT,
    PUBLIC_URL,
    ControlPlane,
    document,
    prepared,
    services_of,
)
from tools import powershell

INSTALL = "/api/bootstrap/install.sh"
WINDOWS = "/api/bootstrap/install.ps1"
ENROLL = "/api/bootstrap/enroll"
CONFIG = "/api/ingest/bot/config"
JSON = "application/json"


def token_in(line: str) -> str:
    """The token of a line to paste: what its `printf` prints for curl."""
    words = shlex.split(line)
    return words[2].removeprefix('header = "X-Bot-Token: ').removesuffix('"')


@dataclass(frozen=True)
class World:
    """A prepared control plane; `http` is the application without a network between."""

    plane: ControlPlane
    http: FlaskClient

    def script(self, token: str | None, query: str = "", path: str = INSTALL, accept: str = JSON) -> TestResponse:
        """An error as JSON; with another ``accept``, such as curl's, as the script that a host runs."""
        headers = {"Accept": accept} | ({"X-Bot-Token": token} if token is not None else {})
        return self.http.get(path + query, headers=headers)

    def enroll(self, token: str | None, agent_id: str, hostname: str = "proxy-1", query: str = "") -> TestResponse:
        headers = {"X-Bot-Token": token} if token is not None else {}
        return self.http.post(ENROLL + query, headers=headers, json={"agent_id": agent_id, "hostname": hostname})

    def once(self, network: str = "SOL") -> str:
        """A token of `install-command`."""
        line = self.plane.must("install-command", CLIENT, network).splitlines()[-1]
        return token_in(line)

    def row(self, token: str) -> dict[str, Any]:
        """How the token is listed."""
        rows = json.loads(self.plane.must("token", "list", "--output", "json"))
        return next(row for row in rows if row["id"] == token.split(".")[1])


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
def world(either: ControlPlane) -> Iterator[World]:
    with either.app() as app:
        yield World(either, app.test_client())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that are only refused."""
    plane = prepared(tmp_path_factory.mktemp("plane"))
    plane.must("client", "add", "Other")
    plane.must("network", "add", "Other", "MAR")
    with plane.app() as app:
        yield World(plane, app.test_client())


def reason(answer: TestResponse) -> tuple[int, object]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json
    assert answer.json["status"] == answer.status_code
    return answer.status_code, answer.json["reason"]


def values_of(script: bytes) -> dict[str, str]:
    """What the rendered stand-in prints: every value that it was rendered with."""
    printed = subprocess.run(["sh", "-s"], input=script, capture_output=True, check=True, timeout=30).stdout
    return dict(line.split("=", 1) for line in printed.decode().splitlines())


def windows_values_of(script: bytes) -> dict[str, str]:
    """What the rendered stand-in for Windows holds: values, nothing of which is code."""
    assert script.isascii()
    assert powershell.faults(script) == []
    [values] = powershell.nodes(powershell.parse(script), "hash_literal_expression")
    return powershell.hashtable(values)


# install.sh


def test_the_installer_carries_every_value_of_its_network(world: World) -> None:
    world.plane.publish(
        "SOL", timezone="America/Manaus", image={"reference": "registry.example/proxy:7", "interval": 600}
    )
    token = world.once()
    before = dt.datetime.now(dt.UTC).timestamp()
    answer = world.script(token)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/x-shellscript"
    assert answer.headers["Cache-Control"] == "no-store"
    values = values_of(answer.data)
    assert before - 1 <= int(values.pop("SERVER_TIME")) <= before + 60
    health = world.http.get("/health").json
    assert health
    assert values == {
        "API_BASE": f"{PUBLIC_URL}/api/ingest",
        "ENROLL_URL": f"{PUBLIC_URL}/api/bootstrap/enroll",
        "HEALTH_URL": f"{PUBLIC_URL}/api/bootstrap/health",
        "CLIENT": CLIENT,
        "NETWORK": "SOL",
        "TIMEZONE": "America/Manaus",
        "IMAGE": "registry.example/proxy:7",
        "WATCHTOWER_IMAGE": "containrrr/watchtower:1.7.1",
        "WATCHTOWER_INTERVAL": "600",
        "BOOTSTRAP_TOKEN": token,
        "SERVER_VERSION": health["version"],
    }


def test_without_an_image_in_the_document_the_servers_own_is_used(shared: World) -> None:
    with shared.plane.app(CLIENT_IMAGE="registry.example/mine:1", PUBLIC_URL=f"{PUBLIC_URL}/below/") as app:
        values = values_of(World(shared.plane, app.test_client()).script(shared.once()).data)
    assert values["IMAGE"] == "registry.example/mine:1"
    assert values["ENROLL_URL"] == f"{PUBLIC_URL}/below/api/bootstrap/enroll"
    assert values_of(shared.script(shared.once()).data)["IMAGE"] == "ghcr.io/flagee-cloud/flageemonitor-client:latest"


def test_a_document_of_the_first_generation_gives_an_installer_too(world: World) -> None:
    legacy = {"PARAM_REDE": "LUA", "PARAM_ZABBIX_SERVER": "zabbix.example", "PARAM_TOKEN": "hunter2"}
    world.plane.must("config", "set", CLIENT, "LUA", "-", stdin=json.dumps(legacy).encode())
    script = world.script(world.once("LUA")).data
    assert values_of(script)["NETWORK"] == "LUA"
    assert b"hunter2" not in script


HOSTILE = [
    "'; touch hit; '$(touch hit)`touch hit`\\",
    "a\nb",
    "'; exit 3; '",
    '$(exit)`n"',
    "\u2019; exit; \u2018",
    "São José",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("key", ["reference", "watchtower"])
def test_a_hostile_reference_is_refused_and_one_of_an_older_document_reaches_no_script(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    token = world.once()
    raw = document("SOL", image={key: value})
    assert world.plane.run("config", "set", CLIENT, "SOL", "-", stdin=raw).exit_code == 1
    with monkeypatch.context() as older:  # a release that did not check
        older.setattr("contracts.config.parse_reference", str)
        world.plane.must("config", "set", CLIENT, "SOL", "-", stdin=raw)
    for path, option in ((INSTALL, ()), (WINDOWS, ("--windows",))):
        answer = world.script(token, path=path)
        assert reason(answer) == (409, "installer_value_invalid")
        assert f"image.{key} of network SOL" in (answer.json or {})["detail"]
        result = world.plane.run("install-command", CLIENT, "SOL", *option)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"image.{key} of network SOL" in result.stderr


def test_a_clients_name_is_data_to_both_shells(world: World) -> None:
    name = "Sam's & Co. / + X"
    world.plane.must("client", "add", name)
    world.plane.must("network", "add", name, "SAM")
    world.plane.must("config", "set", name, "SAM", "-", stdin=document("SAM"))
    token = world.plane.token("--scope", "bootstrap", client=name)
    assert values_of(world.script(token).data)["CLIENT"] == name
    assert windows_values_of(world.script(token, path=WINDOWS).data)["CLIENT"] == name


def test_without_rede_a_token_must_allow_exactly_one_network(world: World) -> None:
    token = world.plane.token("--scope", "bootstrap")
    answer = world.script(token)
    assert reason(answer) == (400, "network_required")
    assert (answer.json or {})["networks"] == ["LUA", "SOL"]
    assert values_of(world.script(token, "?rede=SOL").data)["NETWORK"] == "SOL"


def test_a_network_without_a_configuration_has_no_installer_yet(world: World) -> None:
    token = world.plane.token("--scope", "bootstrap")
    answer = world.script(token, "?rede=LUA")
    assert reason(answer) == (404, "configuration_missing")
    assert "flagee-server config set" in (answer.json or {})["detail"]
    result = world.plane.run("install-command", CLIENT, "LUA")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"flagee-server config set '{CLIENT}' LUA FILE" in result.stderr


def test_without_a_public_url_the_fix_is_named(shared: World) -> None:
    token = shared.once()
    with shared.plane.app(PUBLIC_URL="") as app:
        answer = World(shared.plane, app.test_client()).script(token)
    assert reason(answer) == (503, "public_url_missing")
    assert "FLAGEE_PUBLIC_URL" in (answer.json or {})["detail"]
    result = shared.plane.run("install-command", CLIENT, "SOL", PUBLIC_URL="")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "FLAGEE_PUBLIC_URL" in result.stderr


DAMAGES = ["gone", "no template", "cut off", "no placeholder"]


@pytest.mark.parametrize(
    ("system", "damage"),
    [*(("linux", one) for one in DAMAGES), *(("windows", one) for one in (*DAMAGES, "no wrapper"))],
)
def test_missing_or_damaged_files_are_reported_to_the_operator_only(
    shared: World, tmp_path: Path, damage: str, system: str
) -> None:
    folder = tmp_path / "product"
    shutil.copytree(PRODUCT, folder)
    path, part, option = (INSTALL, "template.sh", []) if system == "linux" else (WINDOWS, "programs.ps1", ["--windows"])
    template = folder / path.removeprefix("/api/")
    match damage:
        case "gone":
            shutil.rmtree(folder)
        case "no template":
            template.unlink()
        case "no wrapper":
            (folder / "wrappers" / system / part).unlink()
        case "cut off":
            template.write_bytes(template.read_bytes()[:-1])
        case "no placeholder":
            template.write_bytes(template.read_bytes().replace(b"@@VALUES@@", b""))
    token = shared.once()
    with shared.plane.app(ASSETS=str(folder)) as app:
        http = World(shared.plane, app.test_client())
        answer = http.script(token, path=path)
        assert reason(answer) == (503, "assets_missing")
        assert str(folder) not in answer.text
        health = http.http.get("/api/bootstrap/health")
        assert health.json
        assert (health.status_code, health.json["status"], health.json["assets"]) == (
            200,
            "degraded",
            {"status": "missing"},
        )
        shutil.copytree(PRODUCT, folder, dirs_exist_ok=True)
        assert http.script(token, path=path).status_code == 200, "an update takes effect without a restart"
    shutil.rmtree(folder)
    result = shared.plane.run("install-command", CLIENT, "SOL", *option, ASSETS=str(folder))
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(folder) in result.stderr
    assert "FLAGEE_ASSETS" in result.stderr


def test_the_files_are_found_above_the_program(tmp_path: Path) -> None:
    package = tmp_path / "above" / "product" / "server"
    assert find_root(package) is None
    (tmp_path / "above" / "bootstrap").mkdir(parents=True)
    assert find_root(package) == tmp_path / "above"
    (tmp_path / "above" / "product" / "bootstrap").mkdir(parents=True)
    assert find_root(package) == tmp_path / "above" / "product"


# install.ps1


def test_the_installer_for_windows_carries_the_same_values(world: World) -> None:
    world.plane.publish("SOL", timezone="America/Manaus", image={"reference": "registry.example/proxy:7"})
    token = world.once()
    answer = world.script(token, path=WINDOWS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    values = windows_values_of(answer.data)
    linux = values_of(world.script(token).data)
    assert abs(int(values.pop("SERVER_TIME")) - int(linux.pop("SERVER_TIME"))) < 60
    assert values == linux


def test_the_line_for_windows_is_for_powershell(shared: World) -> None:
    result = shared.plane.run("install-command", CLIENT, "SOL", "--windows")
    assert result.exit_code == 0, result.output
    *steps, line = result.stdout.splitlines()
    token = line.partition("'X-Bot-Token'='")[2].partition("'")[0]
    assert [command.count(token) for command in (*steps, line)] == [1, 0, 0, 1]
    assert f"irm -MaximumRedirection 0 -Headers @{{'X-Bot-Token'='{token}'}} '{PUBLIC_URL}{WINDOWS}?rede=SOL'" in line
    assert [powershell.faults(command.encode()) for command in (*steps, line)] == [[]] * 4
    assert token not in result.stderr
    assert "administrator" in result.stderr
    assert shared.script(token, path=WINDOWS).status_code == 200


def test_on_windows_curl_gets_the_private_authority_and_reads_the_token_from_stdin(shared: World) -> None:
    path = "C:\\company's ca.pem"
    line = shared.plane.must("install-command", CLIENT, "SOL", "--windows", "--ca", path).splitlines()[-1]
    token = line.partition("X-Bot-Token: ")[2].partition('"')[0]
    assert token.startswith("fm1.")
    assert "| curl.exe -qsS --ssl-no-revoke --cacert 'C:\\company''s ca.pem' -K - " in line
    assert line.endswith(" -Ca 'C:\\company''s ca.pem'")
    assert powershell.faults(line.encode()) == []
    result = shared.plane.run("install-command", CLIENT, "SOL", "--windows", "--ca", "a\nb")
    assert (result.exit_code, result.stdout) == (1, "")


# Who may


def refused_tokens(world: World) -> dict[str, tuple[str | None, str, int, str]]:
    """Token, query, status and reason, by what is wrong with the token."""
    expired = world.plane.token("--scope", "bootstrap", "--network", "SOL", "--expires", "1m")
    revoked = world.plane.token("--scope", "bootstrap", "--network", "SOL")
    world.plane.must("token", "revoke", revoked)
    sol = world.plane.token("--scope", "bootstrap", "--network", "SOL")
    return {
        "none": (None, "", 401, "token_missing"),
        "unknown": ("fm1.0123456789ab." + "a" * 43, "", 401, "token_unknown"),
        "garbage": ("' OR 1=1 --", "", 401, "token_unknown"),
        "revoked": (revoked, "", 403, "token_revoked"),
        "expired": (expired, "", 403, "token_expired"),
        "wrong scope": (world.plane.token("--scope", "config", "--network", "SOL"), "", 403, "scope_missing"),
        "other network": (sol, "?rede=LUA", 403, "network_not_allowed"),
        "network of another client": (sol, "?rede=MAR", 403, "network_not_allowed"),
        "two networks": (sol, "?rede=SOL&rede=LUA", 400, "network_ambiguous"),
        "another client": (world.plane.token(client="Other"), "?rede=SOL", 403, "network_not_allowed"),
    }


def test_a_refused_caller_gets_a_reason_and_nothing_else(shared: World) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=2)
    with shared.plane.app(lambda: later) as app:
        world = World(shared.plane, app.test_client())
        for what, (token, query, status, expected) in refused_tokens(shared).items():
            for answer in (
                world.script(token, query),
                world.script(token, query, WINDOWS),
                world.enroll(token, uuid7(), query=query),
            ):
                assert reason(answer) == (status, expected), what
                assert b"#!/bin/sh" not in answer.data
                assert b"stand-in" not in answer.data
                assert token is None or token not in answer.text
                assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_a_host_gets_each_refusal_as_a_script_that_fails(shared: World) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=2)
    with shared.plane.app(lambda: later) as app:
        world = World(shared.plane, app.test_client())
        for what, (token, query, status, expected) in refused_tokens(shared).items():
            answer = world.script(token, query, accept="*/*")
            assert (answer.status_code, answer.content_type) == (status, "text/x-shellscript; charset=utf-8"), what
            assert answer.headers["Cache-Control"] == "no-store"
            done = subprocess.run(["sh", "-s"], input=answer.data, capture_output=True, check=False, timeout=30)
            assert (done.returncode, done.stdout) == (1, b"")
            assert f"Reason: {expected}, correlation id: {answer.headers['x-correlation-id']}." in done.stderr.decode()
            assert token is None or token not in answer.text
            answer = world.script(token, query, WINDOWS, accept="")
            assert (answer.status_code, answer.content_type) == (status, "text/plain; charset=utf-8"), what
            assert f"Reason: {expected}, " in answer.text
            assert powershell.faults(answer.data) == []
            assert token is None or token not in answer.text


def test_a_server_that_is_not_ready_says_so_to_a_host(shared: World) -> None:
    token = shared.once()
    for setting, status in (("PUBLIC_URL", 503), ("SECRET_KEY", 503)):
        with shared.plane.app(**{setting: ""}) as app:
            answer = World(shared.plane, app.test_client()).script(token, accept="*/*")
        assert answer.status_code == status
        done = subprocess.run(["sh", "-s"], input=answer.data, capture_output=True, check=False, timeout=30)
        assert (done.returncode, done.stdout) == (1, b"")
        assert "The control plane cannot " in done.stderr.decode()
        assert f"FLAGEE_{setting}" not in done.stderr.decode(), "settings are the operator's, and in the log"


@pytest.mark.parametrize("correlation", ["a'; touch hit; '", "$(touch hit)", "`touch hit`", "x" * 200])
def test_nothing_of_a_request_is_in_the_script_of_its_refusal(shared: World, tmp_path: Path, correlation: str) -> None:
    token = shared.plane.token("--scope", "bootstrap", "--network", "SOL")
    headers = {"Accept": f"*/*, {correlation}", "X-Bot-Token": token, "x-correlation-id": correlation}
    answer = shared.http.get(f"{INSTALL}?rede={quote(correlation)}", headers=headers)
    assert answer.status_code == 403
    assert correlation not in answer.text
    subprocess.run(["sh", "-s"], input=answer.data, capture_output=True, check=False, timeout=30, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_nginx_refuses_is_a_script_for_a_host_too(either: ControlPlane) -> None:
    with either.serving(ADDRESS_RATE="1", WORKERS="1") as (url, _):
        seen = {}
        for _ in range(20):
            for accept, form in (("*/*", "script"), (JSON, "json")):
                answer = requests.get(url + INSTALL, headers={"Accept": accept}, timeout=60)
                seen[form, answer.status_code] = answer
    answer = seen["script", 429]
    assert answer.headers["Content-Type"] == "text/x-shellscript; charset=utf-8"
    done = subprocess.run(["sh", "-s"], input=answer.content, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"Reason: too_many_requests, correlation id: {answer.headers['x-correlation-id']}." in done.stderr.decode()
    assert "Run the line again in some minutes." in done.stderr.decode()
    assert seen["json", 429].json()["reason"] == "too_many_requests"
    assert seen["json", 401].json()["reason"] == "token_missing"
    assert "token_missing" in seen["script", 401].text


def test_a_used_token_is_refused_everywhere_as_used(world: World) -> None:
    token = world.once()
    assert world.enroll(token, uuid7()).status_code == 201
    for answer in (
        world.script(token),
        world.script(token, path=WINDOWS),
        world.enroll(token, uuid7()),
        world.enroll(token, uuid7(), query="?rede=SOL"),
    ):
        assert reason(answer) == (403, "token_used")
        assert "flagee-server install-command" in (answer.json or {})["detail"]
    assert world.row(token)["state"] == "used"
    assert world.row(token)["used_at"] is not None


def test_a_single_use_token_fetches_the_script_as_often_as_needed_before(world: World) -> None:
    token = world.once()
    assert [world.script(token).status_code for _ in range(3)] == [200, 200, 200]
    assert world.enroll(token, uuid7()).status_code == 201


def test_the_line_stops_working_after_its_time(world: World) -> None:
    token = world.once()
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=61)
    with world.plane.app(lambda: later) as app:
        expired = World(world.plane, app.test_client())
        assert reason(expired.script(token)) == (403, "token_expired")
        assert reason(expired.enroll(token, uuid7())) == (403, "token_expired")
    assert world.enroll(token, uuid7()).status_code == 201


# Enrolment


def test_an_enrolled_agent_gets_a_token_of_its_own(world: World) -> None:
    agent_id = uuid7()
    answer = world.enroll(world.once(), agent_id)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json
    token = answer.json["token"]
    assert answer.json == {"agent_id": agent_id, "client": CLIENT, "network": "SOL", "token": token}
    assert world.http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 200
    assert reason(world.http.get(f"{CONFIG}?rede=LUA", headers={"X-Bot-Token": token})) == (403, "network_not_allowed")
    row = world.row(token)
    assert (row["agent"], row["networks"], row["scopes"]) == (agent_id, ["SOL"], ["config", "ingest", "commands"])
    assert (row["state"], row["expires_at"]) == ("active", None)
    assert reason(world.script(token)) == (403, "scope_missing")


def test_enrolling_again_ends_the_earlier_tokens_of_that_agent_only(world: World) -> None:
    agent_id, other = uuid7(), uuid7()
    answers = [world.enroll(world.once(), agent) for agent in (agent_id, other, agent_id.upper())]
    tokens = [(answer.json or {})["token"] for answer in answers]
    assert [world.row(token)["state"] for token in tokens] == ["revoked", "active", "active"]
    assert reason(world.http.get(CONFIG, headers={"X-Bot-Token": tokens[0]})) == (403, "token_revoked")
    assert world.http.get(CONFIG, headers={"X-Bot-Token": tokens[2]}).status_code == 200


def test_a_token_that_is_not_for_one_use_enrols_many(world: World) -> None:
    token = world.plane.token("--scope", "bootstrap")
    for network in ("SOL", "LUA"):
        answer = world.enroll(token, uuid7(), query=f"?rede={network}")
        assert (answer.status_code, (answer.json or {})["network"]) == (201, network)
    answer = world.enroll(token, uuid7())
    assert reason(answer) == (400, "network_required")
    assert (answer.json or {})["networks"] == ["LUA", "SOL"]
    assert world.row(token)["state"] == "active"


def test_an_agent_stays_in_its_network_for_a_token_of_both(world: World) -> None:
    agent_id = uuid7()
    own = (world.enroll(world.once(), agent_id).json or {})["token"]
    answer = world.enroll(world.plane.token("--scope", "bootstrap"), agent_id, query="?rede=LUA")
    assert reason(answer) == (409, "agent_elsewhere")
    assert world.row(own)["state"] == "active"


@pytest.mark.parametrize("other", [("Other", "SOL"), ("Other", "MAR"), (CLIENT, "LUA")])
def test_the_answer_does_not_reveal_whether_an_id_exists_elsewhere(world: World, other: tuple[str, str]) -> None:
    world.plane.must("client", "add", "Other")
    for network in ("SOL", "MAR"):
        world.plane.must("network", "add", "Other", network)
    client, network = other
    taken, free = uuid7(), uuid7()
    own = (world.enroll(world.once(), taken).json or {})["token"]
    stranger = world.plane.token("--scope", "bootstrap", "--network", network, client=client)
    seen = []
    for agent_id in (free, taken):
        with statements(world) as ran:
            answer = world.enroll(stranger, agent_id)
        body = dict(answer.json or {})
        issued = body.pop("token")
        assert body == {"agent_id": agent_id, "client": client, "network": network}
        assert world.row(issued)["agent"] == agent_id
        head = {name: value for name, value in answer.headers.items() if name != "x-correlation-id"}
        seen.append((answer.status_code, head, ran))
    assert seen[0] == seen[1], "the same answer, by the same work"
    assert world.row(own)["state"] == "active", "the other network's agent is untouched"
    assert world.http.get(CONFIG, headers={"X-Bot-Token": own}).status_code == 200


def test_each_network_may_enrol_the_id_again_and_ends_its_own_token_only(world: World) -> None:
    agent_id = uuid7()
    tokens: dict[str, str] = {}
    for network in ("SOL", "LUA", "SOL"):
        bootstrap = world.plane.token("--scope", "bootstrap", "--network", network)
        earlier = tokens.get(network)
        tokens[network] = (world.enroll(bootstrap, agent_id).json or {})["token"]
        assert earlier is None or world.row(earlier)["state"] == "revoked"
    assert [world.row(token)["state"] for token in tokens.values()] == ["active", "active"]


ADDRESS = {"REMOTE_ADDR": "198.51.100.7"}


def test_a_known_agent_from_elsewhere_is_one_alert_and_a_counter(
    capfd: pytest.CaptureFixture[str], either: ControlPlane
) -> None:
    either.must("client", "add", "Other")
    either.must("network", "add", "Other", "MAR")
    sol = either.token("--scope", "bootstrap", "--network", "SOL")
    mar = either.token("--scope", "bootstrap", client="Other")
    one, two = uuid7(), uuid7()
    elsewhere = "agent_enrolled_elsewhere"

    def line_of(http: FlaskClient, token: str, agent_id: str, hostname: str, **environ: str) -> dict[str, Any]:
        capfd.readouterr()
        body = {"agent_id": agent_id, "hostname": hostname}
        headers = {"X-Bot-Token": token}
        assert http.post(ENROLL, headers=headers, json=body, environ_overrides=environ).status_code == 201
        said: list[dict[str, Any]] = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        [found] = [line for line in said if line["event"].startswith("agent_enrolled")]
        return found

    with either.app() as app:
        http = app.test_client()
        for kind in ("new", "again"):
            line = line_of(http, sol, one, "pdv-1")
            assert (line["event"], line["level"], line["kind"]) == ("agent_enrolled", "info", kind)
        line = line_of(http, sol, one, "pdv-2")
        assert (line["event"], line["level"], line["signs"]) == (elsewhere, "warning", ["hostname"])
        assert line["before"] == [f"{CLIENT}/SOL: pdv-1 at 127.0.0.1"]
        assert "its disk was copied" in line["message"]
        assert line_of(http, sol, one, "pdv-2", REMOTE_ADDR="198.51.100.7")["signs"] == ["address"]
        assert line_of(http, mar, one, "pdv-2", REMOTE_ADDR="198.51.100.7")["signs"] == ["client"]
        line_of(http, sol, two, "pdv-9")
        issued = (World(either, http).enroll(sol, two, "pdv-9").json or {})["token"]
        assert http.get(CONFIG, headers={"X-Bot-Token": issued}).status_code == 200
        services_of(app).last_use.flush()
        assert line_of(http, sol, two, "pdv-9")["signs"] == ["token_in_use"]
    with either.app(lambda: dt.datetime.now(dt.UTC) + dt.timedelta(minutes=20)) as app:
        assert line_of(app.test_client(), sol, two, "pdv-9")["kind"] == "again"
    assert {(row["counter"], row["label"]): row["value"] for row in counters(either)} == {
        ("agent_enrolled", "new"): 2,
        ("agent_enrolled", "again"): 3,
        ("agent_enrolled", "elsewhere"): 4,
    }


def test_refusals_are_counted_by_reason_over_all_processes(either: ControlPlane) -> None:
    token = either.token("--scope", "bootstrap", "--network", "SOL")
    with either.serving(WORKERS="2") as (url, child):
        for _ in range(20):
            assert requests.get(url + CONFIG, headers={"X-Bot-Token": "nonsense"}, timeout=60).status_code == 401
            assert requests.get(url + CONFIG, headers={"X-Bot-Token": token}, timeout=60).status_code == 403
            wrong = requests.post(url + ENROLL, json={"agent_id": "1"}, headers={"X-Bot-Token": token}, timeout=60)
            assert wrong.status_code == 400
            assert requests.post(url + ENROLL, timeout=60).status_code == 401
        assert requests.get(url + "/nowhere", timeout=60).status_code == 404
        child.stop()
    rows = counters(either)
    assert {(row["counter"], row["label"]): row["value"] for row in rows} == {
        ("token_refused", "token_unknown"): 20,
        ("token_refused", "scope_missing"): 20,
        ("token_refused", "token_missing"): 20,
        ("enrolment_refused", "body_invalid"): 20,
        ("enrolment_refused", "token_missing"): 20,
    }
    assert all(row["since"] for row in rows)
    table = either.must("counters")
    assert "token_refused\ttoken_unknown\t20\t" in table


def test_counts_that_cannot_be_written_are_kept(world: World) -> None:
    counts = services_of(world.http.application).counters
    counts.add("agent_enrolled", "new")
    if world.plane.environ["FLAGEE_DATABASE_URL"].startswith("sqlite"):
        file = Path(world.plane.environ["FLAGEE_DATABASE_URL"].removeprefix("sqlite:///"))
        with sqlite3.connect(file, isolation_level=None) as held:
            held.execute("BEGIN IMMEDIATE")
            counts.flush()
            counts.add("agent_enrolled", "new")
            held.execute("ROLLBACK")
    else:
        counts.flush()
        counts.add("agent_enrolled", "new")
    counts.flush()
    assert [(row["label"], row["value"]) for row in counters(world.plane)] == [("new", 2)]


def counters(plane: ControlPlane) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(plane.must("counters", "--output", "json"))
    return rows


@contextlib.contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """The SQL that runs meanwhile, without its values."""
    ran: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        ran.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield ran
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_what_is_refused_leaves_the_token_unspent(world: World) -> None:
    token = world.once()
    assert reason(world.enroll(token, "nonsense")) == (400, "body_invalid")
    assert reason(world.enroll(token, uuid7(), query="?rede=LUA")) == (403, "network_not_allowed")
    assert world.row(token)["state"] == "active"
    assert world.enroll(token, uuid7()).status_code == 201


BODIES = [
    (b"", 400, "body_invalid"),
    (b"{", 400, "body_invalid"),
    (b"[]", 400, "body_invalid"),
    (b"null", 400, "body_invalid"),
    (b"{}", 400, "body_invalid"),
    (b"\xff\xfe\x00", 400, "body_invalid"),
    (b"[" * 8000, 400, "body_invalid"),
    (b'{"agent_id": ' * 600, 400, "body_invalid"),
    (b'{"agent_id": 7, "hostname": "h"}', 400, "body_invalid"),
    (b'{"agent_id": "0198c0de-0000-7000-8000-000000000001"}', 400, "body_invalid"),
    (b" " * 8193, 413, "body_too_large"),
    (b'{"hostname": "' + b"x" * 1_000_000 + b'"}', 413, "body_too_large"),
]


@pytest.mark.parametrize(("body", "status", "expected"), BODIES)
def test_a_request_without_a_valid_body_is_refused(shared: World, body: bytes, status: int, expected: str) -> None:
    headers = {"X-Bot-Token": shared.plane.token("--scope", "bootstrap", "--network", "SOL")}
    answer = shared.http.post(ENROLL, headers=headers, data=body, content_type="application/json")
    assert reason(answer) == (status, expected)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_of_another_type_is_refused(shared: World, content_type: str) -> None:
    headers = {"X-Bot-Token": shared.plane.token("--scope", "bootstrap", "--network", "SOL")}
    body = json.dumps({"agent_id": uuid7(), "hostname": "h"})
    answer = shared.http.post(ENROLL, headers=headers, data=body, content_type=content_type)
    assert reason(answer) == (415, "media_type_unsupported")


AGENT_ID = "0198c0de-0000-7000-8000-000000000001"
WRONG_VALUES = [
    ("nonsense", "h", "agent_id"),
    ("", "h", "agent_id"),
    (AGENT_ID.replace("-", ""), "h", "agent_id"),
    (f"{{{AGENT_ID}}}", "h", "agent_id"),
    (f"urn:uuid:{AGENT_ID}", "h", "agent_id"),
    (f"{AGENT_ID}\n", "h", "agent_id"),
    (AGENT_ID.replace("1", "\u0661"), "h", "agent_id"),
    (str(uuid.UUID(int=0)), "h", "agent_id"),
    (AGENT_ID, "", "hostname"),
    (AGENT_ID, "   ", "hostname"),
    (AGENT_ID, "x" * 256, "hostname"),
    (AGENT_ID, "a\nb", "hostname"),
    (AGENT_ID, "a\0b", "hostname"),
    (AGENT_ID, "\x1b[2J", "hostname"),
    (AGENT_ID, "\ud800", "hostname"),
]


@pytest.mark.parametrize(("agent_id", "hostname", "named"), WRONG_VALUES)
def test_a_wrong_value_is_named_and_not_repeated(shared: World, agent_id: str, hostname: str, named: str) -> None:
    token = shared.plane.token("--scope", "bootstrap", "--network", "SOL")
    answer = shared.enroll(token, agent_id, hostname)
    assert reason(answer) == (400, "body_invalid")
    assert (answer.json or {})["detail"].startswith((f"{named}: ", "not a complete", "Invalid JSON"))


@pytest.mark.parametrize("hostname", ["h", "pdv-01.loja.example", "Caixa São João 3", "名" * 255])
def test_any_printable_host_name_is_accepted(world: World, hostname: str) -> None:
    assert world.enroll(world.once(), uuid7(), hostname).status_code == 201


def test_additional_fields_of_a_body_are_accepted(shared: World) -> None:
    headers = {"X-Bot-Token": shared.plane.token("--scope", "bootstrap", "--network", "SOL")}
    body = {"agent_id": uuid7(), "hostname": "h", "version": "of the next release"}
    assert shared.http.post(ENROLL, headers=headers, json=body).status_code == 201


@pytest.mark.parametrize(("path", "allowed"), [(INSTALL, {"GET", "HEAD"}), (ENROLL, {"POST"})])
def test_a_wrong_method_gets_the_list_of_allowed_methods(shared: World, path: str, allowed: set[str]) -> None:
    answer = shared.http.delete(path, headers={"Accept": JSON})
    assert reason(answer) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


# As it runs


def test_of_many_enrolments_at_once_with_one_line_exactly_one_succeeds(either: ControlPlane) -> None:
    with either.serving(WORKERS="2") as (url, child):
        line = either.must("install-command", CLIENT, "SOL").splitlines()[-1]
        token = token_in(line)
        answers = at_once(url, [(token, uuid7()) for _ in range(8)])
        assert sorted(answer.status_code for answer in answers) == [201] + [403] * 7
        assert {answer.json()["reason"] for answer in answers if answer.status_code == 403} == {"token_used"}
        issued = next(answer.json()["token"] for answer in answers if answer.status_code == 201)
        assert requests.get(url + CONFIG, headers={"X-Bot-Token": issued}, timeout=60).status_code == 200
        child.stop()
        lines = [json.loads(line) for line in child.log.read_text().splitlines()]
    [enrolled] = [line for line in lines if line["event"] == "agent_enrolled"]
    assert (enrolled["client"], enrolled["network"], enrolled["token"]) == (CLIENT, "SOL", token.split(".")[1])
    assert enrolled["issued"] == issued.split(".")[1]
    [posted] = [line for line in lines if line["event"] == "request" and line.get("status") == 201]
    assert (posted["client"], posted["token"]) == (CLIENT, token.split(".")[1])
    for secret in (token.split(".")[2], issued.split(".")[2]):
        assert secret not in child.log.read_text()


def test_one_agent_enrolled_many_times_at_once_keeps_one_token(either: ControlPlane) -> None:
    token, agent_id = either.token("--scope", "bootstrap", "--network", "SOL"), uuid7()
    with either.serving(WORKERS="2") as (url, _):
        for _ in range(2):  # of a new agent, then of one that is known
            answers = at_once(url, [(token, agent_id)] * 6)
            assert [answer.status_code for answer in answers] == [201] * 6
    rows = [row for row in json.loads(either.must("token", "list", "--output", "json")) if row["agent"] == agent_id]
    assert sorted(row["state"] for row in rows) == ["active"] + ["revoked"] * 11


def test_one_agent_in_two_networks_of_a_token_at_once_gets_into_one(either: ControlPlane) -> None:
    token = either.token("--scope", "bootstrap")
    with either.serving(WORKERS="2") as (url, _):
        for _ in range(5):
            agent_id = uuid7()
            answers = at_once(url, [(token, agent_id)] * 2, ["?rede=SOL", "?rede=LUA"])
            assert sorted(answer.status_code for answer in answers) == [201, 409]


def test_a_large_body_is_refused_with_and_without_its_length_and_the_connection_stays_open(
    either: ControlPlane,
) -> None:
    headers = {
        "X-Bot-Token": either.token("--scope", "bootstrap", "--network", "SOL"),
        "Content-Type": "application/json",
    }
    with either.serving() as (url, _), requests.Session() as session:
        for body in (b"x" * 1_000_000, iter([b"x" * 100_000] * 10)):
            answer = session.post(url + ENROLL, data=body, headers=headers, timeout=60)
            assert (answer.status_code, answer.json()["reason"]) == (413, "body_too_large")
        body = iter([json.dumps({"agent_id": uuid7(), "hostname": "h"}).encode()])
        assert session.post(url + ENROLL, data=body, headers=headers, timeout=60).status_code == 201
        assert session.post(url + ENROLL, data=b"x" * 1_000_000, timeout=60).status_code == 401


def at_once(url: str, callers: list[tuple[str, str]], queries: Sequence[str] = ()) -> list[requests.Response]:
    """Enrolments by (token, agent id), each in a thread of its own, started together."""
    barrier, answers = threading.Barrier(len(callers)), []

    def enroll(token: str, agent_id: str, query: str) -> None:
        barrier.wait()
        body = {"agent_id": agent_id, "hostname": "proxy-1"}
        answers.append(requests.post(url + ENROLL + query, headers={"X-Bot-Token": token}, json=body, timeout=30))

    asked = zip(callers, queries or [""] * len(callers), strict=True)
    threads = [threading.Thread(target=enroll, args=(*caller, query)) for caller, query in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


# install-command


def test_the_line_is_the_last_on_stdout_and_hints_are_beside(either: ControlPlane) -> None:
    result = either.run("install-command", CLIENT, "SOL")
    assert result.exit_code == 0, result.output
    *steps, line = result.stdout.splitlines()
    token = token_in(line)
    assert [command.count(token) for command in (*steps, line)] == [1, 0, 0, 1]
    header = f"""'header = "X-Bot-Token: {token}"'"""
    url = f"'{PUBLIC_URL}/api/bootstrap/install.sh?rede=SOL'"
    assert line.startswith(f"printf '%s\\n' {header} | curl -qsS -K - {url} | sudo sh -c ")
    assert token not in result.stderr
    assert f"flagee-server token revoke {token.split('.')[1]}" in result.stderr
    [row] = json.loads(either.must("token", "list", "--output", "json"))
    assert (row["networks"], row["scopes"], row["state"]) == (["SOL"], ["bootstrap"], "active")
    span = dt.datetime.fromisoformat(row["expires_at"]) - dt.datetime.fromisoformat(row["created_at"])
    assert span == dt.timedelta(hours=1)


def test_curl_and_the_installer_get_the_private_authority(shared: World) -> None:
    line = shared.plane.must("install-command", CLIENT, "SOL", "--ca", "/root/the ca's.pem").splitlines()[-1]
    _, fetch, run = line.split(" | ")
    assert shlex.split(fetch)[2:4] == ["--cacert", "/root/the ca's.pem"]
    assert shlex.split(run)[4:] == ["sh", "--ca", "/root/the ca's.pem"]
    result = shared.plane.run("install-command", CLIENT, "SOL", "--ca", "a\nb")
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_line_is_available_as_json_and_with_a_longer_expiry(shared: World) -> None:
    result = json.loads(shared.plane.must("install-command", CLIENT, "SOL", "--expires", "12h", "--output", "json"))
    assert "| sudo sh -c " in result["command"]
    assert result["token_id"] in result["command"]
    assert list(result["steps"]) == ["save", "read", "run"]
    assert result["token_id"] in result["steps"]["save"]
    assert (result["client"], result["network"]) == (CLIENT, "SOL")
    assert dt.datetime.fromisoformat(result["expires_at"]) > dt.datetime.now(dt.UTC) + dt.timedelta(hours=11)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Nobody", "SOL"), "flagee-server client add Nobody"),
        ((CLIENT, "MAR"), "flagee-server network add"),
        ((CLIENT, "LUA"), "flagee-server config set"),
    ],
)
def test_without_an_installer_the_command_ends_with_1_advice_and_no_token(
    either: ControlPlane, arguments: tuple[str, ...], said: str
) -> None:
    result = either.run("install-command", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert json.loads(either.must("token", "list", "--output", "json")) == []


def test_the_use_of_a_bootstrap_token_is_recorded(world: World) -> None:
    token = world.once()
    assert world.script(token).status_code == 200
    services_of(world.http.application).last_use.flush()
    assert world.row(token)["last_used_at"] is not None
