"""Refreshing the configuration from a real HTTP server on loopback that does all that servers, proxies and portals do."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.bounded import MAX_BYTES
from contracts.secret import Secret
from runtime.adapters.config_store import FILE, ConfigStore
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.services.config_refresh import refresh
from tests.harness.need import need_program, need_root
from tests.unit.state.support import NOON, StillClock

TOKEN = "flg_0123456789abcdef"


def _document(client: str, **changes: Any) -> bytes:
    document = {"schema_version": 2, "network": "acme", "client": client, "inventory": {"kind": "static", "hosts": []}}
    return json.dumps({**document, **changes}).encode()


def _response(body: bytes, status: str = "200 OK", *headers: str, length: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Server:
    """Answers every request with ``answer``: bytes, or a function of the request that writes to the socket itself."""

    port: int
    answer: bytes | Callable[[str, socket.socket], None] = b""
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/ingest/bot/config"


@contextlib.contextmanager
def _serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server: Server

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                connection = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                request = b""
                while b"\r\n\r\n" not in request and (piece := connection.recv(65536)):
                    request += piece
                server.requests.append(request.decode("latin-1"))
                if callable(server.answer):
                    server.answer(server.requests[-1], connection)
                else:
                    connection.sendall(server.answer)
                connection.close()

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what these tests are about."""

    with Threads(("127.0.0.1", 0), Handler) as threads:
        server = Server(int(threads.server_address[1]))
        thread = threading.Thread(target=threads.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            threads.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with _serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    """A store with a valid document, an hour old."""
    filled = ConfigStore(tmp_path / "config")
    filled.replace(_document("old"), '"old"', source="test", now=NOON - dt.timedelta(hours=1))
    return filled


def _plane(server: Server, **changes: Any) -> HttpControlPlane:
    values = {"url": server.url, "network": "acme", "token": Secret(TOKEN), "read_timeout": 5.0, "connect_timeout": 5.0}
    return HttpControlPlane(**{**values, **changes})


def _client(store: ConfigStore) -> str:
    return store.load().document.config.client


# --- what should happen


def test_a_new_document_is_put_in_force(server: Server, store: ConfigStore) -> None:
    server.answer = _response(_document("new"), "200 OK", 'ETag: "new"')
    result = refresh(store, _plane(server), StillClock())
    assert (result.reason, result.changed, result.current, result.etag, result.age) == (
        "updated",
        True,
        True,
        '"new"',
        0.0,
    )
    assert _client(store) == "new"


def test_the_request_says_who_asks_for_what(server: Server, store: ConfigStore) -> None:
    server.answer = _response(_document("new"))
    result = refresh(store, _plane(server, network="acme 1&x=2"), StillClock())
    assert result.reason == "invalid:wrong_network"
    [request] = server.requests
    assert request.startswith("GET /api/ingest/bot/config?rede=acme+1%26x%3D2 HTTP/1.1\r\n")
    headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if line)
    assert headers["X-Bot-Token"] == TOKEN
    assert headers["If-None-Match"] == '"old"'
    assert headers["x-correlation-id"] == result.correlation_id


def test_not_modified_keeps_the_document_and_renews_its_confirmation(server: Server, store: ConfigStore) -> None:
    assert (refresh(store, _plane(server, url="http://127.0.0.1:1/"), StillClock())).age == 3600
    server.answer = _response(b"", "304 Not Modified", 'ETag: "old"')
    result = refresh(store, _plane(server), StillClock())
    assert (result.reason, result.changed, result.age, result.etag) == ("unchanged", False, 0.0, '"old"')
    assert _client(store) == "old"


def test_an_equal_document_is_unchanged_and_its_etag_is_stored(server: Server, tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    (tmp_path / FILE).write_bytes(_document("by hand"))
    server.answer = _response(_document("by hand"), "200 OK", 'ETag: "h"')
    assert refresh(store, _plane(server), StillClock()).reason == "unchanged"
    assert "If-None-Match" not in server.requests[0]
    assert store.load().etag == '"h"'


def test_the_first_document_of_an_empty_store(server: Server, tmp_path: Path) -> None:
    store = ConfigStore(tmp_path / "config")
    server.answer = _response(b"", "304 Not Modified")
    result = refresh(store, _plane(server), StillClock())
    assert (result.reason, result.in_force, result.age) == ("unavailable", False, None), "nobody asked for a 304"
    server.answer = _response(_document("first"))
    assert refresh(store, _plane(server), StillClock()).reason == "updated"
    assert _client(store) == "first"


@pytest.mark.parametrize("encoding", ["length", "chunked", "close"])
def test_every_way_to_send_a_whole_body(server: Server, store: ConfigStore, encoding: str) -> None:
    body = _document("new")
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    server.answer = {
        "length": _response(body),
        "chunked": _response(chunked, "200 OK", "Transfer-Encoding: chunked", length=False),
        "close": _response(body, length=False),
    }[encoding]
    assert refresh(store, _plane(server), StillClock()).reason == "updated"


# --- what goes wrong


@pytest.mark.parametrize("encoding", ["length", "chunked", "close"])
def test_an_answer_cut_at_any_byte_changes_nothing(server: Server, store: ConfigStore, encoding: str) -> None:
    # White space behind the document: a cut there leaves valid JSON that only the announced length can tell from a whole one.
    body = _document("new") + b"   \n"
    whole = {
        "length": _response(body, "200 OK", 'ETag: "new"'),
        "chunked": _response(
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), "200 OK", "Transfer-Encoding: chunked", length=False
        ),
        "close": _response(body.rstrip(), length=False),
    }[encoding]
    plane, before = _plane(server), (store.folder / FILE).read_bytes()
    # http.client takes a chunked body for whole once the size of the last chunk is read; its closing lines carry nothing.
    last = len(whole) - (len(b"\r\n\r\n") if encoding == "chunked" else 0)
    for position in range(last):
        server.answer = whole[:position]
        result = refresh(store, plane, StillClock())
        assert not result.current, f"cut after {whole[:position]!r}"
        assert result.reason in ("unavailable", "invalid:not_json")
        assert (result.in_force, result.age) == (True, 3600.0)
    assert (store.folder / FILE).read_bytes() == before
    server.answer = whole
    assert refresh(store, plane, StillClock()).reason == "updated"


FORM = b'<html><form><input type="password"></form></html>'
PROBLEM = json.dumps({"title": "Forbidden", "detail": "the token is\nfor another network", "status": 403}).encode()


@pytest.mark.parametrize(
    ("answer", "reason", "status", "text"),
    [
        (_response(PROBLEM, "401 Unauthorized"), "refused", 401, "the token is for another network"),
        (_response(PROBLEM, "403 Forbidden"), "refused", 403, "the token is for another network"),
        (
            _response(b"<html>no</html>", "403 Forbidden"),
            "refused",
            403,
            "answered HTTP 403 with a page: the server's own",
        ),
        (_response(FORM, "403 Forbidden"), "intercepted", 403, "a sign-in page (HTTP 403"),
        (
            _response(b"<html>no</html>", "511 Network Authentication Required"),
            "intercepted",
            511,
            "asks for a sign-in",
        ),
        (_response(b'["x"]', "400 Bad Request"), "refused", 400, "Bad Request"),
        (_response(b"", "404 Not Found"), "refused", 404, "Not Found"),
        (_response(b"x" * 300_000, "500 Internal Server Error"), "unavailable", 500, "answered 500"),
        (_response(b"", "503 Service Unavailable", "Retry-After: 120"), "unavailable", 503, "answered 503"),
        (_response(b"", "429 Too Many Requests", "Retry-After: 120"), "unavailable", 429, "answered 429"),
        (_response(b"", "204 No Content"), "unavailable", 204, "answered 204"),
        (_response(b"", "200 OK"), "unavailable", 200, "is empty"),
        (_response(_document("new"), "206 Partial Content"), "unavailable", 206, "answered 206"),
        (_response(_document("new"), "200 OK", "Content-Encoding: gzip"), "unavailable", 200, "packed as gzip"),
        (
            _response(b"<html>Welcome to the free Wi-Fi</html>"),
            "intercepted",
            200,
            "Something between this host and the control plane answered",
        ),
        (_response(_document("new", network="other")), "invalid:wrong_network", None, "for the network other"),
        (_response(_document("new", schema_version=9)), "invalid:newer_version", None, "update it first"),
        (_response(_document("new", must_understand=["x"])), "invalid:must_understand", None, '"x"'),
        (_response(_document("new", timezone="Mars/X")), "invalid:invalid", None, "newer, update this side first"),
        (_response(_document("new", provider=[])), "invalid:invalid", None, "provider"),
        (_response(b"[]"), "intercepted", 200, "the JSON of another service"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "unavailable", None, "could not be reached, or broke off"),
        (b"", "unavailable", None, "could not be reached, or broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{", "unavailable", 200, "at most"),
    ],
)
def test_a_failure_keeps_the_last_valid_document_and_says_why(
    server: Server, store: ConfigStore, answer: bytes, reason: str, status: int | None, text: str
) -> None:
    server.answer = answer
    result = refresh(store, _plane(server), StillClock())
    assert (result.reason, result.status) == (reason, status)
    assert text in result.message
    assert TOKEN not in repr(result)
    assert (result.changed, result.current, result.in_force, result.age) == (False, False, True, 3600.0)
    assert _client(store) == "old"
    assert result.retry_after == (120.0 if status in (429, 503) else None)


PAGE = b"<html><head><title>The page</title></head><center>nginx</center></html>"


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        (401, "refused", "asks for a login of its own"),
        (403, "refused", "asks for a login of its own"),
        (404, "refused", "check the address: http://127.0.0.1"),
        (429, "unavailable", "from this machine"),
        (500, "unavailable", "of its web server"),
        (502, "unavailable", "of its web server"),
        (503, "unavailable", "of its web server"),
    ],
)
def test_an_error_page_is_classified_by_its_status_and_no_sender_is_guessed(
    server: Server, store: ConfigStore, status: int, reason: str, advice: str
) -> None:
    server.answer = _response(PAGE, f"{status} X", "Retry-After: 120")
    result = refresh(store, _plane(server), StillClock())
    assert (result.reason, result.status, result.retry_after) == (reason, status, 120.0)
    assert f'answered HTTP {status} with a page titled "The page": the server\'s own web server' in result.message
    assert "Something between" not in result.message
    assert advice in result.advice


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_without_end_is_cut(server: Server, store: ConfigStore, announced: bool) -> None:
    sent = 0

    def flood(_request: str, connection: socket.socket) -> None:
        nonlocal sent
        head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: %d\r\n" % (20 * MAX_BYTES) if announced else b"") + b"\r\n"
        connection.sendall(head)
        while sent < 20 * MAX_BYTES:
            sent += connection.send(b" " * 65536)

    server.answer = flood
    result = refresh(store, _plane(server), StillClock())
    assert (result.reason, result.status) == ("unavailable", 200)
    assert str(MAX_BYTES) in result.message
    assert sent < 20 * MAX_BYTES


def test_a_redirect_never_carries_the_token_away(server: Server, store: ConfigStore) -> None:
    with _serving() as thief:
        thief.answer = _response(_document("stolen"))
        for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            server.answer = _response(b"", status, f"Location: {thief.url}")
            result = refresh(store, _plane(server), StillClock())
            assert result.reason == "refused"
            assert f"redirects to 127.0.0.1:{thief.port}" in result.message
        assert thief.requests == []
    assert _client(store) == "old"


def test_the_environment_sends_neither_token_nor_login_elsewhere(
    server: Server, store: ConfigStore, tmp_path: Path
) -> None:
    """A proxy of the environment is not used for loopback; a .netrc is never used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    program = (
        "import sys, pathlib\n"
        "from contracts.secret import Secret\n"
        "from runtime.adapters.config_store import ConfigStore\n"
        "from runtime.adapters.control_plane.http import HttpControlPlane\n"
        "from runtime.services.config_refresh import refresh\n"
        "from tests.unit.state.support import StillClock\n"
        "plane = HttpControlPlane(sys.argv[1], token=Secret('t'))\n"
        "print(refresh(ConfigStore(pathlib.Path(sys.argv[2])), plane, StillClock()).reason)\n"
    )
    server.answer = _response(_document("new"))
    with _serving() as proxy:
        environment = {"HOME": str(tmp_path), "http_proxy": f"http://127.0.0.1:{proxy.port}", "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", program, server.url, str(store.folder)]
        said = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
        assert said.stdout == "updated\n"
        assert proxy.requests == []
    assert "authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("stage", ["before the answer", "in the body", "drop by drop"])
def test_a_server_that_hangs_is_given_up(server: Server, store: ConfigStore, stage: str) -> None:
    over = threading.Event()

    def hang(_request: str, connection: socket.socket) -> None:
        if stage != "before the answer":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")
        while stage == "drop by drop" and not over.wait(0.05):
            connection.sendall(b" ")
        over.wait(60)

    server.answer = hang
    try:
        result = refresh(store, _plane(server, read_timeout=0.3, total_timeout=0.4), StillClock())
    finally:
        over.set()
    assert result.reason == "unavailable"
    assert re.search("in time", result.message)
    assert _client(store) == "old"


def test_a_control_plane_that_refuses_connections_is_unavailable(server: Server, store: ConfigStore) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        result = refresh(store, _plane(server, url=f"http://127.0.0.1:{closed.getsockname()[1]}/"), StillClock())
    assert result.reason == "unavailable"
    assert "refused" in result.message.lower()


def test_a_name_that_does_not_resolve(server: Server, store: ConfigStore) -> None:
    result = refresh(store, _plane(server, url="https://control.invalid/config"), StillClock())
    assert result.reason == "unavailable"
    assert "control.invalid could not be reached" in result.message


def test_a_missing_token_file_is_reported(server: Server, store: ConfigStore, tmp_path: Path) -> None:
    result = refresh(store, _plane(server, token_file=tmp_path / "token"), StillClock())
    assert result.reason == "unavailable"
    assert f"{tmp_path / 'token'} cannot be read" in result.message
    assert server.requests == []


def test_a_full_disk_keeps_the_old_document(server: Server, tmp_path: Path) -> None:
    need_root("a small disk of its own")
    server.answer = _response(_document("x" * 60_000))
    program = (
        "import sys, pathlib\n"
        "from contracts.secret import Secret\n"
        "from runtime.adapters.config_store import ConfigStore\n"
        "from runtime.adapters.control_plane.http import HttpControlPlane\n"
        "from runtime.services.config_refresh import refresh\n"
        "from tests.unit.state.support import NOON, StillClock\n"
        "store = ConfigStore(pathlib.Path(sys.argv[1]) / 'config')\n"
        "old = pathlib.Path(sys.argv[3]).read_bytes()\n"
        "store.replace(old, None, source='test', now=NOON)\n"
        "result = refresh(store, HttpControlPlane(sys.argv[2], token=Secret('t')), StillClock())\n"
        "assert result.reason == 'not_stored', result\n"
        "assert 'No space left' in result.message, result\n"
        "assert store.load().document.config.client == 'old'\n"
        "assert sorted(p.name for p in store.folder.glob('.*')) == ['.lock']\n"
    )
    old = tmp_path / "old.json"
    old.write_bytes(_document("old"))
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size=32k state "$1" && exec "$2" -c "$3" "$1" "$4" "$5"'
    arguments = [str(tmp_path / "disk"), sys.executable, program, server.url, str(old)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr


# --- TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one file."""
    openssl, folder = need_program("openssl", "openssl"), tmp_path_factory.mktemp("tls")
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=control -keyout key -out certificate "
        "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:TRUE"
    )
    subprocess.run([openssl, *words.split()], check=True, capture_output=True, cwd=folder)
    both = folder / "both.pem"
    both.write_text((folder / "certificate").read_text() + (folder / "key").read_text())
    return both


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_certificate_gets_the_token(certificate: Path, store: ConfigStore, trusted: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _serving(context) as server:
        server.answer = _response(_document("new"))
        plane = _plane(
            server,
            url=server.url.replace("http:", "https:"),
            ca_path=str(certificate) if trusted else "",
            insecure=True,
        )
        result = refresh(store, plane, StillClock())
        assert result.reason == ("updated" if trusted else "unavailable")
        assert bool(server.requests) is trusted
        if not trusted:
            assert "FLAGEEMONITOR_CA_PATH" in result.message


def test_a_missing_ca_file_is_reported(server: Server, store: ConfigStore) -> None:
    result = refresh(store, _plane(server, url="https://127.0.0.1:1/", ca_path="/nowhere/ca.pem"), StillClock())
    assert result.reason == "unavailable"
    assert "/nowhere/ca.pem" in result.message
