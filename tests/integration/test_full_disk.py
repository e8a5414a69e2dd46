"""A disk that takes nothing: named, told as an error, read all the same; no terminal is touched. On real small volumes."""

import contextlib
import datetime as dt
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.history import list_runs
from runtime.adapters.state.reading import ReadOnlyState
from runtime.adapters.state.store import State
from tests.e2e import daemon
from tests.harness.need import need_root
from tests.harness.workdir import workdir
from tests.integration.proxy import NETWORK, Proxy, Shop, shop, till

NOW = dt.datetime(2026, 11, 30, 15, tzinfo=dt.UTC)
FULL = StateUnavailable("state_full", "the volume is full", "free space")


@pytest.fixture(scope="module")
def tills() -> Iterator[Shop]:
    need_root("a small disk of its own")
    with workdir("full-disk-shop") as folder, shop(folder, till("one")) as found:
        yield found


@pytest.fixture
def volume(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A tmpfs of its own: 4 MB, and 64 inodes."""
    need_root("a small disk of its own")
    with workdir("full-disk") as folder:
        disk = folder / "data"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=64", "state", disk], check=True)
        yield disk


def used(tills: Shop, volume: Path) -> Proxy:
    """A proxy on the volume that has one run on record."""
    proxy = Proxy(volume.parent / "proxy", tills.document("one"))
    proxy.use_data(volume)
    assert proxy.run("test_endpoint_connection", "--all").code == 0
    return proxy


def fill(volume: Path) -> Path:
    ballast = volume / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def fill_inodes(volume: Path) -> Path:
    folder = volume / "many"
    folder.mkdir()
    with contextlib.suppress(OSError):
        for number in range(1000):
            (folder / str(number)).touch()
    return folder


def disk(said: Any) -> dict[str, str]:
    found: dict[str, str] = next(check for check in said.json if check["name"] == "disk")
    return found


@pytest.mark.parametrize(("filled", "what"), [(fill, "0.0 MB of 4.0 MB free"), (fill_inodes, "0 of 64 inodes free")])
def test_a_full_disk_is_named_and_readable_and_no_terminal_is_touched(
    filled: Any, what: str, tills: Shop, volume: Path
) -> None:
    proxy = used(tills, volume)
    filled(volume)
    met = tills.events("one")

    doctor = proxy.run("doctor", "--output", "json")
    assert doctor.code == 1
    assert disk(doctor)["status"] == "bad"
    for word in (f"the volume {volume}", what, "no run starts"):
        assert word in disk(doctor)["text"]
    (run,) = proxy.run("runs", "--output", "json").json
    assert (run["action"], run["outcomes"]) == ("test_endpoint_connection", {"ok": 1})
    assert proxy.run("runs", run["run_id"], "--output", "json").code == 0
    (reason,) = proxy.run("why", tills.name("one"), "--output", "json").json
    assert reason["outcome"] == "ok"
    for command in ("hosts", "schedule"):
        seen = proxy.run(command)
        assert (seen.code, f"the volume {volume}" in seen.stderr) == (0, True), seen
    assert proxy.run("config", "check").code == 0

    refused = proxy.run("test_endpoint_connection", "--all", "--output", "json")
    assert (refused.code, refused.json["error"]["reason"]) == (3, "state_full")
    assert f"the volume {volume} of the local state is full" in refused.json["error"]["message"]
    assert refused.json["error"]["advice"].startswith(f"free space on the volume {volume}")
    assert tills.events("one") == met


def test_a_read_only_disk_is_readable_and_reported(tills: Shop, volume: Path) -> None:
    proxy = used(tills, volume)
    subprocess.run(["mount", "-o", "remount,ro", volume], check=True)
    doctor = proxy.run("doctor", "--output", "json")
    assert (doctor.code, disk(doctor)["status"]) == (1, "bad")
    assert "not mounted read-only" in disk(doctor)["advice"]
    (run,) = proxy.run("runs", "--output", "json").json
    assert run["outcomes"] == {"ok": 1}
    assert proxy.run("test_endpoint_connection", "--all").code == 3


def test_the_daemon_waits_for_room_and_starts_when_it_is_there(tills: Shop, volume: Path) -> None:
    proxy = used(tills, volume)
    ballast = fill(volume)
    with daemon.starting(proxy) as started:
        said = started.wait("state_full")
        assert f"the volume {volume}" in said["message"]
        assert started.child.alive()
        ballast.unlink()
        started.wait("started")
        fill(volume)
        started.wait("service_failed", service="heartbeat")
        assert started.child.alive()
        assert disk(proxy.run("doctor", "--output", "json"))["status"] == "bad"


def test_rows_that_wait_without_delivery_are_a_warning(tills: Shop, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, tills.document("one"))

    def outbox() -> dict[str, str]:
        checks = proxy.run("doctor", "--output", "json").json
        found: dict[str, str] = next(check for check in checks if check["name"] == "outbox")
        return found

    assert (outbox()["status"], outbox()["text"]) == ("ok", "0 waiting, 0 delivered")
    proxy.run("test_endpoint_connection", "--all")
    assert (outbox()["status"], outbox()["text"]) == ("warning", "3 waiting, 0 delivered")
    assert "outbox --drain" in outbox()["advice"]


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    """A state whose last run is in the log only, as a killed process leaves it."""
    State(tmp_path / "live", now=NOW).close()  # its schema is in the file itself
    with (
        State(tmp_path / "live", now=NOW) as state,
        contextlib.closing(sqlite3.connect(state.folder / "state.db")) as other,
    ):
        other.execute(
            "INSERT INTO runs (run_id, correlation_id, agent_id, network, action, action_version, asked, origin, dry_run, "
            "compat_mode, params, selector, pid, hosts, state, started_at) VALUES "
            "('r', 'c', 'a', ?, 'x', '1', 'x', 'manual', 0, 'warn', '{}', '{}', 1, 0, 'finished', ?)",
            (NETWORK, NOW.isoformat()),
        )
        other.commit()
        folder = tmp_path / "left"
        folder.mkdir()
        for name in ("state.db", "state.db-wal"):
            shutil.copy(state.folder / name, folder)
    return folder


def test_results_that_are_only_in_the_write_ahead_log_are_read_too(left_behind: Path) -> None:
    before = {path.name: path.read_bytes() for path in left_behind.iterdir()}
    with ReadOnlyState(left_behind, FULL) as state:
        assert [run.run_id for run in list_runs(state, limit=5)] == ["r"]
        assert state.notices == ()
        with pytest.raises(StateUnavailable, match="the volume is full"):
            state.write(lambda connection: None)
    assert {path.name: path.read_bytes() for path in left_behind.iterdir()} == before


def test_without_room_for_a_copy_older_results_are_read_and_a_notice_says_so(
    left_behind: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(left_behind / "nowhere"))
    with ReadOnlyState(left_behind, FULL) as state:
        assert list_runs(state, limit=5) == ()
        assert "the newest results are not shown" in state.notices[0]


def test_a_folder_without_a_state_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable, match="the volume is full"):
        ReadOnlyState(tmp_path, FULL)
