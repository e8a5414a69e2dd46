"""The configuration endpoint, 304 and 200, beside a bare Flask view and a raw WSGI function under the same gunicorn settings.

Run by `python -m bench config_endpoint`, or `python -m bench.config_endpoint [seconds a round] [rounds] [folder]`. One worker
each, the kind that `serve` uses. Rounds take turns, and a ratio is the median of those within a round, so that other work on the
machine weighs on all alike. Requests/s tell what a caller sees, CPU time what it costs: on a busy machine only that can be
trusted.

With the folder of another revision's checkout, that one is measured too. Then all run under gunicorn's own gevent worker, because
the other revision has another worker of ours, or another kind.
"""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import operator
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from bench import report

CALLERS = 4
GOALS = {304: 0.5, 200: 0.35}  # of the raw WSGI function's requests/s
ROOT = Path(__file__).parents[1]
# How gunicorn is started: with our worker, or with its own for all.
OURS = ["server.serving.gunicorn", "-c", "python:server.serving.gunicorn_conf"]
COMMON = ["gunicorn", "-k", "gevent", "--preload", "--keep-alive", "75", "--worker-tmp-dir", "/dev/shm"]  # noqa: S108
NETWORK = "BENCH"

DOCUMENT = json.dumps(
    {
        "schema_version": 2,
        "network": NETWORK,
        "inventory": {
            "kind": "static",
            "hosts": [{"name": f"BENCH_001_PDV{n:03}", "address": f"10.0.0.{n}"} for n in range(1, 56)],
        },
    }
).encode()
ETAG = f'"{hashlib.sha256(DOCUMENT).hexdigest()}"'


def raw_wsgi(
    environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """The least that could answer: no token, no database, no routing."""
    if environ.get("HTTP_IF_NONE_MATCH") == ETAG:
        start_response("304 NOT MODIFIED", [("ETag", ETAG)])
        return []
    start_response(
        "200 OK", [("ETag", ETAG), ("Content-Type", "application/json"), ("Content-Length", str(len(DOCUMENT)))]
    )
    return [DOCUMENT]


flask_view = Flask(__name__, static_folder=None)


@flask_view.get("/api/ingest/bot/config")
def _bare() -> Response:
    """The same through Flask."""
    if request.environ.get("HTTP_IF_NONE_MATCH") == ETAG:
        return Response(status=304, headers={"ETag": ETAG})
    return Response(DOCUMENT, content_type="application/json", headers={"ETag": ETAG})


@dataclass(slots=True)
class Server:
    """One gunicorn with one worker. ``rates`` are requests/s, ``costs`` microseconds of CPU a request, both by status."""

    name: str
    port: int
    worker: int
    token: str
    etag: str = ""
    rates: dict[int, list[float]] = field(default_factory=lambda: {304: [], 200: []})
    costs: dict[int, list[float]] = field(default_factory=lambda: {304: [], 200: []})

    def request(self, status: int) -> bytes:
        condition = f"If-None-Match: {self.etag}\r\n" if status == 304 else ""
        return (
            f"GET /api/ingest/bot/config?rede={NETWORK} HTTP/1.1\r\nHost: bench\r\nX-Bot-Token: {self.token}\r\n{condition}\r\n"
        ).encode()

    def measure(self, status: int, seconds: float) -> None:
        used = _cpu_seconds(self.worker)
        answered = _load(self.port, self.request(status), status, seconds)
        self.rates[status].append(answered / seconds)
        self.costs[status].append((_cpu_seconds(self.worker) - used) / answered * 1e6)


def main(seconds: float = 1.0, rounds: int = 7, before: str | Path = "") -> None:
    """Measure and print. ``before``: the folder of another revision's checkout."""
    gunicorn = COMMON if before else OURS
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        environ, token = _set_up(Path(folder) / "now", ROOT)

        def serve(
            name: str, app: str, environ: Mapping[str, str] = environ, token: str = token, at: Path = ROOT
        ) -> Server:
            return stack.enter_context(_serving(name, app, gunicorn, environ, token, at))

        servers = [
            serve("raw WSGI", "bench.config_endpoint:raw_wsgi"),
            serve("bare Flask", "bench.config_endpoint:flask_view"),
        ]
        if before:
            older = Path(before).absolute()
            servers.append(serve("before", "server.app:create_app()", *_set_up(Path(folder) / "before", older), older))
        servers.append(serve("flagee-server", "server.app:create_app()"))
        for _ in range(rounds):
            for status in GOALS:
                for server in servers:
                    server.measure(status, seconds)
    for status in GOALS:
        _print_table(status, servers, rounds)


def _print_table(status: int, servers: list[Server], rounds: int) -> None:
    raw = servers[0]
    rows = []
    for server in servers:
        rates, costs = server.rates[status], server.costs[status]
        goal = f">= {GOALS[status]:g}" if server is servers[-1] else ""
        rate = statistics.median(map(operator.truediv, rates, raw.rates[status]))
        cost = statistics.median(map(operator.truediv, costs, raw.costs[status]))
        rows.append(
            (
                server.name,
                report.ratio(rate),
                goal,
                report.ratio(1 / cost),
                f"{statistics.median(rates):,.0f}",
                f"{statistics.median(costs):,.0f}",
            )
        )
    columns = (f"answer {status}", "requests/s, x raw", "goal", "by CPU time, x raw", "requests/s", "CPU us each")
    report.table(f"Configuration endpoint, {status}, one worker, medians of {rounds}", columns, rows)


def _set_up(folder: Path, checkout: Path) -> tuple[dict[str, str], str]:
    """A database with one network, made through the product's own command line; the environment to serve it, and a token."""
    folder.mkdir()
    environ = {
        **os.environ,
        "FLAGEE_DATABASE_URL": f"sqlite:///{folder}/bench.db",
        "FLAGEE_SECRET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "FLAGEE_WORKERS": "1",
        "FLAGEE_LOG_FORMAT": "json",
    }
    document = folder / "config_bot.json"
    document.write_bytes(DOCUMENT)

    def operate(*arguments: str) -> str:
        command = [sys.executable, "-c", "from server.cli import main; main()", *arguments]
        return subprocess.run(command, cwd=checkout, env=environ, check=True, capture_output=True, text=True).stdout

    operate("init-db")
    operate("client", "add", "Bench")
    operate("network", "add", "Bench", NETWORK)
    operate("config", "set", "Bench", NETWORK, str(document))
    return environ, operate("token", "issue", "Bench", "--network", NETWORK).splitlines()[-1]


@contextmanager
def _serving(
    name: str, app: str, gunicorn: list[str], environ: Mapping[str, str], token: str, checkout: Path
) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", *gunicorn, "--bind", f"127.0.0.1:{port}", app]
    process = subprocess.Popen(command, cwd=checkout, env=environ, stderr=subprocess.DEVNULL)
    try:
        server = Server(name, port, 0, token)
        server.etag = _wait_for_etag(server)
        server.worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        yield server
    finally:
        process.terminate()
        process.wait()


def _wait_for_etag(server: Server) -> str:
    for _ in range(300):
        try:
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(server.request(200))
                head = connection.recv(4096).decode(errors="replace")
        except OSError:
            time.sleep(0.1)
            continue
        return next(line[6:] for line in head.split("\r\n") if line.lower().startswith("etag: "))
    raise SystemExit(f"{server.name} did not start")


def _load(port: int, request_bytes: bytes, status: int, seconds: float) -> int:
    """Requests answered with ``status`` within ``seconds``, over a few connections that stay open."""
    with multiprocessing.Pool(CALLERS) as pool:
        return sum(pool.starmap(_call, [(port, request_bytes, status, seconds)] * CALLERS))


def _call(port: int, request_bytes: bytes, status: int, seconds: float) -> int:
    expected = f"HTTP/1.1 {status} ".encode()
    count = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            connection.sendall(request_bytes)
            answer = connection.recv(65536)
            assert answer.startswith(expected), answer[:200]
            head, _, body = answer.partition(b"\r\n\r\n")
            if status == 200:
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                while len(body) < length:
                    body += connection.recv(65536)
            count += 1
    return count


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((float, int, str), sys.argv[1:], strict=False)))
