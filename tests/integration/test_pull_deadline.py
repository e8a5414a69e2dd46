"""A registry that never completes an image does not block an update: a pull ends without progress, and at its time limit."""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.image_reference import parse_reference
from runtime.deployment import docker_engine
from runtime.deployment.docker_engine import DockerEngine
from runtime.deployment.results import DeployError

VERSION = {"Version": "28.0.0", "ApiVersion": "1.48", "MinAPIVersion": "1.24"}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
LINE = json.dumps({"status": "Downloading", "progress": "[>    ]"}).encode() + b"\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


def silent_at_once(_: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def silent_after_a_line(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(STREAM + chunk(LINE))
    over.wait(30)


def lines_for_ever(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(STREAM)
    while not over.wait(0.02):
        connection.sendall(chunk(LINE))


PULLS = {
    "no answer": (silent_at_once, 0.4),
    "silence after the first line": (silent_after_a_line, 0.4),
    "progress without end": (lines_for_ever, 0.8),
}


@pytest.fixture
def stuck(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The socket of an engine whose pull behaves so."""
    behave: Callable[[socket.socket, threading.Event], None] = request.param
    over = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n") and (line := self.rfile.readline()):
                head += line
            if b"/images/create" in head:
                try:
                    behave(self.connection, over)
                except OSError:
                    return
            elif head:
                body = json.dumps(VERSION).encode()
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    path = tmp_path / "engine.sock"
    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield path
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("stuck", "seconds"), PULLS.values(), ids=PULLS, indirect=["stuck"])
def test_a_pull_without_end_is_given_up(
    stuck: Path, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "PULL_SILENCE_S", 0.4)
    monkeypatch.setattr(docker_engine, "PULL_S", 0.8)
    docker = DockerEngine(f"unix://{stuck}", tmp_path / "config.json")
    begun = time.monotonic()
    with pytest.raises(DeployError, match=f"within {seconds:g} s") as caught:
        docker.pull(parse_reference("registry.example/proxy:stable"))
    assert caught.value.reason == "image_unavailable"
    assert time.monotonic() - begun < seconds + 1
    docker.close()
