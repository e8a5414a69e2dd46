"""The health report: what a restart would mend is a failure, everything else only a warning."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.adapters.state.meta import note_heartbeat
from runtime.adapters.state.store import State
from runtime.container import health, update_hook
from runtime.container.health import report

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    with State(folder, now=NOW) as state:
        note_heartbeat(state, pid=1, started_at=NOW, now=NOW)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "config_bot.json").write_text("{}")
    _checked(folder, NOW)
    return folder


def _checked(folder: Path, at: dt.datetime) -> None:
    (folder / "config_bot.meta.json").write_text(json.dumps({"checked_at": at.isoformat()}))


def test_a_fresh_heartbeat_and_a_confirmed_configuration_are_ok(data: Path, config: Path) -> None:
    found = report(data, config, NOW + dt.timedelta(seconds=20), None)
    assert (found["status"], found["problems"], found["warnings"]) == ("ok", [], [])


@pytest.mark.parametrize("seconds", [76, 3600, -60])
def test_a_stale_heartbeat_or_one_from_the_future_fails(data: Path, config: Path, seconds: int) -> None:
    assert report(data, config, NOW + dt.timedelta(seconds=seconds), None)["status"] == "failed"


def test_no_state_fails(tmp_path: Path, config: Path) -> None:
    assert report(tmp_path / "absent", config, NOW, None)["status"] == "failed"


def test_a_daemon_that_never_beat_fails(tmp_path: Path, config: Path) -> None:
    State(tmp_path / "data", now=NOW).close()
    assert report(tmp_path / "data", config, NOW, None)["problems"] == ["the scheduler has not begun yet"]


def test_garbage_instead_of_a_state_fails_without_a_crash(tmp_path: Path, config: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "state.db").write_bytes(os.urandom(5000))
    assert report(tmp_path / "data", config, NOW, None)["status"] == "failed"


def test_an_old_configuration_degrades_the_report_and_not_the_health(data: Path, config: Path) -> None:
    _checked(config, NOW - dt.timedelta(days=3))
    found = report(data, config, NOW, None)
    assert (found["status"], found["problems"]) == ("degraded", [])
    assert "not confirmed" in found["warnings"][0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"checked_at": 5}', "\udcff"])
def test_a_damaged_note_of_the_configuration_only_degrades(data: Path, config: Path, text: str) -> None:
    (config / "config_bot.meta.json").write_bytes(text.encode(errors="surrogateescape"))
    assert report(data, config, NOW, None)["status"] == "degraded"


def test_no_configuration_only_degrades(data: Path, tmp_path: Path) -> None:
    assert report(data, tmp_path, NOW, None)["status"] == "degraded"


def test_the_check_loads_no_slow_module(data: Path, config: Path) -> None:
    program = (
        "import sys; from runtime.container import health\n"
        "import runtime.adapters.deployment_notes, runtime.settings\n"
        "print(*{'sqlalchemy', 'alembic', 'asyncssh', 'rich', 'click'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# An earlier release's deploy asks by the older name.
@pytest.mark.parametrize("name", ["runtime.container.health", "runtime.health"])
def test_the_program_prints_one_json_line_and_exits_with_the_verdict(data: Path, config: Path, name: str) -> None:
    environ = {**os.environ, "FLAGEEMONITOR_DATA_PATH": str(data), "FLAGEEMONITOR_CONFIG_PATH": str(config)}
    done = subprocess.run([sys.executable, "-m", name], capture_output=True, env=environ, check=False)
    assert done.returncode == 1  # the heartbeat is of long ago
    assert json.loads(done.stdout)["status"] == "failed"


def test_what_hangs_is_a_failure_with_a_reason_within_the_engines_time(data: Path) -> None:
    environ = {**os.environ, "FLAGEEMONITOR_DATA_PATH": str(data)}
    hang = "import time; from runtime.container import health; health.report = lambda *_: time.sleep(300)"
    program = f"{hang}; health.ANSWER_WITHIN_S = 1.0; health.main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environ, timeout=60, check=False)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["status"] == "failed"
    assert "did not answer within 1 s" in found["problems"][0]


def test_health_and_hook_answer_before_their_callers_give_up() -> None:
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    limits = re.findall(r"--timeout=(\d+)s [^\n]*runtime\.container\.health", dockerfile)
    assert [float(limit) > health._AT_LAST_S for limit in limits] == [True]
    assert health.ANSWER_WITHIN_S < health._AT_LAST_S
    assert update_hook.ANSWER_WITHIN_S < update_hook._AT_LAST_S < 60  # Watchtower's limit, in whole minutes
