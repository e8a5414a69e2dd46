"""The control plane as it runs: `flagee-server serve`, nginx and gunicorn, real sockets, its log, its end."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness.control_plane import CLIENT, ControlPlane, prepared
from tests.harness.ports import LOOPBACK
from tests.harness.process import Child, wait_until

PATH = "/api/ingest/bot/config"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Child]]:
    """A server for tests that only ask it something."""
    plane = prepared(tmp_path_factory.mktemp("shared"))
    with plane.serving(LOG_LEVEL="debug", TRUSTED_PROXIES="1") as served:
        yield served


@pytest.fixture(scope="module")
def alone_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Child, str]]:
    """The same without nginx, and a token with every scope."""
    plane = prepared(tmp_path_factory.mktemp("alone"))
    with plane.serving(LOG_LEVEL="debug", NGINX="none") as (url, child):
        yield url, child, plane.token("--network", "SOL")


@pytest.fixture
def alone(alone_plane: tuple[str, Child, str]) -> tuple[str, Child]:
    return alone_plane[:2]


@pytest.fixture
def alone_token(alone_plane: tuple[str, Child, str]) -> str:
    return alone_plane[2]


def log_lines(child: Child) -> list[dict[str, Any]]:
    return [json.loads(line) for line in child.log.read_text().splitlines()]


def exchange(url: str, request: bytes, *, last: bool = False) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body of the first answer to these bytes; ``last``: the sending side is closed after them."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        if last:
            connection.shutdown(socket.SHUT_WR)
        with contextlib.closing(http.client.HTTPResponse(connection)) as answer:
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return f"HTTP/1.1 {answer.status} {answer.reason}", headers, answer.read()


def everything(url: str, request: bytes) -> bytes:
    """All that is answered to these bytes until the connection is closed."""
    host, port = url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


def test_a_proxy_gets_its_document_and_then_304(plane: ControlPlane) -> None:
    raw = plane.publish("SOL")
    headers = {"X-Bot-Token": plane.token("--network", "SOL")}
    with plane.serving() as (url, _):
        answer = requests.get(url + PATH, headers=headers, timeout=60)
        assert (answer.status_code, answer.content) == (200, raw)
        headers["If-None-Match"] = answer.headers["ETag"]
        for query in ("", "?rede=SOL"):
            again = requests.get(url + PATH + query, headers=headers, timeout=60)
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
        assert requests.get(url + PATH, timeout=60).status_code == 401
        assert requests.get(url + "/health", timeout=60).json()["status"] == "ok"


def test_documents_can_be_stored_while_they_are_fetched(plane: ControlPlane) -> None:
    headers = {"X-Bot-Token": plane.token("--network", "SOL")}
    stop = threading.Event()
    seen: list[tuple[int, str, bytes]] = []

    def fetch(url: str) -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(url + PATH, headers=headers, timeout=60)
                seen.append((answer.status_code, answer.headers["ETag"], answer.content))

    with plane.serving(WORKERS="2") as (url, _):
        fetchers = [threading.Thread(target=fetch, args=(url,)) for _ in range(3)]
        for fetcher in fetchers:
            fetcher.start()
        stored = {plane.etag("SOL"): requests.get(url + PATH, headers=headers, timeout=60).content}
        for zone in ("America/Manaus", "America/Bahia", "America/Recife", "America/Belem"):
            raw = plane.publish("SOL", timezone=zone)
            stored[plane.etag("SOL")] = raw
            assert requests.get(url + PATH, headers=headers, timeout=60).content == raw
        stop.set()
        for fetcher in fetchers:
            fetcher.join()
    assert {status for status, _, _ in seen} == {200}
    assert all(stored[etag] == content for _, etag, content in seen), "an ETag always comes with its own document"


def test_the_last_use_of_a_token_is_written_at_intervals(plane: ControlPlane) -> None:
    token = plane.token("--network", "SOL")

    def last_use() -> object:
        rows = json.loads(plane.must("token", "list", CLIENT, "--output", "json"))
        return next(row["last_used_at"] for row in rows if row["id"] == token.split(".")[1])

    with plane.serving(LAST_USE_INTERVAL="1") as (url, _):
        assert requests.get(url + PATH, headers={"X-Bot-Token": token}, timeout=60).status_code == 200
        wait_until(last_use, within=30, what="last use written by the timer")


def test_the_last_use_of_a_token_is_written_at_the_end(plane: ControlPlane) -> None:
    token = plane.token("--network", "SOL")
    with plane.serving() as (url, child):
        assert requests.get(url + PATH, headers={"X-Bot-Token": token}, timeout=60).status_code == 200
        assert child.stop(grace=60) == 0
    [row] = json.loads(plane.must("token", "list", CLIENT, "--output", "json"))
    assert row["last_used_at"] is not None


REFUSED_BEFORE_FLASK = {
    "a header of 9 kB": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Bot-Token: fm1.hunter2" + b"x" * 9000,
        431,
        "headers_too_large",
    ),
    "200 headers": (
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(b"X-%d: 1" % n for n in range(200)),
        431,
        "too_many_headers",
    ),
    "a head of 33 kB": (
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(b"X-%d: %s" % (n, b"x" * 3000) for n in range(11)),
        431,
        "headers_too_large",
    ),
    "an address of 5 kB": (b"GET /health?rede=hunter2" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x", 414, "uri_too_long"),
    "an address of 9 kB": (b"GET /health?rede=hunter2" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x", 414, "uri_too_long"),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: x\r\nHost: hunter2", 400, "bad_request"),
    "no host": (b"GET /health HTTP/1.1\r\nX-Bot-Token: fm1.hunter2", 400, "bad_request"),
    "a null byte in the path": (b"GET /hunter2\0 HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "an escaped null byte in the path": (b"GET /hunter2%00 HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "a control character in the query": (b"GET /health?hunter2\x01 HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "a path that leaves the root": (b"GET /hunter2/../../health HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "an escaped path that leaves the root": (b"GET /%2e%2E/hunter2 HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "a path without a slash": (b"GET hunter2 HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: hunter2", 400, "bad_request"),
    "a tunnel": (b"CONNECT hunter2:443 HTTP/1.1\r\nHost: hunter2", 400, "bad_request"),
    "a host with a slash": (b"GET /health HTTP/1.1\r\nHost: x/hunter2", 400, "bad_request"),
    "an empty host": (b"GET /health HTTP/1.1\r\nHost:\r\nX-Bot-Token: hunter2", 400, "bad_request"),
    "a host of two words": (b"GET /health HTTP/1.1\r\nHost: x hunter2", 400, "bad_request"),
    "an escape that is none": (b"GET /hunter2%zz HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "an escape that is cut off": (b"GET /hunter2%4 HTTP/1.1\r\nHost: x", 400, "bad_request"),
    "no request": (b"hunter2", 400, "bad_request"),
    "an unknown version": (b"GET /health HTTP/9.9\r\nHost: x\r\nX-Bot-Token: fm1.hunter2", 400, "bad_request"),
    "a header without a colon": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Bot-Token fm1.hunter2", 400, "bad_request"),
    "a null byte": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Bot-Token: fm1.hunter2\0", 400, "bad_request"),
    "two lengths": (
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2",
        400,
        "bad_request",
    ),
    "length and chunks": (
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        400,
        "bad_request",
    ),
    "a coding before chunks": (
        b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked",
        501,
        "transfer_coding",
    ),
    "an unknown coding": (
        b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: hunter2",
        501,
        "transfer_coding",
    ),
}


@pytest.mark.parametrize("behind", ["nginx", "nothing"])
@pytest.mark.parametrize("refused", REFUSED_BEFORE_FLASK)
def test_what_is_refused_before_flask_is_a_problem_with_a_correlation_id(
    shared: tuple[str, Child], alone: tuple[str, Child], refused: str, behind: str
) -> None:
    url, child = shared if behind == "nginx" else alone
    request_bytes, status, reason = REFUSED_BEFORE_FLASK[refused]
    status_line, headers, body = exchange(url, request_bytes + b"\r\n\r\n")
    assert status_line.startswith(f"HTTP/1.1 {status} ")
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert problem["correlation_id"] == headers["x-correlation-id"]
    wait_until(
        lambda: any(
            (line["event"], line["status"], line["reason"]) == ("request_refused", status, reason)
            for line in log_lines(child)
            if line.get("correlation_id") == headers["x-correlation-id"]
        ),
        within=30,
        what="the refusal in the log",
    )
    assert "hunter2" not in child.log.read_text()


def head_of(size: int, longest: int) -> bytes:
    """A request for the health answer with a head of that many bytes, in headers that are each small enough."""
    start, end = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", b"\r\n"
    head = start
    while (left := size - len(head) - len(end)) > 0:
        line = min(left, longest) if left - min(left, longest) in (0, *range(32, 1 << 20)) else left - 32
        head += b"X-Filler: " + b"x" * (line - 12) + b"\r\n"
    return head + end


@pytest.mark.parametrize(("size", "status"), [(32_768, 200), (32_769, 431), (36_000, 431)])
@pytest.mark.parametrize("line", [512, 4096, 6000, 8190])
@pytest.mark.parametrize("behind", ["nginx", "nothing"])
def test_a_head_has_at_most_32_kilobytes_with_and_without_nginx(
    shared: tuple[str, Child], alone: tuple[str, Child], behind: str, line: int, size: int, status: int
) -> None:
    url, _ = shared if behind == "nginx" else alone
    request = head_of(size, line)
    assert len(request) == size
    status_line, headers, body = exchange(url, request)
    assert status_line.startswith(f"HTTP/1.1 {status} ")
    if status == 431:
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["reason"] == "headers_too_large"


@pytest.mark.parametrize(("many", "status"), [(100, 200), (101, 431)])
@pytest.mark.parametrize("behind", ["nginx", "nothing"])
def test_a_request_has_at_most_100_headers_of_its_own(
    shared: tuple[str, Child], alone: tuple[str, Child], behind: str, many: int, status: int
) -> None:
    url, child = shared if behind == "nginx" else alone
    lines = [b"Host: x", *(b"X-%d: 1" % n for n in range(many - 1)), b"x-correlation-id: counted-%d" % many]
    status_line, headers, body = exchange(url, b"GET /health HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
    assert status_line.startswith(f"HTTP/1.1 {status} ")
    assert headers["x-correlation-id"] == f"counted-{many}"
    if status == 431:
        assert json.loads(body)["reason"] == "too_many_headers"
        [line] = [line for line in log_lines(child) if line.get("correlation_id") == "counted-101"]
        assert (line["event"], line["address"]) == ("request_refused", LOOPBACK)


AFTER_A_BROKEN_BODY = b"\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
BROKEN_CHUNKS = {
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-1\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "leading space": b" 5\r\nhello\r\n0\r\n\r\n",
    "trailing space": b"5 \r\nhello\r\n0\r\n\r\n",
    "empty": b"\r\nhello\r\n0\r\n\r\n",
    "no digit": b"hello\r\nhello\r\n0\r\n\r\n",
    "superscript": b"\xb2\r\nhe\r\n0\r\n\r\n",
    "line feed alone": b"5\nhello\r\n0\r\n\r\n",
    "longer than it says": b"3\r\nhello\r\n0\r\n\r\n",
    "size without end": b"0" * 12_000,
    "extension without end": b"5;" + b"x" * 12_000,
    "trailers without end": b"0\r\n" + b"X-A: 1\r\n" * 1_400,
    "trailer that is none": b"0\r\nnothing\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_a_body_whose_chunks_break_the_rules_is_400_and_ends_the_connection(
    alone: tuple[str, Child], alone_token: str, chunks: bytes
) -> None:
    url, child = alone
    errors = child.log.read_text().count('"level": "error"')
    for token, status in ((alone_token, "400"), ("unknown", "401")):
        head = (
            f"POST /api/bootstrap/enroll HTTP/1.1\r\nHost: x\r\nX-Bot-Token: {token}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        status_line, headers, body = exchange(url, head.encode() + chunks + AFTER_A_BROKEN_BODY, last=True)
        assert status_line.split()[1] == status
        assert headers["content-type"] == "application/problem+json"
        assert status == "401" or json.loads(body)["reason"] == "bad_request"
    log = child.log.read_text()
    assert "smuggled" not in log, "what follows a broken body is not a request"
    assert log.count('"level": "error"') == errors, "a caller's mistake is no error of the server"


def test_a_valid_chunked_body_is_accepted(alone: tuple[str, Child], alone_token: str) -> None:
    url, _ = alone
    body = json.dumps({"agent_id": "0198c0de-0000-7000-8000-00000000c0de", "hostname": "pdv"}).encode()
    chunks = b"".join(b"%X;note=1\r\n%b\r\n" % (len(part), part) for part in (body[:1], body[1:50], body[50:]))
    head = (
        f"POST /api/bootstrap/enroll HTTP/1.1\r\nHost: x\r\nX-Bot-Token: {alone_token}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    status_line, _, _ = exchange(url, head.encode() + chunks + b"0\r\nX-Trailer: 1\r\n\r\n")
    assert status_line.split()[1] == "201"


@pytest.mark.parametrize("size", ["+5", "0x5", "-1", "5_0", ""])
def test_a_chunk_of_a_size_that_is_no_number_is_400_and_ends_the_connection(
    shared: tuple[str, Child], size: str
) -> None:
    url, child = shared
    body = f"{size}\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = everything(url, f"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}".encode())
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"400"]
    assert b"bad_request" in answer
    assert "smuggled" not in child.log.read_text()


def test_every_line_of_the_log_is_an_object_and_requests_carry_their_correlation_id(shared: tuple[str, Child]) -> None:
    url, child = shared
    requests.get(url + PATH, headers={"x-correlation-id": "find-me"}, timeout=60)
    lines = [line for line in log_lines(child) if line.get("correlation_id") == "find-me"]
    assert [(line["event"], line["status"], line["reason"]) for line in lines] == [("request", 401, "token_missing")]
    assert all({"timestamp", "level", "event", "logger"} <= line.keys() for line in log_lines(child))


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_forwarded_addresses_are_trusted_for_the_configured_number_of_hops(tmp_path: Path, hops: int) -> None:
    plane = prepared(tmp_path)
    with plane.serving(TRUSTED_PROXIES=str(hops)) as (url, child):
        headers = {"X-Forwarded-For": "192.0.2.1, 192.0.2.2, 192.0.2.3"}
        requests.get(url + "/nowhere", headers=headers, timeout=60)
        [line] = [line for line in log_lines(child) if line["event"] == "request"]
    assert line["address"] == (LOOPBACK, "192.0.2.3", "192.0.2.2")[hops]


@pytest.mark.parametrize(
    ("written", "address"),
    [("192.0.2.1:4711", "192.0.2.1"), ("[2001:DB8::1]:443", "2001:db8::1"), ("x" * 5000, None), ("unknown", None)],
)
def test_a_forwarded_address_is_an_address_in_the_log_or_nothing(
    shared: tuple[str, Child], written: str, address: str | None
) -> None:
    url, child = shared
    requests.get(url + "/nowhere", headers={"X-Forwarded-For": written}, timeout=60)
    line = [line for line in log_lines(child) if line["event"] == "request"][-1]
    assert (line["path"], line["address"]) == ("/nowhere", address)


def test_no_secret_is_ever_logged(plane: ControlPlane) -> None:
    plane.publish("SOL", credentials=[{"id": "main", "user": "root", "password": "hunter2"}])
    token = plane.token("--network", "SOL")
    foreign = "fm1.0123456789ab." + "s" * 43
    with plane.serving(LOG_LEVEL="debug") as (url, child):
        etag = requests.get(url + PATH, headers={"X-Bot-Token": token}, timeout=60).headers["ETag"]
        for headers in (
            {"X-Bot-Token": token, "If-None-Match": etag},
            {"Authorization": f"Bearer {token}"},
            {"Authorization": f"Bearer {foreign}"},
            {"X-Bot-Token": token, "Authorization": f"Bearer {foreign}"},
            {"X-Bot-Token": foreign * 150},
        ):
            requests.get(f"{url}{PATH}?rede=SOL&token={token}", headers=headers, timeout=60)
        requests.post(url + PATH, data=token, headers={"X-Bot-Token": token}, timeout=60)
        child.stop()
        log = child.log.read_text()
    assert token.split(".")[1] in log, "the public id is logged, so the test looked at the right place"
    for secret in (token.split(".")[2], "s" * 43, "hunter2", plane.environ["FLAGEE_SECRET_KEY"]):
        assert secret not in log


def test_a_mistyped_setting_is_reported_at_the_start(tmp_path: Path) -> None:
    plane = prepared(tmp_path)
    with plane.serving(TREADS="4") as (_, child):
        assert "FLAGEE_TREADS is not a setting; did you mean FLAGEE_THREADS?" in child.log.read_text()


def test_a_signal_during_the_start_ends_serve(tmp_path: Path) -> None:
    """An nginx that never becomes ready keeps it starting."""
    program, started = tmp_path / "nginx", tmp_path / "started"
    program.write_text(f"#!/bin/sh\n: >{started}\nexec sleep 600\n")
    program.chmod(0o755)
    with prepared(tmp_path).serving(NGINX=str(program)) as (_, child):
        wait_until(started.exists, within=60, what="nginx was started")
        os.kill(child.pid, signal.SIGTERM)
        wait_until(lambda: not child.alive(), within=60, what="its end")
        assert child.stop() == 0
    assert "stopped" in [line["event"] for line in log_lines(child)]
