"""The refresh against the product's own control plane under gunicorn: both sides of the contract at once."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from contracts.secret import Secret
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.services.config_refresh import refresh
from tests.harness.control_plane import ControlPlane
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.process import running
from tests.unit.state.support import StillClock

SERVER = str(Path(sys.executable).with_name("flagee-server"))


@dataclass(frozen=True)
class Running:
    """A control plane with one client of two networks."""

    url: str
    folder: Path
    environment: dict[str, str]

    def command(self, *words: str, stdin: bytes = b"") -> str:
        return ControlPlane(self.folder, self.environment).must(*words, stdin=stdin).strip()

    def publish(self, network: str, client: str) -> None:
        inventory = {
            "kind": "static",
            "hosts": [{"name": "LOJA001PDV001", "address": "10.0.0.1", "credential": "root"}],
        }
        document: dict[str, Any] = {"schema_version": 2, "network": network, "client": client, "inventory": inventory}
        document["credentials"] = [{"id": "root", "user": "root", "password": "s3cret"}]
        self.command("config", "set", "group", network, "-", stdin=json.dumps(document).encode())

    def plane(self, *scope: str) -> HttpControlPlane:
        token = self.command("token", "issue", "group", *scope).splitlines()[-1]
        return HttpControlPlane(f"{self.url}/api/ingest/bot/config", network="SOL", token=Secret(token))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, port = tmp_path_factory.mktemp("control-plane"), free_port()
    url = f"http://{LOOPBACK}:{port}"
    environment = {
        "FLAGEE_DATABASE_URL": f"sqlite:///{folder}/flagee.db",
        "FLAGEE_SECRET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "FLAGEE_PUBLIC_URL": url,
    }
    started = Running(url, folder, environment)
    started.command("init-db")
    started.command("client", "add", "group")
    for network in ("SOL", "LUA"):
        started.command("network", "add", "group", network)
        started.publish(network, "first")
    with running(
        [SERVER, "serve", "--bind", f"{LOOPBACK}:{port}"],
        name="control-plane",
        folder=folder,
        env=environment,
        ready=lambda: accepts(LOOPBACK, port),
        within=60,
    ):
        yield started


def test_a_document_goes_from_the_operator_to_the_proxy(server: Running, tmp_path: Path) -> None:
    store, plane = ConfigStore(tmp_path), server.plane("--network", "SOL")
    server.publish("SOL", "first")
    first = refresh(store, plane, StillClock())
    assert (first.reason, first.age) == ("updated", 0.0), first.message
    assert first.etag
    again = refresh(store, plane, StillClock())
    assert (again.reason, again.message) == ("unchanged", "the configuration is current")
    server.publish("SOL", "second")
    assert refresh(store, plane, StillClock()).changed
    config = store.load().document.config
    assert config.client == "second"
    assert config.credentials[0].password == Secret("s3cret")


@pytest.mark.parametrize(
    ("scope", "status", "text"),
    [
        (("--network", "LUA"), 403, "network"),
        (("--network", "SOL", "--scope", "ingest"), 403, "config"),
        (None, 401, "token"),
    ],
)
def test_a_token_without_permission_is_refused_with_the_reason(
    server: Running, tmp_path: Path, scope: tuple[str, ...] | None, status: int, text: str
) -> None:
    store = ConfigStore(tmp_path)
    refresh(store, server.plane("--network", "SOL"), StillClock())
    stranger = replace(server.plane(), token=Secret("fm1.000000000000.not-a-token"))
    result = refresh(store, stranger if scope is None else server.plane(*scope), StillClock())
    assert (result.reason, result.status, result.in_force) == ("refused", status, True)
    assert text in result.message.lower()
    assert store.load().document.config.network == "SOL"


def test_a_token_of_several_networks_must_say_which(server: Running, tmp_path: Path) -> None:
    plane = server.plane("--network", "SOL", "--network", "LUA")
    assert refresh(ConfigStore(tmp_path / "sol"), plane, StillClock()).reason == "updated"
    result = refresh(ConfigStore(tmp_path / "none"), replace(plane, network=""), StillClock())
    assert (result.reason, result.status, result.in_force) == ("refused", 400, False)
    assert "LUA" in result.message
    assert "SOL" in result.message
