"""`flagee-server health`, the image's HEALTHCHECK: finds the server by its settings, however it listens, and tells how it is."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.harness import authority
from tests.harness.control_plane import COMMAND, ControlPlane, empty, prepared
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.process import running

OK = b'{"status": "ok", "reasons": []}'


@contextlib.contextmanager
def serving(plane: ControlPlane, bind: str, port: int, **settings: str) -> Iterator[dict[str, str]]:
    """The server with this FLAGEE_BIND; the settings that the command is to have as well."""
    changes = {"BIND": f"{bind}:{port}", **settings}
    host = "::1" if bind.startswith("[") else LOOPBACK
    with running(
        [*COMMAND, "serve"],
        name="flagee-server",
        folder=plane.folder,
        env={**plane.environ, **{f"FLAGEE_{name}": value for name, value in changes.items()}},
        ready=lambda: accepts(host, port),
        within=60,
    ):
        yield changes


@contextlib.contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Another program's listener: HOST:PORT."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"{LOOPBACK}:{server.server_address[1]}"
        finally:
            server.shutdown()


def asked(plane: ControlPlane, *options: str, **settings: str) -> Result:
    """With the time that a busy machine needs for a start: a server that is not ready yet keeps its callers waiting."""
    return plane.run("health", "--timeout", "60", *options, stdin=None, **settings)


@pytest.mark.parametrize(("bind", "secure"), [("0.0.0.0", False), ("[::1]", False), (LOOPBACK, True)])
def test_health_finds_the_server_by_the_same_settings(bind: str, secure: bool, tmp_path: Path) -> None:
    plane = prepared(tmp_path)
    settings: dict[str, str] = {}
    if secure:
        issued = authority.new(tmp_path).issue(tmp_path, "control.example.com")
        settings = {"TLS_CERTIFICATE": str(issued.certificate), "TLS_KEY": str(issued.key)}
    port = free_port()
    before = asked(plane, BIND=f"{bind}:{port}", **settings)
    assert before.exit_code == 1
    assert f"{bind}:{port}/health" in before.stderr
    with serving(plane, bind, port, **settings) as same:
        told = asked(plane, **same)
        assert (told.exit_code, told.stdout) == (0, "ok\n"), told.output
        assert json.loads(asked(plane, "--output", "json", **same).stdout)["status"] == "ok"
        named = asked(plane, "--bind", f"{bind}:{port}", **settings)
        assert named.exit_code == 0, named.output
        scheme = {} if secure else {"TLS_CERTIFICATE": "/a", "TLS_KEY": "/b"}
        other = asked(plane, BIND=f"{bind}:{port}", **scheme)
        assert other.exit_code == 1, "the other scheme is not this server's"


ANSWERS = {
    "degraded": (200, b'{"status": "degraded", "reasons": ["write_failed"]}', 0, "degraded: write_failed\n"),
    "error": (503, b'{"status": "error", "reasons": ["database"]}', 1, "error: database\n"),
    "no reasons": (200, b'{"status": "ok"}', 0, "ok\n"),
    "another program": (200, b"<html>hello</html>", 1, "is another program listening there?"),
    "not found": (404, b'{"status": "ok"}', 1, "status 404, which is not one of this server's health answers"),
    "no object": (200, b"[]", 1, "not one of this server's health answers"),
    "far too long": (200, b'"' + b"x" * 100_000 + b'"', 1, "the answer is not one of this server"),
}


@pytest.mark.parametrize(("status", "body", "code", "text"), ANSWERS.values(), ids=ANSWERS)
def test_health_exits_with_and_prints_the_verdict(
    status: int, body: bytes, code: int, text: str, tmp_path: Path
) -> None:
    with answering(status, body) as bind:
        told = empty(tmp_path).run("health", BIND=bind)
    assert told.exit_code == code
    assert text in (told.stdout if code == 0 else told.stderr)


def test_a_silent_server_is_given_up_after_the_given_time(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        bind = f"{LOOPBACK}:{silent.getsockname()[1]}"
        told = empty(tmp_path).run("health", "--timeout", "0.3", "--output", "json", BIND=bind)
    assert told.exit_code == 1
    assert json.loads(told.stdout)["status"] == "unreachable"
    assert "did not answer within 0.3 s" in told.stdout


def test_a_listener_on_every_address_is_asked_over_loopback(tmp_path: Path) -> None:
    with answering(200, OK) as bind:
        port = bind.rpartition(":")[2]
        assert empty(tmp_path).run("health", BIND=f"0.0.0.0:{port}").exit_code == 0


def test_a_port_that_the_system_chose_cannot_be_known(tmp_path: Path) -> None:
    told = empty(tmp_path).run("health", BIND=f"{LOOPBACK}:0")
    assert (told.exit_code, "name it with --bind" in told.stderr) == (1, True)


def test_the_health_check_of_the_image_is_this_command() -> None:
    text = (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert 'CMD ["flagee-server", "health"]' in text
    assert "urlopen" not in text
