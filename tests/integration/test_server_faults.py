"""The control plane when something around it is broken: the right answer, the fix in the log, and work again afterwards."""

import contextlib
import datetime as dt
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text, update

from server.storage.models import Configuration
from server.storage.session import open_database
from tests.harness.control_plane import ControlPlane, empty, new_key, prepared, services_of

PATH = "/api/ingest/bot/config"


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path)


@contextlib.contextmanager
def asking(plane: ControlPlane, **changes: str) -> Iterator[FlaskClient]:
    with plane.app(**{"DATABASE_TIMEOUT": "0.2", **changes}) as app:
        services_of(app).health.age = services_of(app).health.prove_every = 0  # each answer is of its moment
        yield app.test_client()


def database_file(plane: ControlPlane) -> Path:
    return plane.folder / "flagee.db"


def outcomes(http: FlaskClient, token: str, etag: str) -> list[tuple[int, str | None]]:
    """Status and reason for a fetch, for a poll, and the health answer's status."""
    fetch = http.get(f"{PATH}?rede=SOL", headers={"X-Bot-Token": token})
    poll = http.get(f"{PATH}?rede=SOL", headers={"X-Bot-Token": token, "If-None-Match": etag})
    health = http.get("/health")
    return [
        (fetch.status_code, fetch.json and fetch.json.get("reason")),
        (poll.status_code, poll.json["reason"] if poll.is_json and poll.json else None),
        (health.status_code, health.json and health.json["status"]),
    ]


WELL: list[tuple[int, str | None]] = [(200, None), (304, None), (200, "ok")]
UNAVAILABLE: list[tuple[int, str | None]] = [
    (503, "database_unavailable"),
    (503, "database_unavailable"),
    (503, "error"),
]


def test_a_locked_database_is_503_until_it_is_free(plane: ControlPlane, capfd: pytest.CaptureFixture[str]) -> None:
    token, etag = plane.token(), plane.etag("SOL")
    with contextlib.closing(sqlite3.connect(database_file(plane), isolation_level=None)) as locker:
        locker.execute("PRAGMA locking_mode = EXCLUSIVE")
        locker.execute("BEGIN IMMEDIATE")
        with asking(plane) as http:
            assert outcomes(http, token, etag) == UNAVAILABLE
            assert http.get(PATH, headers={"X-Bot-Token": token}).headers["Retry-After"] == "30"
            locker.execute("ROLLBACK")
            locker.close()
            assert outcomes(http, token, etag) == WELL
    assert "it is locked by another process; end that process" in capfd.readouterr().err


def test_a_long_write_disturbs_no_reader(plane: ControlPlane) -> None:
    token, etag = plane.token(), plane.etag("SOL")
    with (
        contextlib.closing(sqlite3.connect(database_file(plane), isolation_level=None)) as writer,
        asking(plane) as http,
    ):
        writer.execute("BEGIN IMMEDIATE")
        assert outcomes(http, token, etag) == WELL
        result = plane.run("client", "add", "Late", DATABASE_TIMEOUT="0.2")
        assert result.exit_code == 1
        assert "locked by another process" in result.stderr


def test_an_enrolment_that_a_lock_prevents_is_refused_with_the_cause_that_health_reports(
    plane: ControlPlane,
) -> None:
    """Also when there are more than connections: those that get none wait for the same lock."""
    token = plane.token()

    def enrol(number: int) -> tuple[int, Any]:
        answer = http.application.test_client().post(
            "/api/bootstrap/enroll?rede=SOL",
            json={"agent_id": f"0198c0de-0000-7000-8000-{number:012x}", "hostname": "shop"},
            headers={"X-Bot-Token": token},
        )
        return answer.status_code, answer.get_json()

    with (
        contextlib.closing(sqlite3.connect(database_file(plane), isolation_level=None)) as writer,
        asking(plane, THREADS="1", DATABASE_TIMEOUT="2") as http,  # time for all to be let in on a busy machine
        ThreadPoolExecutor(40) as pool,
    ):
        writer.execute("BEGIN IMMEDIATE")
        for status, problem in pool.map(enrol, range(40)):
            assert (status, problem["reason"]) == (503, "database_unavailable")
            assert "is locked by another process and nothing was stored" in problem["detail"]
        health = http.get("/health").get_json()
        assert (health["writing"]["status"], health["writing"]["last_failed"]["reason"]) == ("failing", "locked")
        writer.execute("ROLLBACK")
        assert enrol(1)[0] == 201


def test_the_wait_for_a_connection_counts_towards_the_wait_for_the_lock(plane: ControlPlane) -> None:
    """Otherwise a request would take twice FLAGEE_DATABASE_TIMEOUT."""
    waited = 0.2
    database = open_database(plane.settings().database_url, timeout=30, connections=1)
    with contextlib.closing(database), contextlib.ExitStack() as connections:
        for _ in range(11):  # one that stays, and ten that the pool adds for a moment
            connections.enter_context(database._writes.connect())
        release = threading.Timer(waited, connections.close)
        release.start()
        with database.writing() as session:
            driver: Any = session.connection().connection.driver_connection
            assert 0 < driver.patience <= 30 - waited
        release.join()


def test_uses_that_cannot_be_written_are_kept_and_written_later(
    plane: ControlPlane, capfd: pytest.CaptureFixture[str]
) -> None:
    token = plane.token()
    with (
        contextlib.closing(sqlite3.connect(database_file(plane), isolation_level=None)) as writer,
        asking(plane) as http,
    ):
        writer.execute("BEGIN IMMEDIATE")
        http.get(f"{PATH}?rede=SOL", headers={"X-Bot-Token": token})
        services_of(http.application).last_use.flush()
        assert "last_use_of_tokens_not_written" in capfd.readouterr().err
        writer.execute("ROLLBACK")
        services_of(http.application).last_use.flush()
    [row] = json.loads(plane.must("token", "list", "--output", "json"))
    assert row["last_used_at"] is not None


def test_a_missing_database_is_reported_with_its_path(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plane = empty(tmp_path)
    with asking(plane) as http:
        health = http.get("/health")
        assert health.json
        assert (health.status_code, health.json["migrations"]["status"]) == (503, "absent")
        assert str(tmp_path) not in health.text, "health is for strangers too"
        assert http.get(PATH, headers={"X-Bot-Token": "fm1.0123456789ab." + "a" * 43}).status_code == 503
    assert f"there is no database at {tmp_path}/flagee.db; run: flagee-server init-db" in capfd.readouterr().err


def test_missing_tables_are_reported_with_the_command_that_creates_them(
    tmp_path: Path, postgres_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with asking(empty(tmp_path, postgres_url)) as http:
        assert http.get("/health").status_code == 503
        assert http.get(PATH, headers={"X-Bot-Token": "fm1.0123456789ab." + "a" * 43}).status_code == 503
    assert "run: flagee-server init-db" in capfd.readouterr().err


def test_a_file_that_is_no_database_is_reported(plane: ControlPlane, capfd: pytest.CaptureFixture[str]) -> None:
    token, etag = plane.token(), plane.etag("SOL")
    for path in plane.folder.glob("flagee.db*"):
        path.unlink()
    database_file(plane).write_bytes(b"not a database " * 1000)
    with asking(plane) as http:
        assert outcomes(http, token, etag) == UNAVAILABLE
    assert "it is not an SQLite database" in capfd.readouterr().err
    assert "it is not an SQLite database" in plane.run("client", "list").stderr


def test_postgresql_that_does_not_answer_is_reported_without_the_password(tmp_path: Path) -> None:
    plane = empty(tmp_path, "postgresql://user:hunter2@127.0.0.1:1/flagee")
    for command in (("client", "list"), ("init-db",), ("serve",)):
        result = plane.run(*command)
        assert result.exit_code == 1
        assert "FLAGEE_DATABASE_URL" in result.stderr
        assert "hunter2" not in result.output


def test_an_unreadable_database_url_is_reported_without_the_password(tmp_path: Path) -> None:
    result = empty(tmp_path, "postgresql://user:hunter2@host:port/flagee").run("client", "list")
    assert result.exit_code == 1
    assert "FLAGEE_DATABASE_URL cannot be read" in result.stderr
    assert "hunter2" not in result.output


def test_connections_that_postgresql_closed_cost_no_request(tmp_path: Path, postgres_url: str) -> None:
    plane = prepared(tmp_path, postgres_url)
    token, etag = plane.token(), plane.etag("SOL")
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with asking(plane) as http:
        assert outcomes(http, token, etag) == WELL
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagee-server'")
            )
        assert outcomes(http, token, etag) == WELL
    engine.dispose()


def test_without_the_secret_key_polls_are_answered_and_documents_are_not(
    plane: ControlPlane, capfd: pytest.CaptureFixture[str]
) -> None:
    token, etag = plane.token(), plane.etag("SOL")
    with asking(plane, SECRET_KEY="") as http:
        assert outcomes(http, token, etag) == [(503, "secret_key_missing"), (304, None), (503, "error")]
        assert http.get("/health").json["secret_key"] == {"status": "missing"}  # type: ignore[index]
    assert "FLAGEE_SECRET_KEY is not set" in capfd.readouterr().err


def test_health_reports_another_secret_key(plane: ControlPlane, capfd: pytest.CaptureFixture[str]) -> None:
    token, etag = plane.token(), plane.etag("SOL")
    with asking(plane, SECRET_KEY=new_key()) as http:
        assert outcomes(http, token, etag) == [(503, "secret_key_mismatch"), (304, None), (200, "degraded")]
        assert http.get("/health").json["secret_key"] == {"status": "mismatch"}  # type: ignore[index]
    assert "set that one, or store the documents again" in capfd.readouterr().err


def test_a_damaged_document_is_not_served(plane: ControlPlane, capfd: pytest.CaptureFixture[str]) -> None:
    token, etag = plane.token(), plane.etag("SOL")
    with asking(plane) as http:
        with services_of(http.application).database.writing() as session:
            session.execute(update(Configuration).values(sealed=b"\0" * 100))
        assert outcomes(http, token, etag)[0] == (503, "configuration_damaged")
    assert "store the document again" in capfd.readouterr().err


def test_an_internal_error_is_500_with_a_traceback_in_the_log_only(
    plane: ControlPlane, capfd: pytest.CaptureFixture[str]
) -> None:
    token = plane.token()

    def broken_clock() -> dt.datetime:
        raise RuntimeError("the clock is broken")

    with plane.app(broken_clock) as app:
        app.testing = False
        answer = app.test_client().get(PATH, headers={"X-Bot-Token": token, "x-correlation-id": "find-me"})
    assert (answer.status_code, answer.json and answer.json["reason"]) == (500, "internal_error")
    assert "clock" not in answer.text
    [line] = [
        line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "unexpected_error"
    ]
    assert line["correlation_id"] == "find-me"
    assert "the clock is broken" in line["exception"]


def test_init_db_says_what_is_wrong_with_the_folder(tmp_path: Path) -> None:
    result = empty(tmp_path, f"sqlite:///{tmp_path}/none/flagee.db").run("init-db")
    assert result.exit_code == 1
    assert "check that the folder exists" in result.stderr
