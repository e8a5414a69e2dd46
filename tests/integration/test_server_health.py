"""What the control plane says of itself, to people and load balancers: true, the same from every worker, cheap to ask for.

Full and read-only disks are real small volumes.
"""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine, event, text

from server.storage.sqlite.disk import disk_of
from tests.harness.control_plane import CLIENT, ControlPlane, empty, new_key, prepared, services_of
from tests.harness.need import need_root
from tests.harness.process import wait_until

CONFIG = "/api/ingest/bot/config?rede=SOL"
ENROL = "/api/bootstrap/enroll?rede=SOL"
AGENT = {"agent_id": "0198c0de-0000-7000-8000-000000000001", "hostname": "shop"}


@contextlib.contextmanager
def asking(plane: ControlPlane, **changes: str) -> Iterator[FlaskClient]:
    """Every health answer is of its moment."""
    with plane.app(DATABASE_TIMEOUT="0.2", **changes) as app:
        services_of(app).health.age = services_of(app).health.prove_every = 0
        yield app.test_client()


def health(http: FlaskClient) -> Any:
    return http.get("/health").json


def enrol(http: FlaskClient, token: str) -> tuple[int, str | None]:
    answer = http.post(ENROL, json=AGENT, headers={"X-Bot-Token": token})
    return answer.status_code, answer.json and answer.json.get("reason")


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    return empty(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


NOT_READY: list[tuple[str, dict[str, str], str, int]] = [
    ("no tables", {}, "schema_absent", 503),
    ("an older schema", {}, "schema_behind", 503),
    ("a newer schema", {}, "schema_newer", 503),
    ("no key", {"SECRET_KEY": ""}, "secret_key_missing", 503),
    ("another key", {"SECRET_KEY": new_key()}, "secret_key_mismatch", 200),
    ("no assets", {"ASSETS": "/nonexistent"}, "assets_missing", 200),
]


@pytest.mark.parametrize(("situation", "changes", "reason", "status"), NOT_READY, ids=[case[0] for case in NOT_READY])
def test_a_server_that_cannot_do_its_work_is_not_ready_and_says_why(
    bare: ControlPlane, situation: str, changes: dict[str, str], reason: str, status: int
) -> None:
    if situation != "no tables":
        prepared_at(bare)
    if "schema" in situation:
        revision = "0001" if "older" in situation else "9999"
        with bare.app() as app, services_of(app).database.writing() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with asking(bare, **changes) as http:
        ready = http.get("/ready")
        assert (ready.status_code, ready.json) == (503, {"ready": False, "reasons": [reason]})
        answer = http.get("/health")
        assert (answer.status_code, answer.json and answer.json["reasons"]) == (status, [reason])


def prepared_at(plane: ControlPlane) -> None:
    plane.must("init-db")
    plane.must("client", "add", CLIENT)
    plane.must("network", "add", CLIENT, "SOL")
    plane.publish("SOL")


def test_a_database_that_does_not_answer_is_neither_healthy_nor_ready(tmp_path: Path) -> None:
    with asking(empty(tmp_path, "postgresql://user:hunter2@127.0.0.1:1/flagee")) as http:
        for path in ("/health", "/ready"):
            answer = http.get(path)
            assert (answer.status_code, answer.json and answer.json["reasons"]) == (503, ["database_unavailable"])
            assert "hunter2" not in answer.text


def test_asking_often_asks_the_database_once(bare: ControlPlane) -> None:
    prepared_at(bare)
    statements: list[str] = []

    def note(*parts: Any) -> None:
        statements.append(parts[2])

    with bare.app() as app:
        services_of(app).health.age = 3600
        event.listen(Engine, "before_cursor_execute", note)
        try:
            together = [threading.Thread(target=app.test_client().get, args=("/health",)) for _ in range(8)]
            for thread in together:
                thread.start()
            for thread in together:
                thread.join()
            once = sum("alembic_version" in statement for statement in statements)
            seen = len(statements)
            for path in ("/health", "/api/bootstrap/health", "/ready") * 100:
                assert app.test_client().get(path).status_code == 200
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert (once > 0, len(statements) - seen) == (True, 0)
    assert sum("configurations" in statement for statement in statements) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    need_root("a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(os.urandom(4096))
    return filler


def until_full(http: FlaskClient, token: str) -> None:
    """Enrol until the room that the log has already is used up."""
    wait_until(lambda: enrol(http, token) == (503, "disk_full"), within=60, what="a write that fails", every=0)


def test_on_a_full_disk_proxies_are_served_and_writes_say_why_they_fail(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plane = prepared(small_disk)
    token = plane.token()
    with asking(plane) as http:
        etag = http.get(CONFIG, headers={"X-Bot-Token": token}).headers["ETag"]
        assert health(http)["status"] == "ok"
        filler = fill(small_disk)
        assert (health(http)["reasons"], health(http)["disk"]) == (["disk_full"], {"status": "full"})
        until_full(http, token)
        found = health(http)
        assert (found["status"], found["reasons"]) == ("degraded", ["write_failed", "disk_full"])
        assert (found["writing"]["status"], found["writing"]["last_failed"]["reason"]) == ("failing", "disk_full")
        assert str(small_disk) not in json.dumps(found), "health is for strangers too"
        assert http.get("/health").status_code == http.get("/ready").status_code == 200
        for headers, status in (({}, 200), ({"If-None-Match": etag}, 304)):
            assert http.get(CONFIG, headers={"X-Bot-Token": token, **headers}).status_code == status
        assert plane.must("client", "list").strip().startswith(CLIENT)

        refused = plane.run("config", "set", CLIENT, "LUA", "-", stdin=_large_document("LUA"))
        assert refused.exit_code == 1
        assert "the disk is full; free some space (0.0 MB of 1.0 MB free on the volume of" in refused.stderr
        filler.unlink()
        assert health(http)["reasons"] == [], "a test write shows that writing works again"
        assert health(http)["writing"]["last_failed"]["reason"] == "disk_full"
        assert plane.run("config", "set", CLIENT, "LUA", "-", stdin=_large_document("LUA")).exit_code == 0
        assert enrol(http, token) == (201, None)
    assert "MB of 1.0 MB free on the volume of" in capfd.readouterr().err


def test_uses_that_a_full_disk_refuses_are_reported_once_kept_and_written_later(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plane = prepared(small_disk)
    token = plane.token()

    def said(event: str) -> int:
        return sum(json.loads(line)["event"] == event for line in capfd.readouterr().err.splitlines())

    with asking(plane) as http:
        assert health(http)["status"] == "ok"
        filler = fill(small_disk)
        until_full(http, token)
        http.get(CONFIG, headers={"X-Bot-Token": token})
        last_use = services_of(http.application).last_use
        for _ in range(5):
            last_use.flush()
        assert said("last_use_of_tokens_not_written") == 1
        assert health(http)["reasons"] == ["write_failed", "disk_full"]
        filler.unlink()
        last_use.flush()
        assert said("last_use_of_tokens_written_again") == 1
    rows = json.loads(plane.must("token", "list", "--output", "json"))
    assert any(row["last_used_at"] for row in rows)


def test_every_worker_knows_of_a_write_that_failed_in_another(small_disk: Path) -> None:
    plane = prepared(small_disk)
    token = plane.token()
    with plane.serving(WORKERS="3") as (url, child):
        assert requests.get(f"{url}/health", timeout=60).json()["status"] == "ok"
        fill(small_disk)

        def status() -> int:
            headers = {"X-Bot-Token": token, "Connection": "close"}
            return requests.post(url + ENROL, json=AGENT, headers=headers, timeout=60).status_code

        wait_until(lambda: status() == 503, within=60, what="a write that fails", every=0)
        with ThreadPoolExecutor(12) as pool:  # several at once, so that several workers take them
            answers = list(pool.map(lambda _: requests.get(f"{url}/health", timeout=60).json(), range(60)))
        assert {answer["writing"]["status"] for answer in answers} == {"failing"}
        assert len({answer["writing"]["last_failed"]["reason"] for answer in answers}) == 1
        assert child.alive()


def test_a_volume_that_became_read_only_is_reported(small_disk: Path) -> None:
    plane = prepared(small_disk)
    token = plane.token()
    with asking(plane) as http:
        assert health(http)["status"] == "ok"
        subprocess.run(["mount", "--bind", small_disk, small_disk], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", small_disk], check=True)
            assert (health(http)["reasons"], health(http)["disk"]) == (["disk_read_only"], {"status": "read_only"})
            assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 200
        finally:
            subprocess.run(["umount", "--lazy", small_disk], check=True)
        assert health(http)["reasons"] == []


def test_a_database_on_a_read_only_volume_is_reported(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plane = prepared(small_disk)
    token = plane.token()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    result = plane.run("client", "add", "Late")
    assert result.exit_code == 1
    assert "owner and mode" in result.stderr
    with asking(plane) as http:
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 503
        assert health(http)["reasons"] == ["database_unavailable", "disk_read_only"]
    assert "owner and mode" in capfd.readouterr().err
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    with asking(plane) as http:
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 200
        assert health(http)["status"] == "ok"


def test_a_nearly_full_volume_is_reported_by_its_size(tmp_path: Path) -> None:
    need_root("a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=3", "tmpfs", tmp_path], check=True)
    try:
        file = tmp_path / "database"

        def state() -> str | None:
            found = disk_of(file)
            return found.state if found else None

        file.write_bytes(bytes(31 << 19))
        assert state() == "nearly_full"
        file.write_bytes(bytes(1 << 20))
        assert state() == "ok"
        (tmp_path / "last").touch()
        assert state() == "full", "no file can be made any more"
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_writer_at_work_is_not_reported(tmp_path: Path) -> None:
    plane = prepared(tmp_path)
    with asking(plane) as http, asking(plane) as other, services_of(other.application).database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = version_num"))
        services_of(http.application).database.prove_writing()
        assert health(http)["reasons"] == []


def test_a_read_only_postgresql_is_reported_until_it_accepts_writes(tmp_path: Path, postgres_url: str) -> None:
    plane = prepared(tmp_path, postgres_url)
    token = plane.token()
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")

    def read_only(state: str) -> None:
        with engine.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {state}'))
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagee-server'")
            )

    with asking(plane) as http:
        read_only("on")
        assert enrol(http, token) == (503, "read_only")
        found = health(http)
        assert (found["status"], found["reasons"]) == ("degraded", ["write_failed"])
        assert found["writing"]["last_failed"]["reason"] == "read_only"
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == http.get("/ready").status_code == 200
        read_only("off")
        assert health(http)["reasons"] == [], "a test write shows that writing works again"
    engine.dispose()


def _large_document(network: str) -> bytes:
    hosts = [{"name": f"{network}_PDV{number:04}", "address": "10.0.0.1"} for number in range(1000)]
    return json.dumps(
        {"schema_version": 2, "network": network, "inventory": {"kind": "static", "hosts": hosts}}
    ).encode()
