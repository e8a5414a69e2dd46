"""`runtime.enrol` against the real control plane: what it tries before the one-time token is used, and what it leaves."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.ids import uuid7
from contracts.secret import Secret
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.enrol import Failed, Order, _try_way
from tests.e2e import plane as planes
from tests.e2e.plane import CLIENT, Plane
from tests.harness.ports import free_port

NETWORK, SEEN = "SOL", ".seen-0123456789abcdef"
DOCUMENT = {
    "schema_version": 2,
    "network": NETWORK,
    "inventory": {"kind": "static", "hosts": [{"name": "LOJA001PDV001", "address": "10.0.0.1", "credential": "root"}]},
    "credentials": [{"id": "root", "user": "root", "password": "s3cret"}],
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with planes.running(tmp_path_factory.mktemp("plane")) as running:
        running.add_network(NETWORK)
        running.publish(NETWORK, DOCUMENT)
        yield running


@dataclass
class Newcomer:
    """A host that is to be enrolled: the two folders as deploy prepares them."""

    folder: Path
    plane: Plane
    agent: str = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        for name in ("config", "data"):
            (self.folder / name / SEEN).mkdir(parents=True)

    def once(self) -> str:
        """A token that works once."""
        told = json.loads(self.plane.command("install-command", CLIENT, NETWORK, "--output", "json"))
        return "fm1" + json.dumps(told).split("fm1", 1)[1].split('"')[0].rstrip("\\")

    def enrol(self, token: str, **order: Any) -> tuple[int, dict[str, Any]]:
        base = f"{self.plane.url}/api/bootstrap"
        given = {
            "health_url": f"{base}/health",
            "enroll_url": f"{base}/enroll",
            "token": token,
            "agent_id": self.agent,
            "hostname": "store-7",
            "seen": SEEN,
            "server_time": "0",
            **order,
        }
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "client_image",
            "FLAGEEMONITOR_CONFIG_PATH": str(self.folder / "config"),
            "FLAGEEMONITOR_DATA_PATH": str(self.folder / "data"),
            "FLAGEEMONITOR_API_BASE": f"{self.plane.url}/api/ingest",
            "FLAGEEMONITOR_REDE": NETWORK,
        }
        done = subprocess.run(
            [sys.executable, "-m", "runtime.enrol"],
            input=json.dumps(given).encode(),
            capture_output=True,
            check=False,
            timeout=120,
            env=environ,
        )
        assert token not in (done.stdout + done.stderr).decode()
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    @property
    def token(self) -> Path:
        return self.folder / "config/token"


@pytest.fixture
def newcomer(plane: Plane, tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path, plane)


def test_a_new_host_gets_a_token_of_its_own_and_its_configuration(newcomer: Newcomer) -> None:
    code, told = newcomer.enrol(newcomer.once())
    assert (code, told["stage"], told["enrolled"]) == (0, "done", True), told
    assert newcomer.token.stat().st_mode & 0o777 == 0o400
    stored = json.loads((newcomer.folder / "config/config_bot.json").read_text())
    assert stored["network"] == NETWORK


def test_a_token_that_works_is_kept_and_the_one_time_token_stays_unused(newcomer: Newcomer) -> None:
    newcomer.enrol(newcomer.once())
    kept, spare = newcomer.token.read_text(), newcomer.once()
    code, told = newcomer.enrol(spare)
    assert (code, told["enrolled"], newcomer.token.read_text()) == (0, False, kept)
    other = Newcomer(newcomer.folder / "other", newcomer.plane)
    assert other.enrol(spare)[0] == 0


def test_a_token_that_was_revoked_is_replaced_for_the_same_agent(newcomer: Newcomer) -> None:
    newcomer.enrol(newcomer.once())
    before = newcomer.token.read_text()
    newcomer.plane.command("token", "revoke", before.split(".")[1])
    code, told = newcomer.enrol(newcomer.once())
    assert (code, told["enrolled"]) == (0, True), told
    assert newcomer.token.read_text() != before


@pytest.mark.parametrize("kind", ["another folder", "read-only", "no way", "not the control plane"])
def test_what_fails_before_the_enrolment_leaves_the_token_unused(newcomer: Newcomer, kind: str) -> None:
    token, order = newcomer.once(), {}
    match kind:
        case "another folder":
            order = {"seen": ".seen-elsewhere"}
        case "read-only":
            (newcomer.folder / "data" / f"{SEEN}.probe").mkdir()  # root may write everywhere else
        case "no way":
            order = {"health_url": f"http://127.0.0.1:{free_port()}/health"}
        case "not the control plane":
            order = {"health_url": f"{newcomer.plane.url}/nothing"}
    code, told = newcomer.enrol(token, **order)
    assert (code, told["enrolled"]) == (1, False)
    assert told["message"]
    assert told["advice"]
    assert told["message"] in told["sentences"], "it can be translated"
    assert not newcomer.token.exists()
    if kind == "read-only":
        (newcomer.folder / "data" / f"{SEEN}.probe").rmdir()
    assert newcomer.enrol(token)[0] == 0


@pytest.mark.parametrize(
    ("seconds", "good"), [(0, True), (200, True), (400, False), (-400, False), (86400 * 365, False)]
)
def test_a_clock_that_is_off_is_found_before_the_token_is_used(plane: Plane, seconds: int, good: bool) -> None:
    url = f"{plane.url}/api/bootstrap/health"
    order = Order(url, "", Secret("x"), "", "", SEEN)
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    if good:
        _try_way(order, HttpControlPlane(url), now)
    else:
        with pytest.raises(Failed) as failed:
            _try_way(order, HttpControlPlane(url), now)
        assert failed.value.outcome.stage == "clock"


def test_a_line_that_was_used_says_so(newcomer: Newcomer) -> None:
    token = newcomer.once()
    other = Newcomer(newcomer.folder / "other", newcomer.plane)
    assert other.enrol(token)[0] == 0
    code, told = newcomer.enrol(token)
    assert (code, told["stage"], told["enrolled"]) == (1, "enrolment", False)
    assert "403" in told["message"]
    assert not newcomer.token.exists()
