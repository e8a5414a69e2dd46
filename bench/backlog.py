"""A proxy's backlog of results, delivered to a served control plane on SQLite: `python -m bench backlog --size ROWS`.

`flageemonitor-run outbox --drain` empties a real outbox, in a process of its own. The peers: the same command with a
hundredth of the backlog, which shows whether memory grows with it, and a client that only sends: batches of the same
envelopes, ready made, over one connection.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bench import checkouts, report
from bench.ingest import NO_QUOTA
from bench.ingest_peers import results
from contracts.ids import uuid7
from runtime.adapters.state.outbox.put import Message, put
from runtime.adapters.state.outbox.topics import HOST_RESULT
from runtime.adapters.state.store import State
from tests.harness.agents import story
from tests.harness.control_plane import ControlPlane, prepared
from tests.harness.process import Child
from tests.integration.test_serving_parts import parts

STEP, SMALL = 500, 100
# Reads one batch a line, and posts it: what any client has to do at least.
CLIENT = """
import sys, requests
session = requests.Session()
session.headers.update({"X-Bot-Token": sys.argv[2], "Content-Type": "application/json", "Content-Encoding": "gzip"})
with open(sys.argv[3], "rb") as file:
    while size := file.read(8):
        answer = session.post(sys.argv[1], data=file.read(int.from_bytes(size, "big")), timeout=120)
        assert answer.status_code == 200 and not answer.json()["failed"], answer.text
"""


@dataclass(frozen=True, slots=True)
class Run:
    """``mb``: the most memory of the client, RSS; ``server_mb``: of the server's worker, as far as it has come."""

    envelopes: int
    seconds: float
    mb: float
    server_mb: float


def main(size: int = 10_000) -> None:
    with tempfile.TemporaryDirectory(dir=report.DISK) as name:
        folder = Path(name)
        plane = prepared(folder)
        with plane.serving(NGINX="none", WORKERS="1", **NO_QUOTA) as (base, child):
            drained(plane, base, child, folder / "first", STEP)  # what the server loads the first time
            small = drained(plane, base, child, folder / "small", max(STEP, size // SMALL))
            whole = drained(plane, base, child, folder / "whole", size)
            plain = sent(plane, base, child, folder, size)
    rows = [
        shown("outbox --drain", whole, whole),
        shown("outbox --drain, a hundredth", small, whole),
        shown("a client that only sends", plain, whole),
    ]
    columns = ("", "envelopes", "it : ours, s each", "memory", "s", "envelopes/s", "MB", "server MB")
    report.table(f"a backlog of {size:,} results", columns, rows)


def shown(name: str, run: Run, ours: Run) -> tuple[str, ...]:
    each, mine = run.seconds / run.envelopes, ours.seconds / ours.envelopes
    ratios = (report.ratio(each / mine), report.ratio(run.mb / ours.mb))
    figures = (f"{run.seconds:.1f}", f"{1 / each:,.0f}", f"{run.mb:.0f}", f"{run.server_mb:.0f}")
    return (name, f"{run.envelopes:,}", *ratios, *figures)


def drained(plane: ControlPlane, base: str, child: Child, folder: Path, size: int) -> Run:
    (folder / "config").mkdir(parents=True, mode=0o700)
    token = folder / "config" / "token"
    token.touch(mode=0o600)
    token.write_text(enrol(plane, base))
    now = dt.datetime.now(dt.UTC)
    with State(folder / "data", now=now) as state:
        for bodies in batches(size):
            messages = [Message(HOST_RESULT, json.dumps(body), uuid7(), now, run_id=body["run_id"]) for body in bodies]
            state.write(lambda connection, those=messages: put(connection, those))  # type: ignore[misc]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLAGEE")},
        "FLAGEEMONITOR_API_BASE": f"{base}/api/ingest",
        "FLAGEEMONITOR_CONFIG_PATH": str(folder / "config"),
        "FLAGEEMONITOR_DATA_PATH": str(folder / "data"),
        "FLAGEEMONITOR_ROOT": str(checkouts.REPOSITORY),
    }
    command: list[str | Path] = [checkouts.program(checkouts.REPOSITORY, "flageemonitor-run"), "outbox", "--drain"]
    return measured(command, environment, child, size, f"{size} delivered, 0 still waiting, 0 refused")


def sent(plane: ControlPlane, base: str, child: Child, folder: Path, size: int) -> Run:
    file = folder / "batches"
    with file.open("wb") as output:
        for bodies in batches(size):
            now_ms = time.time_ns() // 10**6
            same = {"kind": "result", "sub": "host", "ts_unix_ms": now_ms}
            parts = [{"envelope_id": uuid7(), **same, "body": body, "correlation_id": uuid7()} for body in bodies]
            packed = gzip.compress(json.dumps(parts, separators=(",", ":")).encode(), 6)
            output.write(len(packed).to_bytes(8, "big") + packed)
    command: list[str | Path] = [sys.executable, "-c", CLIENT, f"{base}/v1/ingest", enrol(plane, base), file]
    return measured(command, dict(os.environ), child, size, "")


def measured(command: Sequence[str | Path], environment: dict[str, str], child: Child, size: int, says: str) -> Run:
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        # From its own notes: what wait4 reports begins with the memory of the process that started it.
        mb = 0.0
        while process.poll() is None:
            mb = max(mb, peak(process.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        output.seek(0)
        text = output.read()
        if process.returncode or says not in text:
            raise SystemExit(f"{command[0]} failed:\n{text[-2000:]}")
    [worker] = parts(child)["gunicorn worker"]
    return Run(size, seconds, mb, peak(worker))


def peak(pid: int) -> float:
    """The most memory that a process has had, in MB; 0 when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def batches(size: int) -> Iterator[list[dict[str, Any]]]:
    """Bodies of results as large as a proxy's, each batch a run of its own."""
    for first in range(0, size, STEP):
        names = [f"SOL-LOJA001-PDV{number}" for number in range(first, min(first + STEP, size))]
        yield [part["body"] for part in results(story(uuid7(), *names))]


def enrol(plane: ControlPlane, base: str, trusted: str = "") -> str:
    """The token of a new agent. ``trusted``: the authority's certificate, for https."""
    bootstrap = plane.token("--scope", "bootstrap", "--network", "SOL")
    body = {"agent_id": uuid7(), "hostname": "proxy"}
    with requests.Session() as session:
        session.verify, session.trust_env = trusted or True, False
        session.headers["X-Bot-Token"] = bootstrap
        token: str = session.post(f"{base}/api/bootstrap/enroll", json=body, timeout=60).json()["token"]
    return token
