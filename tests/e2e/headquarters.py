"""A served control plane, and the folders of a proxy that is enrolled there. Called by tests of the channel and of its faults."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select

from contracts.ids import uuid7
from server.storage.models import Envelope
from server.storage.session import open_database
from tests.harness.control_plane import ControlPlane, prepared
from tests.harness.process import Child, wait_until
from tests.integration.proxy import Proxy

# Addresses that no configuration allows: every host gets an outcome, and nothing is connected.
HOSTS = [{"name": f"SOL-LOJA001-PDV{number}", "address": f"192.0.2.{number}"} for number in range(101, 141)]
DOCUMENT = {
    "schema_version": 2,
    "network": "SOL",
    "inventory": {"kind": "static", "hosts": HOSTS},
    "ssh": {"allowed_networks": ["198.51.100.0/24"]},
}


@dataclass
class World:
    """``base``: address of the control plane, which ``child`` serves. ``proxy`` knows it by the same address."""

    plane: ControlPlane
    proxy: Proxy
    agent_id: str
    base: str
    child: Child

    @property
    def token(self) -> Path:
        return self.proxy.config / "token"

    def shown(self, *words: str) -> Any:
        return json.loads(self.plane.must(*words, "--output", "json"))

    def made(self) -> set[str]:
        """Ids of all that the proxy's outbox holds."""
        return {row[0] for row in self.proxy.rows("SELECT id FROM outbox")}

    def stored(self) -> list[str]:
        """Ids of all that the control plane has, as often as it has them."""
        return [str(found) for (found,) in self.columns(Envelope.envelope_id)]

    def columns(self, *columns: Any) -> list[tuple[Any, ...]]:
        """Rows of the control plane's database."""
        database = open_database(self.plane.settings().database_url, timeout=5)
        with contextlib.closing(database), database.reading() as connection:
            return [tuple(row) for row in connection.execute(select(*columns))]

    def until(self, found: Callable[[], bool], what: str) -> None:
        wait_until(found, within=120, what=what)


@contextlib.contextmanager
def serving(
    folder: Path, database_url: str | None = None, environment: dict[str, str] | None = None
) -> Iterator[World]:
    """The world, in this folder. `environment` adds to the server's."""
    plane = prepared(folder, database_url)
    plane.environ.update(environment or {})
    plane.publish("SOL", **{name: part for name, part in DOCUMENT.items() if name not in ("schema_version", "network")})
    with plane.serving(NGINX="none") as (base, child):
        agent_id = uuid7()
        proxy = Proxy(folder / "proxy", DOCUMENT)
        token = proxy.config / "token"
        token.write_text(enrol(plane, base, agent_id))
        token.chmod(0o400)
        proxy.environment |= {
            "FLAGEEMONITOR_API_BASE": f"{base}/api/ingest",
            "FLAGEEMONITOR_REDE": "SOL",
            "FLAGEEMONITOR_AGENT_ID": agent_id,
        }
        yield World(plane, proxy, agent_id, base, child)
        proxy.close()


def enrol(plane: ControlPlane, base: str, agent_id: str) -> str:
    """A token of this agent's own, by the way of an installer."""
    bootstrap = plane.token("--scope", "bootstrap", "--network", "SOL")
    body = {"agent_id": agent_id, "hostname": "proxy"}
    answer = requests.post(f"{base}/api/bootstrap/enroll", headers={"X-Bot-Token": bootstrap}, json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


def end_leases(proxy: Proxy) -> None:
    """As three minutes would: whoever held a batch is dead."""
    with contextlib.closing(sqlite3.connect(proxy.data / "state.db", isolation_level=None)) as database:
        database.execute("UPDATE outbox SET leased_by = NULL, leased_until = NULL")
