"""A database file that is replaced, removed or half removed under the control plane: noticed at once, nothing served or stored.

SQLite itself goes on with the file that it has open, so that what is revoked in the new one is never seen, and damages the new
file when it meets the old one's log beside it.
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from server.services.tokens.access import Scope
from server.services.tokens.lifecycle import issue
from server.storage.causes import DatabaseReplaced
from server.storage.session import Database, open_database
from server.wiring import utc_now
from tests.harness.control_plane import CLIENT, COMMAND, ControlPlane, prepared, services_of
from tests.harness.process import wait_until

CONFIG = "/api/ingest/bot/config?rede=SOL"
REFUSED: list[tuple[int, Any]] = [(503, "database_replaced")] * 2


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path)


def file_of(plane: ControlPlane) -> Path:
    return plane.folder / "flagee.db"


def copy_of(plane: ControlPlane) -> Path:
    """A whole copy, as a backup is one."""
    path = plane.folder / "copy.db"
    with (
        contextlib.closing(sqlite3.connect(file_of(plane))) as source,
        contextlib.closing(sqlite3.connect(path)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    return path


@contextlib.contextmanager
def asking(plane: ControlPlane) -> Iterator[FlaskClient]:
    with plane.app() as app:
        services_of(app).health.age = 0
        file = services_of(app).database.file
        assert file
        file.log_every = 0
        yield app.test_client()


@contextlib.contextmanager
def opened(plane: ControlPlane) -> Iterator[Database]:
    database = open_database(plane.settings().database_url, timeout=5)
    try:
        yield database
    finally:
        database.close()


def answers(http: FlaskClient, token: str, etag: str) -> list[tuple[int, Any]]:
    """Status and reason for a fetch and for a poll."""
    found = [http.get(CONFIG, headers={"X-Bot-Token": token, **headers}) for headers in ({}, {"If-None-Match": etag})]
    return [(answer.status_code, answer.json and answer.json.get("reason")) for answer in found]


def put_another_there(plane: ControlPlane) -> None:
    copy_of(plane).replace(file_of(plane))


def copy_over_it(plane: ControlPlane, source: Path) -> None:
    """As an operator does: into the same inode, by another process."""
    subprocess.run(["cp", source, file_of(plane)], check=True)


def copy_a_backup_over_it(plane: ControlPlane) -> None:
    plane.must("backup", str(plane.folder / "backup.db"))
    copy_over_it(plane, plane.folder / "backup.db")


def copy_another_database_over_it(plane: ControlPlane) -> None:
    """No backup, but the file of another control plane."""
    other = plane.folder / "other"
    other.mkdir()
    copy_over_it(plane, file_of(prepared(other)))


def empty_it(plane: ControlPlane) -> None:
    os.truncate(file_of(plane), 0)


def remove(plane: ControlPlane) -> None:
    file_of(plane).unlink()


def put_elsewhere_and_back(plane: ControlPlane) -> None:
    file_of(plane).rename(plane.folder / "elsewhere.db")


def remove_the_log(plane: ControlPlane) -> None:
    for suffix in ("-wal", "-shm"):
        (plane.folder / f"flagee.db{suffix}").unlink()


def remove_the_index(plane: ControlPlane) -> None:
    (plane.folder / "flagee.db-shm").unlink()


@pytest.mark.parametrize(
    "done",
    [
        put_another_there,
        copy_a_backup_over_it,
        copy_another_database_over_it,
        empty_it,
        remove,
        put_elsewhere_and_back,
        remove_the_log,
        remove_the_index,
    ],
)
def test_nothing_is_served_or_stored_and_one_line_says_why(
    plane: ControlPlane, done: Callable[[ControlPlane], None], capfd: pytest.CaptureFixture[str]
) -> None:
    token = plane.token()
    with asking(plane) as http:
        etag = http.get(CONFIG, headers={"X-Bot-Token": token}).headers["ETag"]
        assert answers(http, token, etag) == [(200, None), (304, None)]
        done(plane)
        assert answers(http, token, etag) == REFUSED
        enrolment = http.post(
            "/api/bootstrap/enroll?rede=SOL",
            json={"agent_id": "0198c0de-0000-7000-8000-000000000001", "hostname": "shop"},
            headers={"X-Bot-Token": token},
        )
        assert enrolment.status_code == 503
        for path in ("/health", "/ready"):
            answer = http.get(path)
            assert (answer.status_code, answer.json and answer.json["reasons"][0]) == (503, "database_replaced")
            assert str(plane.folder) not in answer.text
        if done is put_elsewhere_and_back:  # somebody may have written to it meanwhile
            (plane.folder / "elsewhere.db").rename(file_of(plane))
            assert answers(http, token, etag) == REFUSED
        services_of(http.application).last_use.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    [told] = [line for line in lines if line["level"] == "error"]
    assert (told["event"], "Stop the server" in told["message"]) == ("database_replaced", True)


def test_a_backup_that_is_copied_over_the_database_brings_no_revoked_token_back(plane: ControlPlane) -> None:
    token = plane.token()
    with asking(plane) as http:
        etag = http.get(CONFIG, headers={"X-Bot-Token": token}).headers["ETag"]
        plane.must("backup", str(plane.folder / "backup.db"))
        plane.must("token", "revoke", token.split(".")[1])
        assert answers(http, token, etag) == [(403, "token_revoked")] * 2
        with contextlib.closing(sqlite3.connect(file_of(plane))) as stranger:
            stranger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy_over_it(plane, plane.folder / "backup.db")
        assert answers(http, token, etag) == REFUSED
        result = plane.run("token", "list")
        assert (result.exit_code, "is a backup that was copied there by hand" in result.stderr) == (1, True)


def test_what_was_copied_over_the_database_is_not_mixed_with_its_log_when_the_server_stops(
    plane: ControlPlane,
) -> None:
    """SQLite applies the log at the end of the last connection, and would so remove the mark of the backup."""
    backup = plane.folder / "backup.db"
    with plane.serving(WORKERS="2", NGINX="none") as (url, child):
        assert requests.get(f"{url}/ready", timeout=60).status_code == 200
        plane.must("backup", str(backup))
        plane.must("client", "add", "In the log only")
        with contextlib.closing(sqlite3.connect(file_of(plane))) as stranger:
            stranger.execute("PRAGMA user_version = 7")  # the log has the page with the header
        assert (plane.folder / "flagee.db-wal").stat().st_size
        copy_over_it(plane, backup)
        assert child.stop(60) == 0
    assert file_of(plane).read_bytes() == backup.read_bytes()
    assert "is a backup that was copied there by hand" in plane.run("client", "list").stderr


def test_what_was_committed_to_a_file_that_had_gone_is_not_acknowledged(plane: ControlPlane) -> None:
    with opened(plane) as database:

        def store() -> None:
            with database.writing() as session:
                issue(session, client=CLIENT, networks=(), scopes=[Scope.CONFIG], expires_at=None, now=utc_now())
                put_another_there(plane)

        with pytest.raises(DatabaseReplaced, match="was replaced while it was in use"):
            store()
        assert database.status.failing()


def test_every_worker_and_every_command_refuses_another_file_until_the_server_is_restarted(plane: ControlPlane) -> None:
    token = plane.token()
    public_id = token.split(".")[1]

    def status(url: str) -> int:
        return requests.get(url + CONFIG, headers={"X-Bot-Token": token, "Connection": "close"}, timeout=60).status_code

    def statuses(url: str) -> set[int]:
        with ThreadPoolExecutor(12) as pool:  # several at once, so that several workers take them
            return set(pool.map(status, [url] * 60))

    with plane.serving(WORKERS="3") as (url, child):
        assert statuses(url) == {200}
        put_another_there(plane)
        for command in (
            ("token", "revoke", public_id),
            ("token", "list"),
            ("init-db",),
            ("serve", "--bind", "127.0.0.1:1"),
        ):
            result = plane.run(*command)
            assert result.exit_code == 1
            assert "was replaced while it was in use" in result.stderr
        assert statuses(url) == {503}
        file_of(plane).unlink()
        for command in (("init-db",), ("client", "list")):
            result = plane.run(*command)
            assert result.exit_code == 1
            assert "was removed or renamed while it was in use" in result.stderr
        assert not file_of(plane).exists()
        log = child.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if line["level"] == "error"] == ["database_replaced"]


def test_after_a_restart_the_new_file_is_served_and_the_log_of_the_old_one_is_not_applied_to_it(
    plane: ControlPlane, capfd: pytest.CaptureFixture[str]
) -> None:
    token = plane.token()
    with asking(plane) as http:
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 200
        copy_of(plane)
        plane.must("client", "add", "Later")  # in the log of the old file only
        (plane.folder / "copy.db").replace(file_of(plane))
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 503
    assert (plane.folder / "flagee.db-wal").stat().st_size, "SQLite leaves the log of a file that has gone"
    with asking(plane) as http:
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 200
        assert "Later" not in plane.must("client", "list")
    [kept] = plane.folder.glob("flagee.db-wal.of-replaced-file-*")
    assert kept.stat().st_size
    assert "stale_log_put_aside" in capfd.readouterr().err
    with contextlib.closing(sqlite3.connect(file_of(plane))) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_log_of_a_killed_server_is_not_applied_to_another_database_in_the_same_file(plane: ControlPlane) -> None:
    other = plane.folder / "other"
    other.mkdir()
    source = file_of(prepared(other))
    with plane.serving(WORKERS="1", NGINX="none") as (url, child):
        assert requests.get(f"{url}/ready", timeout=60).status_code == 200
        plane.must("client", "add", "In the log only")
        os.killpg(child.pid, signal.SIGKILL)
        child.stop()
    assert (plane.folder / "flagee.db-wal").stat().st_size
    copy_over_it(plane, source)
    wait_until(lambda: plane.run("client", "list").exit_code == 0, within=60, what="the last worker ended")
    assert "In the log only" not in plane.must("client", "list")
    assert len(list(plane.folder.glob("flagee.db-wal.of-replaced-file-*"))) == 1


@pytest.mark.parametrize("note", ["", "what no version wrote", "1 2", "{device} {inode} 0", "{device} {inode} 0 -"])
def test_a_note_without_a_file_identity_blocks_no_command(plane: ControlPlane, note: str) -> None:
    """The note of an earlier version, or what a full disk left of one."""
    found = file_of(plane).stat()
    (plane.folder / "flagee.db.lock").write_text(note.format(device=found.st_dev, inode=found.st_ino))
    with opened(plane) as database, database.reading():
        assert CLIENT in plane.must("client", "list")


def test_a_command_that_moves_a_stale_log_aside_reports_it_on_stderr(plane: ControlPlane) -> None:
    with asking(plane) as http:
        assert http.get("/health").json
        copy = copy_of(plane)
        plane.must("client", "add", "Later")
        copy.replace(file_of(plane))
    result = subprocess.run(
        [*COMMAND, "client", "list", "--output", "json"],
        env={**os.environ, **plane.environ},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(result.stdout)[0]["name"] == CLIENT
    assert "stale_log_put_aside" in result.stderr


def test_a_log_without_a_database_is_not_given_to_a_new_one(plane: ControlPlane) -> None:
    with asking(plane) as http:
        assert http.get("/health").json
        plane.must("client", "add", "In the log only")
        remove(plane)
    result = plane.run("init-db")
    assert result.exit_code == 1
    assert "It would damage a new database; nothing was changed." in result.stderr
    assert not file_of(plane).exists()


def test_a_database_that_was_moved_with_its_log_is_used_with_it(plane: ControlPlane) -> None:
    """After a kill the log holds what is not in the file yet. The lock file comes along, and names other files."""
    with opened(plane) as database, database.reading():
        plane.must("client", "add", "In the log only")
        moved = plane.folder / "moved"
        moved.mkdir()
        for path in plane.folder.glob("flagee.db*"):
            shutil.copy(path, moved)
    there = ControlPlane(moved, {**plane.environ, "FLAGEE_DATABASE_URL": f"sqlite:///{moved}/flagee.db"})
    assert "In the log only" in there.must("client", "list")


def test_a_file_that_was_replaced_while_no_process_used_it_is_used(plane: ControlPlane) -> None:
    token = plane.token()
    put_another_there(plane)
    with asking(plane) as http:
        assert http.get(CONFIG, headers={"X-Bot-Token": token}).status_code == 200
        with services_of(http.application).database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed_under_load(plane: ControlPlane) -> None:
    token, acknowledged = plane.token(), dict[str, str]()
    stop = threading.Event()

    def enrol(url: str, first: int) -> None:
        for number in range(first, first + 100_000):
            if stop.is_set():
                return
            agent = f"0198c0de-0000-7000-8000-{number:012x}"
            try:
                answer = requests.post(
                    f"{url}/api/bootstrap/enroll?rede=SOL",
                    json={"agent_id": agent, "hostname": "shop"},
                    headers={"X-Bot-Token": token},
                    timeout=20,
                )
                acknowledged[agent] = answer.json()["token"]
            except (requests.RequestException, KeyError):
                return

    for kill in range(2):
        with plane.serving(WORKERS="2") as (url, child):
            before = len(acknowledged)
            senders = [
                threading.Thread(target=enrol, args=(url, (kill * 10 + sender + 1) << 20)) for sender in range(3)
            ]
            for sender in senders:
                sender.start()
            wait_until(lambda: len(acknowledged) > before + 20, within=60, what="enrolments")  # noqa: B023
            os.killpg(child.pid, signal.SIGKILL)
            stop.set()
            for sender in senders:
                sender.join()
            stop.clear()
    with asking(plane) as http:
        for own in acknowledged.values():
            assert http.get(CONFIG, headers={"X-Bot-Token": own}).status_code == 200
