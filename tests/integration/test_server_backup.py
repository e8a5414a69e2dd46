"""Backups made while the server writes, and restored: whole, private, checked, and without bringing back what was revoked."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from server.services.tokens.access import Scope
from server.services.tokens.lifecycle import issue
from server.storage.copies import copy_from_use
from server.storage.schema import upgrade
from server.storage.session import Database, open_database
from server.wiring import utc_now
from tests.harness.control_plane import CLIENT, ControlPlane, empty, new_key, prepared
from tests.harness.need import need_root

CONFIG = "/api/ingest/bot/config?rede=SOL"
AGENT = {"agent_id": "0198c0de-0000-7000-8000-000000000001", "hostname": "shop"}


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    folder = tmp_path / "server"
    folder.mkdir()
    return prepared(folder)


def file_of(plane: ControlPlane) -> Path:
    return plane.folder / "flagee.db"


def backup(plane: ControlPlane, name: str = "backup.db") -> Path:
    path = plane.folder.parent / name
    plane.must("backup", str(path))
    return path


def restore(plane: ControlPlane, path: Path, *options: str) -> Any:
    return json.loads(plane.must("restore", str(path), "--output", "json", *options))


def refused(plane: ControlPlane, *words: str | Path) -> str:
    """What a command says that refuses; the database is what it was."""
    before = {path.name: path.read_bytes() for path in plane.folder.glob("flagee.db*")}
    result = plane.run(*map(str, words))
    assert result.exit_code == 1, result.output
    after = {path.name: path.read_bytes() for path in plane.folder.glob("flagee.db*")}
    for name in ("flagee.db", "flagee.db-wal"):
        assert after.get(name) == before.get(name)
    return result.stderr


def public_id(token: str) -> str:
    return token.split(".")[1]


def answer(plane: ControlPlane, token: str) -> tuple[int, Any]:
    with plane.app() as app:
        got = app.test_client().get(CONFIG, headers={"X-Bot-Token": token})
        return got.status_code, got.json and got.json.get("reason")


def enrol(plane: ControlPlane, token: str) -> str:
    with plane.app() as app:
        got = app.test_client().post("/api/bootstrap/enroll?rede=SOL", json=AGENT, headers={"X-Bot-Token": token})
        assert got.status_code == 201
        own: str = got.get_json()["token"]
        return own


@contextlib.contextmanager
def opened(plane: ControlPlane) -> Any:
    database = open_database(plane.settings().database_url, timeout=5)
    try:
        yield database
    finally:
        database.close()


def grow(database: Database, tokens: int) -> None:
    with database.writing() as session:
        for _ in range(tokens):
            issue(session, client=CLIENT, networks=(), scopes=[Scope.CONFIG], expires_at=None, now=utc_now())


def test_a_backup_is_one_private_file_that_says_what_it_holds(plane: ControlPlane) -> None:
    token = plane.token()
    with plane.app() as app:
        assert app.test_client().get("/health").status_code == 200, "a server is at work"
        shown = json.loads(plane.must("backup", str(plane.folder.parent), "--output", "json"))
    file = Path(shown.pop("file"))
    assert file.parent == plane.folder.parent
    assert file.name.startswith("flagee-2")
    [key] = shown.pop("key_ids")
    assert len(key) == 16
    assert shown == {
        "size": file.stat().st_size,
        "revision": "0009",
        "counts": {"clients": 1, "networks": 2, "agents": 0, "tokens": 1, "configurations": 1},
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in plane.folder.parent.iterdir()) == sorted([file.name, "server"])
    assert token.split(".")[2].encode() not in file.read_bytes()


def test_a_backup_is_of_one_moment_while_others_write(plane: ControlPlane) -> None:
    """Begun over after a write, it would never end on a busy server; in pieces of several moments, it would be damaged."""
    with contextlib.closing(sqlite3.connect(file_of(plane))) as filled:
        filled.execute("UPDATE configurations SET sealed = randomblob(5000000)")
        filled.commit()
    target = plane.folder.parent / "copy.db"
    with opened(plane) as database, opened(plane) as other:
        steps: list[int] = []

        def write_between_steps(done: int, _: int) -> None:
            steps.append(done)
            grow(other, 1)

        copy_from_use(database, target, write_between_steps)
    assert len(steps) > 3
    assert steps == sorted(steps)
    with contextlib.closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM tokens").fetchone() == (0,)
    assert len(json.loads(plane.must("token", "list", "--output", "json"))) == len(steps)


def test_a_backup_during_many_writes_is_whole(plane: ControlPlane) -> None:
    stop = threading.Event()

    def write() -> None:
        with opened(plane) as mine:
            while not stop.is_set():
                grow(mine, 20)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(plane, f"{number}.db")
    finally:
        stop.set()
        writer.join()


def test_a_file_that_exists_is_replaced_only_when_asked(plane: ControlPlane) -> None:
    path = plane.folder.parent / "backup.db"
    path.write_text("precious")
    assert "exists and was not changed" in refused(plane, "backup", path)
    assert path.read_text() == "precious"
    plane.must("backup", str(path), "--overwrite")
    assert path.read_bytes().startswith(b"SQLite format 3")
    assert "is the database itself" in refused(plane, "backup", file_of(plane), "--overwrite")
    for missing, told in ((plane.folder / "none", "No such file"), (Path("/proc"), "")):
        said = refused(plane, "backup", missing / "x.db")
        assert f"no copy was made: no file can be made in the folder {missing} ({told}" in said


def occupied(kind: str, path: Path) -> None:
    match kind:
        case "a device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # as /dev/null
        case "a pipe":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case _:
            path.symlink_to("/dev/null")


@pytest.mark.parametrize("kind", ["a device", "a pipe", "a socket", "a symbolic link"])
def test_only_a_file_is_replaced_by_a_backup_or_a_restore(plane: ControlPlane, kind: str) -> None:
    if kind == "a device":
        need_root("a device of its own")
    path = backup(plane)
    there = plane.folder.parent / "there"
    occupied(kind, there)
    before = there.lstat()
    for options in ((), ("--overwrite",)):
        assert f"{there} is {kind}, not a file, and was not changed" in refused(plane, "backup", there, *options)
    result = plane.run("restore", str(path), DATABASE_URL=f"sqlite:///{there}")
    assert result.exit_code == 1
    assert f"{'/dev/null is a device' if there.is_symlink() else f'{there} is {kind}'}, not a file" in result.stderr
    assert (there.lstat().st_ino, there.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_a_backup_of_a_damaged_database_is_not_kept(plane: ControlPlane) -> None:
    with contextlib.closing(sqlite3.connect(file_of(plane))) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("UPDATE networks SET client_id = 4711 WHERE code = 'LUA'")
        database.commit()
    assert "The database is damaged too" in refused(plane, "backup", plane.folder.parent / "backup.db")
    assert [path.name for path in plane.folder.parent.iterdir()] == ["server"]


def test_without_room_for_a_backup_nothing_is_left(plane: ControlPlane) -> None:
    need_root("a small disk")
    disk = plane.folder.parent / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=True)
    try:
        assert "MB free on the volume of" in refused(plane, "backup", disk)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("backup", "pg_dump --format=custom --file=x.dump --dbname=postgresql://user@127.0.0.1:1/flagee"),
        (
            "restore",
            "pg_restore --clean --if-exists --single-transaction --dbname=postgresql://user@127.0.0.1:1/flagee x.dump",
        ),
    ],
)
def test_with_postgresql_its_own_tool_is_named(tmp_path: Path, command: str, says: str) -> None:
    result = empty(tmp_path, "postgresql://user:hunter2@127.0.0.1:1/flagee").run(command, "x.dump")
    assert result.exit_code == 3
    assert says in result.stderr
    assert "hunter2" not in result.output


def test_a_restored_database_serves_what_was_backed_up(plane: ControlPlane) -> None:
    token = plane.token()
    etag = plane.etag("SOL")
    path = backup(plane)
    plane.publish("SOL", timezone="America/Manaus")
    plane.must("client", "add", "Later")
    done = restore(plane, path)
    assert (done["schema"], done["secret_key"], done["revocations"]) == ("current", "ok", "none")
    assert done["older_configurations"] == [{"client": CLIENT, "network": "SOL", "was": 2, "now": 1}]
    assert answer(plane, token) == (200, None)
    assert plane.etag("SOL") == etag
    assert "Later" not in plane.must("client", "list")
    assert file_of(plane).stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(done["kept"])) as kept:
        assert kept.execute("SELECT count(*) FROM clients").fetchone() == (2,)


def test_what_was_revoked_or_used_since_the_backup_stays_ended(plane: ControlPlane) -> None:
    revoked, valid, ended_before = plane.token(), plane.token(), plane.token()
    plane.must("token", "revoke", public_id(ended_before))
    [once] = set(re.findall(r"fm1\.[0-9a-f]{12}\.[\w-]{43}", plane.must("install-command", CLIENT, "SOL")))
    path = backup(plane)
    plane.must("token", "revoke", public_id(revoked))
    own = enrol(plane, once)
    later = plane.token()
    done = restore(plane, path)
    assert done["revocations"] == "carried_over"
    assert [(row["id"], row["state"]) for row in done["ended_since"]] == [
        (public_id(revoked), "revoked"),
        (public_id(once), "used"),
    ]
    assert [(row["id"], row["agent"]) for row in done["issued_since"]] == [
        (public_id(own), AGENT["agent_id"]),
        (public_id(later), None),
    ]
    assert answer(plane, valid) == (200, None)
    assert answer(plane, revoked) == (403, "token_revoked")
    assert answer(plane, ended_before) == (403, "token_revoked")
    assert answer(plane, once) == (403, "token_used")
    assert answer(plane, later) == (401, "token_unknown")


def test_tokens_of_operators_that_ended_since_the_backup_stay_ended(plane: ControlPlane) -> None:
    plane.must("operator", "add", "ana", "--role", "viewer")
    revoked, valid = (plane.must("operator", "token", "ana").splitlines()[-1] for _ in range(2))
    path = backup(plane)
    plane.must("operator", "revoke", public_id(revoked))
    later = plane.must("operator", "token", "ana").splitlines()[-1]
    done = restore(plane, path)
    assert done["revocations"] == "carried_over"
    assert [(row["id"], row["operator"]) for row in done["ended_since"]] == [(public_id(revoked), "ana")]
    assert [(row["id"], row["operator"]) for row in done["issued_since"]] == [(public_id(later), "ana")]
    with plane.app() as app:
        found = [
            app.test_client().get("/agents/status", headers={"X-Bot-Token": token}).status_code
            for token in (valid, revoked, later)
        ]
    assert found == [200, 403, 401]


def test_revocations_are_dropped_only_when_asked_and_then_listed(plane: ControlPlane) -> None:
    token = plane.token()
    path = backup(plane)
    plane.must("token", "revoke", public_id(token))
    result = plane.run("restore", str(path), "--without-revocations")
    assert result.exit_code == 0
    assert f"tokens that ended since the backup work again (1): {public_id(token)}" in result.stderr
    assert answer(plane, token) == (200, None)


def test_a_restore_is_refused_while_any_program_has_the_database_open(plane: ControlPlane) -> None:
    path = backup(plane)
    with plane.app() as app:
        assert "is in use by a server or another command" in refused(plane, "restore", path)
        assert app.test_client().get("/health").status_code == 200
    with contextlib.closing(sqlite3.connect(file_of(plane))) as stranger:
        stranger.execute("SELECT count(*) FROM tokens").fetchone()
        assert "is in use by another program" in refused(plane, "restore", path)


def test_a_command_waits_for_a_restore_and_then_reports_it(plane: ControlPlane) -> None:
    with opened(plane) as database, database.file.alone():
        assert "is being restored" in refused(plane, "client", "list")


def test_a_damaged_database_is_moved_aside_with_its_log_and_unknown_revocations_are_reported(
    plane: ControlPlane,
) -> None:
    token = plane.token()
    path = backup(plane)
    file_of(plane).write_bytes(b"damaged " * 1000)
    (plane.folder / "flagee.db-wal").write_bytes(b"what is left of the log")
    result = plane.run("restore", str(path))
    assert result.exit_code == 0
    assert "Tokens that were revoked since the backup work again" in result.stderr
    kept = sorted(path.name.split("Z")[1] for path in plane.folder.glob("flagee.db.replaced-*"))
    assert kept == ["", "-wal"]
    assert answer(plane, token) == (200, None)


def test_a_database_that_was_lost_is_restored_and_a_log_that_was_left_is_put_aside(plane: ControlPlane) -> None:
    token = plane.token()
    path = backup(plane)
    with plane.app() as app:
        assert app.test_client().get("/health").status_code == 200
        plane.must("client", "add", "In the log only")
        file_of(plane).unlink()
    done = restore(plane, path)
    assert (done["kept"], done["revocations"]) == (None, "unknown")
    assert answer(plane, token) == (200, None)
    assert "In the log only" not in plane.must("client", "list")
    assert len(list(plane.folder.glob("flagee.db.replaced-*-wal"))) == 1


def test_a_database_that_was_removed_by_mistake_is_rescued_from_the_server_that_still_runs(plane: ControlPlane) -> None:
    """As docs/operations/problems.md says. What was stored last is in the log, which has its name still."""
    rescued = plane.folder.parent / "rescued.db"
    with plane.app() as app:
        assert app.test_client().get("/health").status_code == 200
        plane.must("client", "add", "In the log only")
        file_of(plane).unlink()
        assert app.test_client().get("/health").status_code == 503
        gone = f"{file_of(plane)} (deleted)"
        handles = [
            path for path in Path("/proc/self/fd").iterdir() if path.is_symlink() and str(path.readlink()) == gone
        ]
        shutil.copyfile(handles[0], rescued)
        shutil.copyfile(plane.folder / "flagee.db-wal", f"{rescued}-wal")
    restore(plane, rescued)
    assert "In the log only" in plane.must("client", "list")


def test_a_file_that_was_put_there_under_the_server_is_replaced_without_the_log_of_the_first(
    plane: ControlPlane,
) -> None:
    path = backup(plane)
    with plane.app() as app:
        assert app.test_client().get("/health").status_code == 200
        plane.must("client", "add", "In the log only")
        other = backup(plane, "other.db")
        other.replace(file_of(plane))
    restore(plane, path)
    assert len(list(plane.folder.glob("flagee.db-wal.of-replaced-file-*"))) == 1
    assert "In the log only" not in plane.must("client", "list")


def test_an_unusable_backup_is_refused_and_nothing_is_changed(plane: ControlPlane) -> None:
    path = backup(plane)
    folder = plane.folder.parent
    (folder / "text").write_text("no database " * 1000)
    sqlite3.connect(folder / "strange.db").execute("CREATE TABLE x (y)").connection.close()
    for name, statement in (
        ("newer.db", "UPDATE alembic_version SET version_num = '9999'"),
        ("torn.db", "UPDATE networks SET client_id = 4711"),
    ):
        (folder / name).write_bytes(path.read_bytes())
        with contextlib.closing(sqlite3.connect(folder / name)) as database:
            database.execute(statement)
            database.commit()
    (folder / "cut.db").write_bytes(path.read_bytes()[:-8192])
    for name, said in (
        ("none.db", "there is no file"),
        ("text", "it is not an SQLite database"),
        ("strange.db", "is no database of flagee-server"),
        ("newer.db", "at revision 9999, which this version does not know"),
        ("torn.db", "rows that belong to nothing"),
        ("cut.db", "damage"),
    ):
        assert said in refused(plane, "restore", folder / name), name
    assert "is the database itself" in refused(plane, "restore", file_of(plane))


def test_an_older_backup_is_restored_with_its_revocations_and_a_message_says_to_migrate_it(tmp_path: Path) -> None:
    old = empty(tmp_path)
    database = open_database(old.settings().database_url, timeout=5)
    upgrade(database, "0002")
    database.close()
    with contextlib.closing(sqlite3.connect(file_of(old))) as connection:
        connection.execute("INSERT INTO clients (id, name, created_at) VALUES (1, ?, '2026-01-01 00:00:00')", (CLIENT,))
        connection.execute(
            "INSERT INTO tokens (public_id, client_id, secret_hash, scopes, all_networks, created_at) "
            "VALUES ('0123456789ab', 1, x'00', 'config', 1, '2026-01-01 00:00:00')"
        )
        connection.commit()
    path = tmp_path / "old.db"
    old.must("backup", str(path))
    old.must("init-db")
    old.must("token", "revoke", "0123456789ab")
    result = old.run("restore", str(path))
    assert result.exit_code == 0
    assert "this version needs 0009; run: flagee-server init-db" in result.stderr
    assert "tokens that ended since the backup stay ended (1): 0123456789ab" in result.stdout
    old.must("init-db")
    [row] = json.loads(old.must("token", "list", "--output", "json"))
    assert row["state"] == "revoked"


def test_restore_reports_whether_the_secret_key_opens_the_backup(plane: ControlPlane) -> None:
    path = backup(plane)
    for key, state in ((new_key(), "mismatch"), ("", "unknown")):
        result = plane.run("restore", str(path), "--output", "json", SECRET_KEY=key)
        assert json.loads(result.stdout)["secret_key"] == state
    assert "need the secret key" in plane.run("restore", str(path), SECRET_KEY=new_key()).stderr


def test_a_backup_that_was_copied_there_by_hand_is_refused_until_it_is_restored(plane: ControlPlane) -> None:
    """`cp` keeps the inode, so that a log of the database before would be applied to it; and revocations would be undone."""
    token = plane.token()
    path = backup(plane)
    plane.must("token", "revoke", public_id(token))
    file_of(plane).write_bytes(path.read_bytes())
    with plane.app() as app:
        health = app.test_client().get("/health")
        assert (health.status_code, health.json and health.json["reasons"]) == (503, ["database_unavailable"])
    for command in (("token", "list"), ("serve", "--bind", "127.0.0.1:1"), ("init-db",)):
        assert "is a backup that was copied there by hand" in refused(plane, *command)
    file_of(plane).rename(plane.folder / "wanted.db")
    restore(plane, plane.folder / "wanted.db")
    assert answer(plane, token) == (200, None), "the replaced database had gone, and with it what was revoked"


def test_a_backup_that_was_copied_there_by_hand_is_refused_while_workers_of_a_killed_server_still_end(
    plane: ControlPlane,
) -> None:
    """They hold the lock for a moment more."""
    path = backup(plane)
    lock = (plane.folder / "flagee.db.lock").open("rb")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        file_of(plane).write_bytes(path.read_bytes())
        assert "is a backup that was copied there by hand" in refused(plane, "serve", "--bind", "127.0.0.1:1")
    file_of(plane).unlink()
    path.replace(file_of(plane))
    assert "is a backup that was copied there by hand" in refused(plane, "client", "list")


def test_a_backup_that_was_copied_by_hand_is_no_source_of_revocations(plane: ControlPlane) -> None:
    path = backup(plane)
    file_of(plane).write_bytes(path.read_bytes())
    (plane.folder / "flagee.db-wal").write_bytes(b"of the database before")
    done = restore(plane, path)
    assert done["revocations"] == "unknown"
    logs = [path for path in plane.folder.glob("flagee.db*-wal*") if path.name != "flagee.db-wal"]
    assert [path.read_bytes() for path in logs] == [b"of the database before"]


def test_a_database_behind_a_symbolic_link_is_watched_and_restored_like_any_other(plane: ControlPlane) -> None:
    token = plane.token()
    linked = plane.folder.parent / "linked"
    linked.mkdir()
    (linked / "flagee.db").symlink_to(file_of(plane))
    there = ControlPlane(linked, {**plane.environ, "FLAGEE_DATABASE_URL": f"sqlite:///{linked}/flagee.db"})
    path = backup(there)
    there.must("token", "revoke", public_id(token))
    assert restore(there, path)["revocations"] == "carried_over"
    assert (linked / "flagee.db").is_symlink()
    with there.app() as app:
        assert app.test_client().get("/health").status_code == 200
        (plane.folder / "other.db").write_bytes(file_of(plane).read_bytes())
        (linked / "flagee.db").unlink()
        (linked / "flagee.db").symlink_to(plane.folder / "other.db")
        assert app.test_client().get("/health").status_code == 503
        assert "was replaced while it was in use" in there.run("client", "list").stderr


def test_a_backup_on_a_read_only_volume_is_restored(plane: ControlPlane) -> None:
    need_root("a read-only volume")
    media = plane.folder.parent / "media"
    media.mkdir()
    plane.must("backup", str(media / "backup.db"))
    with contextlib.closing(sqlite3.connect(media / "backup.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # as a copy made by hand may be
    subprocess.run(["mount", "--bind", media, media], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", media], check=True)
        assert restore(plane, media / "backup.db")["schema"] == "current"
    finally:
        subprocess.run(["umount", "--lazy", media], check=True)


def test_root_restores_for_the_account_that_the_database_belongs_to(plane: ControlPlane) -> None:
    need_root("an account of its own")
    path = backup(plane)
    for made in (plane.folder, *plane.folder.iterdir()):
        os.chown(made, 10001, 10001)
    restore(plane, path)
    assert (file_of(plane).stat().st_uid, file_of(plane).stat().st_gid) == (10001, 10001)
