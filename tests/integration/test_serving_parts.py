"""`serve` as a supervisor: what it does when one of its parts is killed, when it is killed itself, and when it must not start."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from contracts.ids import uuid7
from tests.harness.control_plane import CLIENT, COMMAND, ControlPlane, prepared
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.process import Child, start, wait_until

KILLS = 50


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> ControlPlane:
    return prepared(tmp_path_factory.mktemp("plane"))


@contextlib.contextmanager
def serving(plane: ControlPlane, folder: Path, **changes: str) -> Iterator[tuple[str, Child]]:
    """As `plane.serving`, with its log in `folder` and its temporary files in `folder/tmp`, so that what is left is seen."""
    temporary = folder / "tmp"
    temporary.mkdir()
    own = replace(plane, folder=folder, environ={**plane.environ, "TMPDIR": str(temporary)})
    with own.serving(**changes) as (url, child):
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
        yield url, child


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def parts(child: Child) -> dict[str, list[int]]:
    """Process ids of what `serve` has started, by what they are."""
    found: dict[str, list[int]] = {"nginx": [], "nginx worker": [], "gunicorn": [], "gunicorn worker": []}
    for part in children(child.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name = "gunicorn" if b"gunicorn" in Path(f"/proc/{part}/cmdline").read_bytes() else "nginx"
            found[name].append(part)
            found[f"{name} worker"] += children(part)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def log_lines(child: Child) -> list[dict[str, Any]]:
    return [json.loads(line) for line in child.log.read_text().splitlines()]


def test_no_accepted_write_is_lost_when_parts_are_killed_fifty_times_under_load(
    plane: ControlPlane, tmp_path: Path
) -> None:
    bootstrap = plane.token("--scope", "bootstrap")
    accepted: list[str] = []
    stop = threading.Event()

    def enrol(address: str) -> None:
        while not stop.is_set():
            agent = uuid7()
            headers = {"X-Bot-Token": bootstrap, "Content-Type": "application/json"}
            with (
                contextlib.suppress(OSError, http.client.HTTPException),  # cut off: not accepted
                contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection,
            ):
                body = json.dumps({"agent_id": agent, "hostname": "proxy"})
                connection.request("POST", "/api/bootstrap/enroll?rede=SOL", body, headers)
                with contextlib.closing(connection.getresponse()) as answer:
                    if answer.status == 201:
                        accepted.append(agent)

    with serving(plane, tmp_path, WORKERS="2", ADDRESS_RATE="100000") as (url, child):
        writers = [threading.Thread(target=enrol, args=(url.removeprefix("http://"),)) for _ in range(3)]
        for writer in writers:
            writer.start()
        picked = random.Random(9)
        kinds = ["gunicorn worker"] * 32 + ["nginx worker"] * 10 + ["nginx"] * 4 + ["gunicorn"] * 4
        picked.shuffle(kinds)
        for kind in kinds:
            wait_until(lambda kind=kind: parts(child)[kind], within=60, what=f"{kind} there")  # type: ignore[misc]
            with contextlib.suppress(ProcessLookupError):
                os.kill(picked.choice(parts(child)[kind]), signal.SIGKILL)
            before = len(accepted)
            wait_until(lambda before=before: len(accepted) > before, within=60, what=f"a write after {kind} was killed")  # type: ignore[misc]
        stop.set()
        for writer in writers:
            writer.join()
        assert requests.get(f"{url}/health", timeout=60).json()["status"] == "ok"
        assert child.stop(grace=60) == 0
    stored = {row["agent"] for row in json.loads(plane.must("token", "list", CLIENT, "--output", "json"))}
    assert len(accepted) >= KILLS
    assert set(accepted) <= stored
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("nginx", ["nginx", "none"])
def test_when_serve_is_killed_its_parts_end_and_the_port_is_free(
    plane: ControlPlane, tmp_path: Path, nginx: str
) -> None:
    with serving(plane, tmp_path, NGINX=nginx) as (url, child):
        running = [pid for pids in parts(child).values() for pid in pids]
        port = int(url.rpartition(":")[2])
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, running)), within=30, what="every part ended")
        with socket.create_server((LOOPBACK, port)):
            pass
    temporary = tmp_path / "tmp"
    [left] = temporary.iterdir()
    # Another start, even one that is refused later, leaves the folder empty.
    assert "nginx ended" in refused(plane, tmp_path, BIND=f"{LOOPBACK}:{port}", NGINX="/bin/false")
    assert not left.exists()


@pytest.fixture(scope="module")
def shared(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Child]]:
    """For tests that leave it as it was."""
    with serving(plane, tmp_path_factory.mktemp("shared"), WORKERS="2") as served:
        yield served


def test_a_second_serve_on_the_port_reports_it_and_leaves_no_files(
    plane: ControlPlane, shared: tuple[str, Child], tmp_path: Path
) -> None:
    url, first = shared
    bind = url.removeprefix("http://")
    ended = refused(plane, tmp_path, BIND=bind)
    assert f"{bind} is in use by another program" in ended
    assert requests.get(f"{url}/health", timeout=60).status_code == 200
    assert first.alive()


REFUSED_STARTS = {
    "a public address without nginx": ({"NGINX": "none", "BIND": "0.0.0.0:0"}, "only a loopback address is served"),
    "nginx that is not here": ({"NGINX": "/nowhere/nginx", "BIND": "0.0.0.0:0"}, "apt-get install nginx"),
    "nginx by a path that is wrong": ({"NGINX": "/nowhere/nginx"}, 'FLAGEE_NGINX: "/nowhere/nginx" is not a program'),
    "nginx with arguments": ({"NGINX": "nginx -V"}, 'FLAGEE_NGINX: "nginx -V" is not a program'),
    "nginx named by a blank": ({"NGINX": " "}, 'FLAGEE_NGINX: " " is not a program'),
    "nginx that cannot be executed": ({"NGINX": __file__}, f'FLAGEE_NGINX: "{__file__}" is not a program'),
    "nginx that does not start": ({"NGINX": "/bin/false"}, "nginx ended with 1 at its start"),
    "another program than nginx": ({"NGINX": "/bin/true"}, "/bin/true does not seem to be nginx; correct FLAGEE_NGINX"),
    "an address of another machine": ({"BIND": "192.0.2.1:8080"}, "is no address of this machine"),
    "no room for sockets": ({"TMP": "x" * 90}, "set TMPDIR to another folder"),
    "a name that is none": ({"BIND": "nowhere.invalid:8080"}, "is no address of this machine"),
}


def refused(plane: ControlPlane, folder: Path, **changes: str) -> str:
    """What `serve` says when it ends with 1 and leaves nothing behind."""
    temporary = folder / changes.pop("TMP", "tmp")
    temporary.mkdir(exist_ok=True)
    environ = {**plane.environ, **{f"FLAGEE_{name}": value for name, value in changes.items()}}
    child = start([*COMMAND, "serve"], name="serve", folder=folder, env={**environ, "TMPDIR": str(temporary)})
    wait_until(lambda: not child.alive(), within=60, what="serve ended")
    assert child.stop() == 1
    said = child.log.read_text()
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
    return said


@pytest.mark.parametrize("case", REFUSED_STARTS)
def test_an_unusable_setting_ends_serve_with_advice(plane: ControlPlane, tmp_path: Path, case: str) -> None:
    changes, said = REFUSED_STARTS[case]
    assert said in refused(plane, tmp_path, **{"BIND": f"{LOOPBACK}:{free_port()}", **changes})


def test_an_nginx_that_is_no_program_ends_serve_with_advice(plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "nginx").write_text("nothing")
    (tmp_path / "nginx").chmod(0o700)
    said = refused(plane, tmp_path, BIND=f"{LOOPBACK}:{free_port()}", NGINX=str(tmp_path / "nginx"))
    assert "nginx cannot be started" in said
    assert "correct FLAGEE_NGINX" in said


def test_a_request_at_work_is_finished_before_serve_ends(plane: ControlPlane, tmp_path: Path) -> None:
    body = json.dumps({"agent_id": uuid7(), "hostname": "proxy"}).encode()
    head = (
        f"POST /api/bootstrap/enroll?rede=SOL HTTP/1.1\r\nHost: x\r\nX-Bot-Token: {plane.token('--scope', 'bootstrap')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with serving(plane, tmp_path) as (url, child):
        port = int(url.rpartition(":")[2])
        with socket.create_connection((LOOPBACK, port), timeout=60) as connection:
            connection.sendall(head.encode() + body[:10])
            # Only once nginx has read the head does the request count as begun.
            assert requests.get(f"{url}/health", timeout=60).status_code == 200
            os.kill(child.pid, signal.SIGTERM)
            wait_until(lambda: not accepts(LOOPBACK, port), within=30, what="nobody else let in")
            connection.sendall(body[10:])
            with contextlib.closing(http.client.HTTPResponse(connection)) as answer:
                answer.begin()
                assert answer.status == 201
        wait_until(lambda: not child.alive(), within=60, what="serve ended")
        assert child.stop() == 0


def test_sighup_starts_fresh_workers_without_a_failed_request(shared: tuple[str, Child]) -> None:
    url, child = shared
    before = set(parts(child)["gunicorn worker"])
    os.kill(child.pid, signal.SIGHUP)

    def replaced() -> bool:
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
        now = set(parts(child)["gunicorn worker"])
        return len(now) == 2 and not now & before

    wait_until(replaced, within=60, what="fresh workers")
    assert [line for line in log_lines(child) if line["level"] == "error"] == []


def test_sighup_while_it_starts_does_not_end_it(plane: ControlPlane, tmp_path: Path) -> None:
    with replace(plane, folder=tmp_path).serving() as (url, child):
        wait_until(lambda: parts(child)["gunicorn"], within=60, what="gunicorn started")
        os.kill(child.pid, signal.SIGHUP)
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
        assert child.alive()


FORGED = {
    "X-Flagee-Address": "192.0.2.9",
    "X-Flagee-Scheme": "https",
    "X-Forwarded-For": "192.0.2.8",
    "X-Forwarded-Proto": "https",
    "SCRIPT_NAME": "/forged",
    "Forwarded": "for=192.0.2.7",
    "x-correlation-id": "forged",
}


def test_headers_that_nginx_sets_cannot_be_forged_by_a_caller(shared: tuple[str, Child]) -> None:
    url, child = shared
    assert requests.get(f"{url}/nowhere", headers=FORGED, timeout=60).status_code == 404
    [line] = [line for line in log_lines(child) if line.get("correlation_id") == "forged"]
    assert (line["event"], line["address"], line["path"]) == ("request", LOOPBACK, "/nowhere")


def test_nginx_s_own_answers_are_problems_with_the_callers_correlation_id(shared: tuple[str, Child]) -> None:
    url, child = shared
    headers = {"x-correlation-id": "too-large", "Content-Length": str(5 * 1024 * 1024)}
    answers = [requests.post(f"{url}/health", headers=headers, timeout=60)]
    [application] = Path(child.log.parent, "tmp").glob("flagee-*/app")
    hidden = application.rename(application.with_name("hidden"))
    for worker in parts(child)["gunicorn worker"]:  # and with it the connections that nginx has kept
        os.kill(worker, signal.SIGKILL)
    answers.append(requests.get(f"{url}/health", headers={"x-correlation-id": "nobody there"}, timeout=60))
    hidden.rename(application)
    assert [(answer.status_code, answer.json()["reason"]) for answer in answers] == [
        (413, "body_too_large"),
        (502, "backend_unavailable"),
    ]
    assert answers[0].headers["x-correlation-id"] == "too-large"
    assert len(answers[1].headers["x-correlation-id"]) == 32, "one with a space in it is no id"
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
    assert requests.get(f"{url}/health", timeout=60).status_code == 200


def test_a_body_that_is_too_large_is_one_line_in_the_log(shared: tuple[str, Child]) -> None:
    url, child = shared
    before = len(log_lines(child))
    headers = {"x-correlation-id": "one-line", "Content-Length": str(5 * 1024 * 1024)}
    assert requests.post(f"{url}/health", headers=headers, timeout=60).status_code == 413
    assert requests.post(f"{url}/health", headers=headers, timeout=60).status_code == 413

    def told() -> list[str]:
        lines = [line for line in log_lines(child)[before:] if line.get("correlation_id") == "one-line"]
        return [line["event"] for line in lines]

    wait_until(lambda: len(told()) >= 2, within=60, what="a line for each")
    assert told() == ["request_refused"] * 2


NGINX_ANSWERS = {
    ("GET", "/.refused/bad_request"): (404, "not_found", None),
    ("GET", "/.refused/not_found"): (404, "not_found", None),
    ("GET", "/.refused/unknown"): (404, "not_found", None),
    ("TRACE", "/health"): (405, "method_not_allowed", "GET, HEAD, POST"),
    ("TRACE", "/nowhere"): (405, "method_not_allowed", "GET, HEAD, POST"),
}


@pytest.mark.parametrize(("method", "path"), NGINX_ANSWERS)
def test_paths_and_methods_of_nginx_itself_are_answered_as_those_of_the_application(
    shared: tuple[str, Child], method: str, path: str
) -> None:
    url, _ = shared
    answer = requests.request(method, f"{url}{path}", timeout=60)
    problem = answer.json()
    assert (answer.status_code, problem["reason"], answer.headers.get("Allow")) == NGINX_ANSWERS[method, path]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    if answer.status_code == 404:
        assert problem["detail"] == requests.get(f"{url}/nowhere", timeout=60).json()["detail"]


@pytest.mark.parametrize(("hops", "limited"), [("0", True), ("1", False)])
def test_one_address_is_limited_unless_a_reverse_proxy_stands_in_front(
    plane: ControlPlane, tmp_path: Path, hops: str, limited: bool
) -> None:
    with serving(plane, tmp_path, ADDRESS_RATE="1", TRUSTED_PROXIES=hops) as (url, _), requests.Session() as session:
        answers = [session.get(f"{url}/health", timeout=60) for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert bool(refused) == limited
    for answer in refused:
        assert answer.json()["reason"] == "too_many_requests"
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
        assert answer.headers["Retry-After"] == "1"


def test_while_another_writer_holds_the_database_readers_of_the_same_worker_are_answered(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """A write that waits for SQLite's lock waits alone."""
    bootstrap, reader = plane.token("--scope", "bootstrap"), plane.token("--network", "SOL")
    with (
        serving(plane, tmp_path, WORKERS="1", DATABASE_TIMEOUT="30") as (url, _),
        contextlib.closing(sqlite3.connect(plane.folder / "flagee.db", isolation_level=None)) as writer,
    ):
        writer.execute("BEGIN IMMEDIATE")
        answers: list[int] = []

        def enrol() -> None:
            body = {"agent_id": uuid7(), "hostname": "proxy"}
            headers = {"X-Bot-Token": bootstrap}
            answers.append(
                requests.post(
                    f"{url}/api/bootstrap/enroll?rede=SOL", headers=headers, json=body, timeout=60
                ).status_code
            )

        waiting = [threading.Thread(target=enrol) for _ in range(4)]
        for one in waiting:
            one.start()
        for _ in range(10):
            answer = requests.get(f"{url}/api/ingest/bot/config", headers={"X-Bot-Token": reader}, timeout=60)
            assert answer.status_code == 200
        assert answers == [], "the writes still wait"
        writer.execute("ROLLBACK")
        for one in waiting:
            one.join()
    assert answers == [201] * 4
