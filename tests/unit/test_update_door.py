"""The door to new runs and the pre-update hook: an update waits for runs, and runs wait for an update."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contracts.ids import uuid7
from runtime.adapters.boot import boot_id
from runtime.adapters.state.run_barrier import DEPLOY, FILE, HOOK, close_barrier, closed_by, closed_until, open_barrier
from runtime.adapters.state.runs import register
from runtime.container import update_hook
from tests.unit.state import workers
from tests.unit.state.support import make_info

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
FIVE = dt.timedelta(minutes=5)


def test_a_closed_door_says_until_when(tmp_path: Path) -> None:
    close_barrier(tmp_path, NOW + FIVE)
    assert closed_until(tmp_path, NOW) == NOW + FIVE


def test_the_door_opens_when_its_time_is_over(tmp_path: Path) -> None:
    close_barrier(tmp_path, NOW + FIVE)
    assert closed_until(tmp_path, NOW + FIVE) is None


def test_an_opened_door_is_open_and_may_be_opened_again(tmp_path: Path) -> None:
    close_barrier(tmp_path, NOW + FIVE)
    open_barrier(tmp_path)
    open_barrier(tmp_path)
    assert closed_until(tmp_path, NOW) is None


def test_the_door_says_who_closed_it(tmp_path: Path) -> None:
    close_barrier(tmp_path, NOW + FIVE)
    assert closed_by(tmp_path, NOW) == HOOK
    close_barrier(tmp_path, NOW + FIVE, by=DEPLOY)
    assert (tmp_path / FILE).read_text().splitlines() == [str(int((NOW + FIVE).timestamp())), "deploy"]
    assert closed_by(tmp_path, NOW) == DEPLOY
    assert closed_by(tmp_path, NOW + FIVE) == ""


@pytest.mark.parametrize("text", ["{}", "{}\n", "{}\n\n"])
def test_a_door_that_does_not_say_who_closed_it_is_closed_all_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text.format(int((NOW + FIVE).timestamp())))
    assert (closed_until(tmp_path, NOW), closed_by(tmp_path, NOW)) == (NOW + FIVE, "")


def test_an_update_by_watchtower_waits_for_deploy_and_leaves_its_door(tmp_path: Path) -> None:
    close_barrier(tmp_path, NOW + FIVE, by=DEPLOY)
    code, message = update_hook.decide(tmp_path, NOW)
    assert (code, closed_by(tmp_path, NOW)) == (update_hook.NOT_NOW, DEPLOY)
    assert "deploy" in message


@pytest.mark.parametrize("text", ["", "\n\n", "soon", "1e99", "-5", "9" * 400, "\x00", "99999999999"])
def test_a_door_with_unreadable_content_is_open(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert closed_until(tmp_path, NOW) is None


@pytest.mark.parametrize(
    ("now", "code"),
    [
        ("2026-03-10T04:59:00+00:00", update_hook.NOT_NOW),
        ("2026-03-10T05:00:00+00:00", 0),
        ("2026-03-10T08:00:00+00:00", update_hook.NOT_NOW),
    ],
)
def test_watchtower_updates_only_inside_the_window_of_the_host_s_zone(tmp_path: Path, now: str, code: int) -> None:
    at = dt.datetime.fromisoformat(now)
    found, message = update_hook.decide(tmp_path, at, "02:00-05:00", "America/Sao_Paulo")
    assert found == code, message
    assert (closed_until(tmp_path, at) is None) is bool(code)  # runs may start while the update waits
    assert not code or "updates are taken from 02:00-05:00 (America/Sao_Paulo)" in message


def test_a_run_is_waited_for_inside_the_window_too(tmp_path: Path) -> None:
    with register(tmp_path, make_info()):
        assert update_hook.decide(tmp_path, NOW, "00:00-23:59", "UTC")[0] == update_hook.NOT_NOW


@pytest.mark.parametrize(("window", "zone"), [("night", "UTC"), ("02:00-05:00", "Nowhere/There")])
def test_a_window_that_cannot_be_read_keeps_updates_away(tmp_path: Path, window: str, zone: str) -> None:
    environment = {
        **os.environ,
        "FLAGEEMONITOR_DATA_PATH": str(tmp_path),
        "FLAGEEMONITOR_UPDATE_WINDOW": window,
        "TZ": zone,
    }
    asked = [sys.executable, "-m", "runtime.container.update_hook"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.startswith("not now: ")) == (update_hook.NOT_NOW, True), done


def test_another_user_may_read_the_door(tmp_path: Path) -> None:
    close_barrier(tmp_path, NOW + FIVE)
    assert (tmp_path / FILE).stat().st_mode & 0o044 == 0o044


def test_without_runs_the_update_may_go_on_and_the_door_is_closed(tmp_path: Path) -> None:
    (tmp_path / update_hook.HOLD).write_text('{"since": "2026-03-10T01:00:00+00:00", "runs": []}')
    code, message = update_hook.decide(tmp_path, NOW)
    assert (code, closed_until(tmp_path, NOW)) == (0, NOW + update_hook.CLOSED_FOR)
    assert "five minutes" in message
    assert not (tmp_path / update_hook.HOLD).exists()


def test_a_registered_run_holds_the_update_and_the_door_stays_open(tmp_path: Path) -> None:
    info = make_info()
    with register(tmp_path, info):
        code, message = update_hook.decide(tmp_path, NOW)
    assert (code, closed_until(tmp_path, NOW)) == (update_hook.NOT_NOW, None)
    assert info.run_id in message


def test_a_hold_is_noted_from_its_beginning_on(tmp_path: Path) -> None:
    with register(tmp_path, make_info()):
        update_hook.decide(tmp_path, NOW)
        update_hook.decide(tmp_path, NOW + dt.timedelta(hours=7))
    assert json.loads((tmp_path / update_hook.HOLD).read_text())["since"] == NOW.isoformat()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"since": 5}', "null"])
def test_a_damaged_note_of_a_hold_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / update_hook.HOLD).write_text(text)
    with register(tmp_path, make_info()):
        update_hook.decide(tmp_path, NOW)
    assert json.loads((tmp_path / update_hook.HOLD).read_text())["since"] in (NOW.isoformat(), "5")


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    info = make_info()
    with register(tmp_path, info):
        left = (tmp_path / "runs" / f"{info.run_id}.lock").read_bytes()
    (tmp_path / "runs" / f"{info.run_id}.lock").write_bytes(left)
    assert update_hook.decide(tmp_path, NOW)[0] == 0


def test_an_image_that_was_refused_here_is_not_installed_again(tmp_path: Path) -> None:
    at = NOW.isoformat()
    tag = {"digest": "sha256:bb", "at": at, "known_at": at, "error": ""}
    report = {"at": at, "image": "registry.example/proxy:stable", "tag": tag, "refused": ["sha256:bb"]}
    (tmp_path / "deployment.json").write_text(json.dumps(report))
    (tmp_path / update_hook.HOLD).write_text(json.dumps({"since": at, "runs": []}))
    code, message = update_hook.decide(tmp_path, NOW)
    assert (code, closed_until(tmp_path, NOW)) == (update_hook.NOT_NOW, None)
    assert "refused" in message
    assert not (tmp_path / update_hook.HOLD).exists()
    assert update_hook.decide(tmp_path, NOW + dt.timedelta(hours=2))[0] == 0
    report["tag"] = {**tag, "digest": "sha256:cc"}
    (tmp_path / "deployment.json").write_text(json.dumps(report))
    assert update_hook.decide(tmp_path, NOW)[0] == 0


def hook(data: Path, before: str = "") -> tuple[int, str, float]:
    """The hook as a program, after some Python: its exit code, its words, and how long it took."""
    code = f"from runtime.container import update_hook\n{before}\nupdate_hook.main()"
    environ = {**os.environ, "FLAGEEMONITOR_DATA_PATH": str(data)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    return done.returncode, done.stdout, time.monotonic() - began


def test_a_hook_that_fails_answers_not_now(tmp_path: Path) -> None:
    code, said, _ = hook(tmp_path / "absent")
    assert code == update_hook.NOT_NOW
    assert "not now" in said


def test_a_check_that_hangs_answers_not_now_within_the_hooks_time(tmp_path: Path) -> None:
    hang = "import time; update_hook.decide = lambda *_: time.sleep(300)"
    code, said, took = hook(tmp_path, f"{hang}; update_hook.ANSWER_WITHIN_S = 1.0")
    assert code == update_hook.NOT_NOW
    assert "no answer within 1 s" in said
    assert took < 60


def test_a_hook_whose_interpreter_hangs_ends_without_an_update(tmp_path: Path) -> None:
    hold = "import ctypes; update_hook.decide = lambda *_: ctypes.PyDLL(None).sleep(50)\n"  # sleeps without letting go of it
    code, _, took = hook(tmp_path, f"{hold}update_hook.ANSWER_WITHIN_S, update_hook._AT_LAST_S = 0.5, 1.5")
    assert code == 1
    assert took < 20


def test_a_run_past_its_deadline_holds_no_update_and_is_killed(tmp_path: Path) -> None:
    process, pipe = workers.start(workers.hold_run, tmp_path, uuid7(), -1.0)
    assert pipe.recv() == "registered"
    assert process.pid
    os.kill(process.pid, signal.SIGSTOP)  # it hears no other signal any more
    code, message = update_hook.decide(tmp_path, NOW)
    assert (code, closed_until(tmp_path, NOW)) == (0, NOW + update_hook.CLOSED_FOR)
    assert "past its deadline and was killed" in message
    process.join(20)
    assert process.exitcode == -signal.SIGKILL


def test_a_run_within_its_deadline_holds_an_update_beside_one_that_hangs(tmp_path: Path) -> None:
    process, pipe = workers.start(workers.hold_run, tmp_path, uuid7(), -1.0)
    assert pipe.recv() == "registered"
    info = make_info()
    with register(tmp_path, info, 3600):
        code, message = update_hook.decide(tmp_path, NOW)
    assert (code, closed_until(tmp_path, NOW)) == (update_hook.NOT_NOW, None)
    assert info.run_id in message
    process.join(20)


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"ends_by": None},
        {"ends_by": "soon", "boot": boot_id()},
        {"ends_by": 1.0, "boot": "another"},
        {"ends_by": True},
    ],
    ids=str,
)
def test_a_run_whose_end_is_not_known_is_waited_for(tmp_path: Path, words: dict[str, object]) -> None:
    info = make_info()
    with register(tmp_path, info, -1.0):
        path = tmp_path / "runs" / f"{info.run_id}.lock"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**{k: v for k, v in content.items() if k not in ("ends_by", "boot")}, **words}))
        assert update_hook.decide(tmp_path, NOW)[0] == update_hook.NOT_NOW


def test_when_a_run_and_an_update_start_together_one_waits(tmp_path: Path) -> None:
    """In any order: a run never continues while the update was allowed to continue."""
    now = dt.datetime.now(dt.UTC)
    for _ in range(200):
        open_barrier(tmp_path)
        ran = threading.Event()
        over = threading.Event()

        def run(ran: threading.Event = ran, over: threading.Event = over) -> None:
            with register(tmp_path, make_info()):
                if closed_until(tmp_path, now) is None:
                    ran.set()
                    over.wait(5)

        thread = threading.Thread(target=run)
        thread.start()
        code, _ = update_hook.decide(tmp_path, now)
        both = code == 0 and ran.wait(0.005)
        over.set()
        thread.join()
        assert not both
