"""The copy of the local state that a candidate gets."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from runtime.adapters.state.meta import note_heartbeat
from runtime.adapters.state.store import State
from runtime.container.health import report
from runtime.deployment import candidate
from runtime.deployment.candidate import state_archive
from tests.unit.deployment.support import NOW


def unpack(data: Path, scratch: Path) -> tuple[dict[str, tarfile.TarInfo], bytes, str]:
    with state_archive(data, scratch) as (archive, problem):
        raw = b"".join(archive)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
        file = tar.extractfile("state.db") if "state.db" in entries else None
        return entries, file.read() if file else b"", problem


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("data", "etc"):
        (tmp_path / name).mkdir()
    return tmp_path / "data", tmp_path / "etc"


def test_the_copy_is_consistent_while_the_state_is_written(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, _ = folders
    stop = threading.Event()
    with contextlib.closing(sqlite3.connect(data / "state.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
        database.commit()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(data / "state.db", timeout=30)) as database:
            number = 0
            while not stop.is_set():
                number += 1
                with database:
                    database.execute("INSERT INTO pairs VALUES (?, 0)", (number,))
                    database.execute("UPDATE pairs SET b = a WHERE a = ?", (number,))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            entries, content, problem = unpack(*folders)
            assert problem == ""
            copy = tmp_path / f"{number}.db"
            copy.write_bytes(content)
            with contextlib.closing(sqlite3.connect(copy)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert database.execute("SELECT count(*) FROM pairs WHERE a <> b").fetchone() == (0,)
    finally:
        stop.set()
        writer.join()
    assert (entries["state.db"].uid, entries["state.db"].mode) == (10001, 0o600)
    assert (entries["."].uid, entries["."].mode, entries["."].isdir()) == (10001, 0o700, True)


def test_a_first_installation_has_no_state_and_no_problem(folders: tuple[Path, Path]) -> None:
    entries, _, problem = unpack(*folders)
    assert (list(entries), problem) == (["."], "")


def test_a_damaged_state_is_left_out_and_reported(folders: tuple[Path, Path]) -> None:
    (folders[0] / "state.db").write_bytes(os.urandom(9000))
    (folders[0] / "keepsake.jsonl").write_text("{}\n")
    entries, _, problem = unpack(*folders)
    assert sorted(entries) == [".", "keepsake.jsonl"]
    assert "could not be copied" in problem


LOCKER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA locking_mode = EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
database.execute("INSERT INTO kept VALUES (1)")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_locked_state_is_left_out_and_does_not_delay_a_deploy(
    folders: tuple[Path, Path], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidate, "COPY_S", 1.0)
    monkeypatch.setattr(candidate, "_BUSY_S", 0.2)
    with contextlib.closing(sqlite3.connect(folders[0] / "state.db")) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE kept (a)")
        database.commit()
    words = [sys.executable, "-c", LOCKER, str(folders[0] / "state.db")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as locker:
        assert locker.stdout is not None
        locker.stdout.readline()
        entries, _, problem = unpack(*folders)
        locker.communicate()
    assert list(entries) == ["."]
    assert "locked" in problem


@pytest.mark.parametrize("limit", ["MAX_COPY", "SPARE"])
def test_a_state_too_large_for_the_disk_is_left_out_and_reported(
    folders: tuple[Path, Path], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(sqlite3.connect(folders[0] / "state.db")) as database:
        database.execute("CREATE TABLE kept (a)")
        database.executemany("INSERT INTO kept VALUES (?)", [("x" * 4000,)] * 1000)
        database.commit()
    monkeypatch.setattr(candidate, limit, 1_000_000 if limit == "MAX_COPY" else 1 << 60)
    monkeypatch.setattr(candidate, "_PAGES", 8)
    entries, _, problem = unpack(*folders)
    assert list(entries) == ["."]
    assert "room for" in problem
    assert list(folders[1].iterdir()) == []


def test_links_are_not_followed_and_no_file_remains_in_root_s_folder(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "secret.db")) as database:
        database.execute("CREATE TABLE secret (a)")
    (folders[0] / "state.db").symlink_to(tmp_path / "secret.db")
    (folders[0] / "keepsake.jsonl").symlink_to(tmp_path / "secret.db")
    entries, _, problem = unpack(*folders)
    assert list(entries) == ["."]
    assert "not a plain file" in problem
    assert list(folders[1].iterdir()) == []


def test_the_candidate_does_not_inherit_the_running_ones_heartbeat(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Else it would be healthy before it has begun, whatever its image is."""
    data, _ = folders
    state = State(data, now=NOW)
    note_heartbeat(state, pid=1, started_at=NOW, now=NOW)
    state.close()
    entries, content, problem = unpack(*folders)
    assert (problem, sorted(entries)) == ("", [".", "state.db"])
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "state.db").write_bytes(content)
    assert report(copy, tmp_path, NOW, None)["problems"] == ["the scheduler has not begun yet"]
    assert report(data, tmp_path, NOW, None)["problems"] == []
