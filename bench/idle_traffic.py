"""What an idle proxy sends and receives in a day, over TLS: `python -m bench idle_traffic`.

A real daemon that enrolled, with a configuration in force and nothing to do, talks to a served control plane through a relay that
counts bytes. For the bench it reports and polls more often than it does otherwise; a day is counted from what one of each
takes. The peer does the same over one connection that stays open. Headers of TCP and IP are not counted, TLS is.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from sqlalchemy import select

from bench import checkouts, report
from bench.backlog import enrol
from contracts.config import NetworkConfig
from contracts.heartbeat import INTERVAL_S
from server.storage.models import AgentReport
from server.storage.session import open_database
from tests.harness import authority
from tests.harness.control_plane import ControlPlane, prepared
from tests.harness.ports import LOOPBACK
from tests.harness.process import Child, running

SECONDS, EVERY_S, POLL_S, A_DAY = 100, 5, 30, 86_400
HEARTBEAT, POLL = "/v1/heartbeat", "/api/ingest/bot/config"


@dataclass(slots=True)
class Relay:
    """``port``: where it listens. ``counted``: bytes of each connection, both ways, in the order in which they were made."""

    port: int
    counted: list[int] = field(default_factory=list)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plane = prepared(folder)
        plane.publish("SOL", refresh_interval=POLL_S)
        issued = authority.new(folder).issue(folder, LOOPBACK, "localhost")
        tls = {"TLS_CERTIFICATE": str(issued.certificate), "TLS_KEY": str(issued.key)}
        changes = {**tls, "LOG_LEVEL": "debug", "HEARTBEAT_INTERVAL": str(EVERY_S)}
        with plane.serving(**changes) as (base, server):
            with relayed(int(base.rpartition(":")[2])) as relay:
                token = enrol(plane, base, str(folder / "ca.pem"))
                before = len(requests_of(server))
                with daemon(folder, relay.port, token):
                    time.sleep(SECONDS)
                ours = by_path(relay.counted, requests_of(server)[before:])
            with relayed(int(base.rpartition(":")[2])) as relay:
                peer = kept_open(relay, token, folder / "ca.pem", last_report(plane))
    show(ours, peer)


def show(ours: dict[str, float], peer: dict[str, float]) -> None:
    poll_s = NetworkConfig.model_fields["refresh_interval"].default
    times = {HEARTBEAT: A_DAY / INTERVAL_S, POLL: A_DAY / poll_s}
    rows = []
    for path, number in times.items():
        mine, theirs = ours[path], peer[path]
        rows.append(
            (path, report.ratio(mine / theirs), f"{mine:,.0f}", f"{theirs:,.0f}", f"{number:,.0f}", mb(mine * number))
        )
    whole, least = (sum(one[path] * number for path, number in times.items()) for one in (ours, peer))
    rows.append(("a day", report.ratio(whole / least), "", "", "", mb(whole)))
    columns = ("", "ours : kept open", "bytes each", "kept open", "times a day", "MB a day")
    report.table("an idle proxy's traffic over TLS", columns, rows)


def mb(count: float) -> str:
    return f"{count / 1e6:.2f}"


def by_path(counted: list[int], paths: list[str]) -> dict[str, float]:
    """Bytes of a call, medians: a call of ours has a connection of its own."""
    if len(counted) < len(paths):
        raise SystemExit(
            f"{len(paths)} requests came over {len(counted)} connections: they cannot be told apart any more"
        )
    found: dict[str, list[int]] = defaultdict(list)
    for path, bytes_ in zip(paths, counted, strict=False):
        found[path].append(bytes_)
    return {
        path: statistics.median(those[1:]) for path, those in found.items() if len(those) > 2
    }  # the first are of the start


def requests_of(server: Child) -> list[str]:
    """Paths, in the order of the answers."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line["path"] for line in lines if line.get("event") == "request"]


def kept_open(relay: Relay, token: str, trusted: Path, body: bytes) -> dict[str, float]:
    base, found = f"https://localhost:{relay.port}", {}
    with requests.Session() as session:
        session.verify, session.trust_env = str(trusted), False
        session.headers.update({"X-Bot-Token": token, "Accept": "application/json", "Accept-Encoding": "identity"})
        etag = session.get(f"{base}{POLL}", timeout=60).headers["ETag"]
        for path, rounds in ((HEARTBEAT, 20), (POLL, 20)):
            time.sleep(0.2)
            before = sum(relay.counted)
            for _ in range(rounds):
                if path == HEARTBEAT:
                    answer = session.post(
                        f"{base}{path}", data=body, timeout=60, headers={"Content-Type": "application/json"}
                    )
                else:
                    answer = session.get(f"{base}{path}", timeout=60, headers={"If-None-Match": etag})
                assert answer.status_code in (200, 304), answer.text
            time.sleep(0.2)
            found[path] = (sum(relay.counted) - before) / rounds
    return found


def last_report(plane: ControlPlane) -> bytes:
    with closing(open_database(plane.settings().database_url, timeout=5)) as database, database.reading() as connection:
        report_: str = connection.execute(select(AgentReport.report)).scalar_one()
    return report_.encode()


@contextmanager
def daemon(folder: Path, port: int, token: str) -> Iterator[None]:
    config = folder / "config"
    config.mkdir(mode=0o700)
    file = config / "token"
    file.touch(mode=0o600)
    file.write_text(token)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLAGEE")},
        "FLAGEEMONITOR_API_BASE": f"https://localhost:{port}/api/ingest",
        "FLAGEEMONITOR_CA_PATH": str(folder / "ca.pem"),
        "FLAGEEMONITOR_CONFIG_PATH": str(config),
        "FLAGEEMONITOR_DATA_PATH": str(folder / "data"),
        "FLAGEEMONITOR_ROOT": str(checkouts.REPOSITORY),
        "FLAGEEMONITOR_LOG_FORMAT": "json",
    }
    program = checkouts.program(checkouts.REPOSITORY, "flageemonitor-daemon")
    with running([program], name="daemon", folder=folder, ready=lambda: True, env=environment):
        yield


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """A port that leads to the other one."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        relay = Relay(listener.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = listener.accept()
                    relay.counted.append(0)
                    other = socket.create_connection((LOOPBACK, port))
                    for pair in ((caller, other), (other, caller)):
                        threading.Thread(target=pump, args=(*pair, relay, len(relay.counted) - 1), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield relay


def pump(source: socket.socket, target: socket.socket, relay: Relay, place: int) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            relay.counted[place] += len(piece)
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
