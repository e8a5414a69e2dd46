"""What a repair decides, what deploy remembers, the wrappers it writes and the copy of the state it makes."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.deployment import candidate as state_copy
from runtime.deployment.candidate import state_archive
from runtime.deployment.facts import Condition, Container, Image, Probe
from runtime.deployment.host_files import write_wrappers
from runtime.deployment.names import Names
from runtime.deployment.records import KEPT, Memory, Records
from runtime.deployment.repair_rules import Act, Situation, condition, decide

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


def seen(status: str, health: str = "", restarts: int = 0, minutes: float = 1) -> Container:
    started = NOW - dt.timedelta(minutes=minutes)
    return Container("c", "proxy", "sha256:aa", status, health=health, restarts=restarts, started_at=started)


@pytest.mark.parametrize(
    ("container", "probe", "expected"),
    [
        (None, None, Condition.MISSING),
        (seen("running", "healthy"), None, Condition.HEALTHY),
        (seen("running", "healthy", restarts=2), None, Condition.HEALTHY),
        (seen("running", "healthy", restarts=3), None, Condition.LOOPING),
        (seen("running", "healthy", restarts=9, minutes=6), None, Condition.HEALTHY),
        (seen("running", "starting"), None, Condition.STARTING),
        (seen("running", "starting", restarts=1), None, Condition.STARTING),
        (seen("running", "starting", restarts=3), None, Condition.LOOPING),
        (seen("running", "starting", restarts=3, minutes=6), Probe(0), Condition.HEALTHY),
        (seen("running", "starting", restarts=3), Probe(0), Condition.LOOPING),
        (seen("running", "starting"), Probe(0), Condition.HEALTHY),
        (seen("running", "starting"), Probe(1), Condition.STARTING),
        (seen("running", "unhealthy"), Probe(0), Condition.HEALTHY),
        (seen("running", "unhealthy"), Probe(1), Condition.UNHEALTHY),
        (seen("running", "unhealthy"), Probe(None), Condition.UNHEALTHY),
        (seen("running", "starting", minutes=11), None, Condition.UNHEALTHY),
        (seen("running", "unhealthy"), None, Condition.UNHEALTHY),
        (seen("restarting", "unhealthy"), None, Condition.LOOPING),
        (seen("exited", "unhealthy"), None, Condition.STOPPED),
        (seen("created"), None, Condition.STOPPED),
        (seen("dead"), None, Condition.STOPPED),
        (seen("paused", "healthy"), None, Condition.UNHEALTHY),
        (seen("running"), Probe(0), Condition.HEALTHY),
        (seen("running"), Probe(1), Condition.STARTING),
        (seen("running"), Probe(None), Condition.STARTING),
        (seen("running", minutes=4), Probe(1), Condition.UNHEALTHY),
    ],
)
def test_the_condition_of_a_container(container: Container | None, probe: Probe | None, expected: Condition) -> None:
    age = NOW - container.started_at if container and container.started_at else dt.timedelta()
    assert condition(container, probe, age, container.restarts if container else 0) is expected


@pytest.mark.parametrize(
    ("situation", "act"),
    [
        (Situation(Condition.MISSING), Act.CREATE),
        (Situation(Condition.MISSING, attempts=99), Act.CREATE),
        (Situation(Condition.STARTING, drift=("x",)), Act.WAIT),
        (Situation(Condition.HEALTHY, proved=True, lasting=True), Act.NOTHING),
        (Situation(Condition.HEALTHY), Act.NOTHING),
        (Situation(Condition.HEALTHY, lasting=True), Act.REMEMBER),
        (Situation(Condition.HEALTHY, drift=("x",)), Act.REPLACE),
        (Situation(Condition.HEALTHY, drift=("x",), attempts=3), Act.GIVE_UP),
        (Situation(Condition.UNHEALTHY, others=True), Act.WAIT),
        (Situation(Condition.UNHEALTHY, others=True, confirmed=True), Act.ROLL_BACK),
        (Situation(Condition.UNHEALTHY, others=True, attempts=3), Act.WAIT),
        (Situation(Condition.LOOPING, others=True), Act.WAIT),
        (Situation(Condition.LOOPING, others=True, confirmed=True), Act.ROLL_BACK),
        (Situation(Condition.LOOPING, others=True, confirmed=True, attempts=3), Act.ROLL_BACK),
        (Situation(Condition.UNHEALTHY), Act.RESTART),
        (Situation(Condition.UNHEALTHY, proved=True, others=True, confirmed=True), Act.RESTART),
        (Situation(Condition.UNHEALTHY, proved=True, attempts=1), Act.REPLACE),
        (Situation(Condition.UNHEALTHY, proved=True, others=True, attempts=3), Act.GIVE_UP),
        (Situation(Condition.UNHEALTHY, proved=True, drift=("x",)), Act.REPLACE),
        (Situation(Condition.STOPPED, others=True), Act.START),
        (Situation(Condition.STOPPED, others=True, attempts=3), Act.ROLL_BACK),
        (Situation(Condition.STOPPED, proved=True, drift=("x",)), Act.REPLACE),
    ],
)
def test_what_a_repair_does(situation: Situation, act: Act) -> None:
    assert decide(situation).act is act


@given(
    st.builds(
        Situation,
        condition=st.sampled_from(Condition),
        proved=st.booleans(),
        lasting=st.booleans(),
        confirmed=st.booleans(),
        others=st.booleans(),
        drift=st.sampled_from([(), ("x",)]),
        attempts=st.integers(0, 5),
    )
)
def test_only_an_image_that_has_not_proved_itself_is_left_and_only_for_one_that_was_healthy(
    situation: Situation,
) -> None:
    plan = decide(situation)
    assert plan.why
    if plan.act is Act.ROLL_BACK:
        assert situation.others
        assert not situation.proved
        assert situation.condition not in (Condition.HEALTHY, Condition.STARTING)
        assert situation.confirmed or situation.condition is Condition.STOPPED
    if situation.condition is Condition.STARTING:
        assert plan.act is Act.WAIT
    if plan.act is Act.NOTHING:
        assert not situation.drift


def image(number: int, *, registry: bool = True) -> Image:
    digests = (f"r.example/p@sha256:{number:064x}",) if registry else ()
    return Image(f"sha256:{number}", digests, {"org.opencontainers.image.version": f"{number}.0"})


def remembered(*numbers: int) -> Records:
    records = Records()
    for number in numbers:
        records = records.remember(image(number), "r.example/p", NOW, proved=True)
    return records


def test_the_history_is_short_newest_first_and_each_image_once() -> None:
    records = remembered(*range(1, 9), 8, 7)
    assert len(records.healthy) == KEPT
    assert [one.version for one in records.healthy] == ["8.0", "7.0", "6.0", "5.0", "4.0"]
    assert records.current == "sha256:7"


def test_an_image_of_no_registry_is_remembered_by_its_id_and_never_removed() -> None:
    records = Records()
    for number in range(1, 5):
        records = records.remember(image(number, registry=False), "r.example/p", NOW, proved=True)
    assert records.healthy[0].reference == "sha256:4"
    assert records.retired == ()


def test_a_rollback_goes_to_what_was_before() -> None:
    records = remembered(1, 2, 3)
    assert [one.version for one in records.before("sha256:3")] == ["2.0", "1.0"]
    assert records.before("sha256:1") == ()
    assert [one.version for one in records.before("sha256:99")] == ["3.0", "2.0", "1.0"]


def test_memory_survives_a_new_process_and_is_for_root_alone(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.keep(remembered(1, 2).tried(NOW))
    again = Memory(tmp_path)
    assert again.records == memory.records
    assert (tmp_path / "deploy.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "healthy_image").read_text() == f"r.example/p@sha256:{2:064x}\n"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"healthy": [{}]}', b"\xff", b"[" * 10000, b'{"pinned": {"reference": 5}}']
)
def test_a_memory_that_cannot_be_read_is_moved_aside(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "deploy.json").write_bytes(raw)
    assert Memory(tmp_path, look=True).notice
    assert (tmp_path / "deploy.json").exists()
    memory = Memory(tmp_path)
    assert memory.records == Records()
    assert memory.notice
    assert (tmp_path / "deploy.json.damaged").read_bytes() == raw


def test_a_disk_that_takes_nothing_forgets_but_does_not_stop_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    memory = Memory(folder)
    folder.rmdir()
    memory.keep(remembered(1))
    assert memory.records == remembered(1)
    assert "could not be written" in memory.notice
    with pytest.raises(FileNotFoundError):
        memory.commit(remembered(1, 2))
    assert memory.records == remembered(1)


def test_attempts_are_counted_for_an_hour_and_not_those_of_the_future() -> None:
    records = Records(attempts=(NOW - dt.timedelta(hours=2), NOW - dt.timedelta(minutes=5), NOW + dt.timedelta(days=1)))
    assert len(records.recent(NOW)) == 1
    assert len(records.tried(NOW).attempts) == 2


WRAPPER = (
    "#!/bin/sh\n# FlageeMonitor Proxy, flageemonitor-{name}: does it.\nruntime=${{RUNTIME_NAME:-@RUNTIME_NAME@}}\n"
)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    source = tmp_path / "image/wrappers/linux"
    source.mkdir(parents=True)
    for name in ("run", "logs"):
        (source / f"flageemonitor-{name}").write_text(WRAPPER.format(name=name))
    (tmp_path / "bin").mkdir()
    return tmp_path / "image", tmp_path / "bin"


def test_wrappers_are_written_once_with_their_runtime_s_name(folders: tuple[Path, Path]) -> None:
    changed, trouble = write_wrappers(*folders, Names("proxy"))
    assert (changed, trouble) == (("proxy-logs", "proxy-run"), ())
    written = folders[1] / "proxy-run"
    assert "${RUNTIME_NAME:-proxy}" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o755
    before = written.stat()
    assert write_wrappers(*folders, Names("proxy")) == ((), ())
    assert written.stat().st_ino == before.st_ino


def test_a_changed_wrapper_and_a_link_in_its_place_are_replaced(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (folders[1] / "proxy-run").symlink_to(tmp_path / "precious")
    (folders[1] / "proxy-logs").write_text("edited by hand")
    assert write_wrappers(*folders, Names("proxy"))[0] == ("proxy-logs", "proxy-run")
    assert (tmp_path / "precious").read_text() == "mine"


def test_only_old_wrappers_of_this_very_runtime_are_removed(folders: tuple[Path, Path]) -> None:
    old = WRAPPER.format(name="old")
    texts = {
        "proxy-old": old.replace("@RUNTIME_NAME@", "proxy"),
        "proxy-two-run": old.replace("@RUNTIME_NAME@", "proxy-two"),
        "proxy-tool": "#!/bin/sh\n",
        "other": old.replace("@RUNTIME_NAME@", "proxy"),
    }
    for name, text in texts.items():
        (folders[1] / name).write_text(text)
    write_wrappers(*folders, Names("proxy"))
    left = {path.name for path in folders[1].iterdir()}
    assert left == {"proxy-run", "proxy-logs", "proxy-two-run", "proxy-tool", "other"}


def test_a_wrapper_that_cannot_be_written_is_said(folders: tuple[Path, Path]) -> None:
    (folders[1] / "proxy-run").mkdir()
    (folders[1] / "proxy-run/inside").touch()
    changed, trouble = write_wrappers(*folders, Names("proxy"))
    assert changed == ("proxy-logs",)
    assert trouble[0].startswith("proxy-run could not be written")
    assert not list(folders[1].glob(".*"))


def test_an_image_without_wrappers_removes_none(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_wrappers(*folders, Names("proxy"))
    assert write_wrappers(tmp_path / "none", folders[1], Names("proxy")) == ((), ())
    assert (folders[1] / "proxy-run").exists()


def unpacked(data: Path, scratch: Path) -> tuple[dict[str, tarfile.TarInfo], bytes, str]:
    with state_archive(data, scratch) as (archive, trouble):
        raw = b"".join(archive)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
        file = tar.extractfile("state.db") if "state.db" in entries else None
        return entries, file.read() if file else b"", trouble


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("data", "etc"):
        (tmp_path / name).mkdir()
    return tmp_path / "data", tmp_path / "etc"


def test_the_copy_is_whole_while_somebody_writes(places: tuple[Path, Path], tmp_path: Path) -> None:
    data, _ = places
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
            entries, content, trouble = unpacked(*places)
            assert trouble == ""
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


def test_a_first_installation_has_no_state_and_that_is_no_trouble(places: tuple[Path, Path]) -> None:
    entries, _, trouble = unpacked(*places)
    assert (list(entries), trouble) == (["."], "")


def test_a_state_that_is_damaged_is_left_out_and_said(places: tuple[Path, Path]) -> None:
    (places[0] / "state.db").write_bytes(os.urandom(9000))
    (places[0] / "keepsake.jsonl").write_text("{}\n")
    entries, _, trouble = unpacked(*places)
    assert sorted(entries) == [".", "keepsake.jsonl"]
    assert "could not be copied" in trouble


HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA locking_mode = EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
database.execute("INSERT INTO kept VALUES (1)")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_whoever_keeps_the_state_locked_does_not_hold_up_a_deploy(
    places: tuple[Path, Path], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_copy, "WITHIN_S", 1.0)
    monkeypatch.setattr(state_copy, "_BUSY_S", 0.2)
    with contextlib.closing(sqlite3.connect(places[0] / "state.db")) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE kept (a)")
        database.commit()
    words = [sys.executable, "-c", HOLDER, str(places[0] / "state.db")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        entries, _, trouble = unpacked(*places)
        holder.communicate()
    assert list(entries) == ["."]
    assert "locked" in trouble


@pytest.mark.parametrize("limit", ["LARGEST", "SPARE"])
def test_a_state_that_there_is_no_room_for_is_left_out_and_said(
    places: tuple[Path, Path], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(sqlite3.connect(places[0] / "state.db")) as database:
        database.execute("CREATE TABLE kept (a)")
        database.executemany("INSERT INTO kept VALUES (?)", [("x" * 4000,)] * 1000)
        database.commit()
    monkeypatch.setattr(state_copy, limit, 1_000_000 if limit == "LARGEST" else 1 << 60)
    monkeypatch.setattr(state_copy, "_PAGES", 8)
    entries, _, trouble = unpacked(*places)
    assert list(entries) == ["."]
    assert "room for" in trouble
    assert list(places[1].iterdir()) == []


def test_links_lead_nowhere_and_nothing_stays_in_root_s_folder(places: tuple[Path, Path], tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "secret.db")) as database:
        database.execute("CREATE TABLE secret (a)")
    (places[0] / "state.db").symlink_to(tmp_path / "secret.db")
    (places[0] / "keepsake.jsonl").symlink_to(tmp_path / "secret.db")
    entries, _, trouble = unpacked(*places)
    assert list(entries) == ["."]
    assert "not a plain file" in trouble
    assert list(places[1].iterdir()) == []
