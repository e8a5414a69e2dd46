"""The demo in the background stops its own processes and no others, whatever became of their numbers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import background
from demo.background import Record, boot_id, started_at


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A program that does nothing for a while."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as running:
        yield running
        running.kill()


def recorded(home: Path, pid: int, ticks: int | None, boot: str = "", *, complete: bool = True) -> Record:
    """The record of a demo with one process."""
    record = Record(
        boot or boot_id(), "2026-03-10 23:00:00", complete=complete, processes={"terminals": (pid, ticks or 0)}
    )
    (home / "up").mkdir(parents=True)
    (home / "up" / "processes.json").write_text(json.dumps(dataclasses.asdict(record)), encoding="utf-8")
    return record


def test_down_stops_what_was_recorded_and_removes_its_files(
    tmp_path: Path, process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert recorded(tmp_path, process.pid, started_at(process.pid)).runs
    assert background.down(tmp_path) == 0
    assert process.wait(10) != 0
    assert not (tmp_path / "up").exists()
    assert "The demo is stopped (terminals)" in capsys.readouterr().out


def test_down_leaves_a_program_alone_that_only_has_the_recorded_number(
    tmp_path: Path, process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = started_at(process.pid)
    assert ticks is not None
    assert not recorded(tmp_path, process.pid, ticks - 1).runs
    assert background.down(tmp_path) == 0
    assert process.poll() is None
    assert f"process {process.pid} is no longer the demo's; it was left alone" in capsys.readouterr().out


def test_a_record_from_before_a_restart_of_the_machine_is_recognised(
    tmp_path: Path, process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not recorded(tmp_path, process.pid, started_at(process.pid), "another boot").runs
    assert background.attempt(tmp_path, ["diagnose_env"]) == background.NOT_RUNNING
    assert background.down(tmp_path) == 0
    assert process.poll() is None
    assert "ended when this machine was restarted" in capsys.readouterr().out


def test_a_demo_that_ended_or_never_came_up_whole_does_not_count_as_running(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    assert not recorded(tmp_path / "half", process.pid, started_at(process.pid), complete=False).runs
    gone = subprocess.Popen([sys.executable, "-c", ""])
    ticks = started_at(gone.pid)
    gone.wait()
    assert not recorded(tmp_path / "ended", gone.pid, ticks).runs


def test_up_starts_nothing_while_the_demo_runs(
    tmp_path: Path, process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path, process.pid, started_at(process.pid))
    assert background.up(tmp_path) == 0
    assert "The demo is running already, since 2026-03-10 23:00:00" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"processes": {"a": 1}}', '{"processes": {}, "x": 1}'])
def test_a_record_that_cannot_be_read_is_no_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "processes.json").write_text(content, encoding="utf-8")
    assert background.read(tmp_path) is None


def test_try_and_down_say_that_there_is_no_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert background.attempt(tmp_path, ["diagnose_env"]) == background.NOT_RUNNING
    assert background.down(tmp_path) == 0
    said = capsys.readouterr()
    assert "make demo-up" in said.err
    assert said.out == "The demo is not running.\n"
