"""Memory of an idle `flageemonitor-daemon` beside idle peers that did less. Run by `python -m bench idle_memory`.

The daemon has fetched its configuration over HTTP: a static inventory and ten jobs. All are started and looked at twice: once
they are up, and a minute later. RSS counts shared pages in full, PSS in shares: the sum of PSS is what the machine misses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench import checkouts, report
from bench.checkouts import REPOSITORY

JOBS = 10
HOSTS = 100
IDLE_S = 60.0
OURS = "flageemonitor-daemon"

DOCUMENT = json.dumps(
    {
        "schema_version": 2,
        "network": "BENCH",
        "inventory": {
            "kind": "static",
            "hosts": [{"name": f"BENCH-LOJA{n:03}-PDV201", "address": f"10.0.0.{n}"} for n in range(1, HOSTS + 1)],
        },
        "schedule": [
            {"id": f"look-{n}", "action": "diagnose_env", "cron": f"{n} 3 1 1 *", "selector": {"all": True}}
            for n in range(JOBS)
        ],
    }
).encode()

# What any scheduler in Python has to carry: an event loop and APScheduler with as many jobs.
BARE = f"""
import asyncio
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

async def main():
    scheduler = AsyncIOScheduler()
    for number in range({JOBS}):
        scheduler.add_job(print, CronTrigger(minute=number, hour=3, day=1, month=1))
    scheduler.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
# The same with the libraries that design names for a daemon, loaded and not used: the rest is ours.
LIBRARIES = "import pydantic.main, requests, rich.console, sqlalchemy.dialects.sqlite, structlog, yaml\n" + BARE
PAUSE = 'import time; print("ready", flush=True); time.sleep(1e6)'


@dataclass(slots=True)
class Idler:
    """A process that waits. ``seen``: (RSS, PSS) in MB at each look; ``goes``: a word of its output that tells it is up."""

    name: str
    argv: Sequence[str | Path]
    goes: str = "ready"
    environment: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[float, float]] = field(default_factory=list)

    def look(self, pid: int) -> None:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        said = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
        self.seen.append((said["Rss"], said["Pss"]))


def main(idle: float = IDLE_S, *, before: Path | None = None) -> None:
    """Measure and print. ``before``: an earlier checkout, whose daemon stands beside ours."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        address = stack.enter_context(_control_plane())
        idlers = [
            _daemon(OURS, REPOSITORY, folder / "ours", address),
            *([_daemon(f"{OURS}, {before.name}", before, folder / "earlier", address)] if before else ()),
            Idler(f"asyncio and APScheduler, {JOBS} jobs", (sys.executable, "-c", BARE)),
            Idler("the same with our libraries", (sys.executable, "-c", LIBRARIES)),
            Idler(
                "python -m http.server", (sys.executable, "-u", "-m", "http.server", "-b", "127.0.0.1", "0"), "Serving"
            ),
            Idler("python, asleep", (sys.executable, "-c", PAUSE)),
        ]
        pids = [stack.enter_context(_running(idler, folder)) for idler in idlers]
        time.sleep(2)  # the daemon's first heartbeat and maintenance
        for pause in (idle, 0.0):
            for idler, pid in zip(idlers, pids, strict=True):
                idler.look(pid)
            time.sleep(pause)
    _print(idlers, idle)


def _print(idlers: Sequence[Idler], idle: float) -> None:
    us = idlers[0]
    rows = []
    for idler in idlers:
        (rss, pss), (rss_later, pss_later) = idler.seen
        ratios = (us.seen[1][0] / rss_later, us.seen[1][1] / pss_later)
        rows.append((idler.name, *map(report.ratio, ratios), *(f"{mb:.1f}" for mb in (rss, rss_later, pss, pss_later))))
    later = f"{idle:.0f} s on"
    columns = ("idle", "ours : it, RSS", "PSS", "RSS MB at start", later, "PSS MB at start", later)
    report.table(f"Memory of an idle daemon, {JOBS} jobs, {HOSTS} hosts", columns, rows)


def _daemon(name: str, checkout: Path, folder: Path, address: str) -> Idler:
    """A daemon of this checkout with a local state that exists: a proxy sets it up once in its life."""
    settings = _settings(checkout, folder, address)
    command = checkouts.program(checkout, "flageemonitor-run")
    subprocess.run([command, "runs"], env=_environment(settings), check=True, capture_output=True)
    return Idler(name, (checkouts.program(checkout, OURS),), "configuration_in_force", settings)


def _settings(checkout: Path, folder: Path, address: str) -> dict[str, str]:
    config = folder / "config"
    config.mkdir(mode=0o700, parents=True)
    token = config / "token"
    token.touch(mode=0o600)
    token.write_text("bench")
    return {
        "FLAGEEMONITOR_API_BASE": address,
        "FLAGEEMONITOR_CONFIG_PATH": str(config),
        "FLAGEEMONITOR_DATA_PATH": str(folder / "data"),
        "FLAGEEMONITOR_ROOT": str(checkout),
        "FLAGEEMONITOR_LOG_FORMAT": "json",
    }


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("FLAGEE")}, **settings}


@contextmanager
def _running(idler: Idler, folder: Path) -> Iterator[int]:
    log = folder / f"{abs(hash(idler.name))}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            idler.argv, env=_environment(idler.environment), cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(600):
            if idler.goes in log.read_text() or process.poll() is not None:
                break
            time.sleep(0.1)
        if process.poll() is not None or idler.goes not in log.read_text():
            raise SystemExit(f"{idler.name} did not start:\n{log.read_text()[-2000:]}")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


class _Answer(BaseHTTPRequestHandler):
    """A control plane that has one document."""

    def do_GET(self) -> None:
        known = self.headers.get("If-None-Match") == '"bench"'
        self.send_response(304 if known else 200)
        self.send_header("ETag", '"bench"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "0" if known else str(len(DOCUMENT)))
        self.end_headers()
        if not known:
            self.wfile.write(DOCUMENT)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is said."""


@contextmanager
def _control_plane() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api/ingest"
        server.shutdown()


if __name__ == "__main__":
    main(*[float(text) for text in sys.argv[1:2]])
