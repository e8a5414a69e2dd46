"""What a repair does not do at once: it looks twice, believes nothing that lasted a moment, and leaves runs at work alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.adapters.state.runs import register
from runtime.deployment.deployment import REPAIR_WAIT_S, Options
from runtime.deployment.facts import Condition, Container
from runtime.deployment.records import Memory, Records
from runtime.deployment.sights import Sight, age, confirmed, found, restarted, seen_again
from tests.unit.deployment.support import RUNTIME, TAG, Box, Host, make_host
from tests.unit.state.support import make_info

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def installed(tmp_path: Path) -> Host:
    host = make_host(tmp_path)
    assert host.update().reason == "installed"
    return host


def box(host: Host) -> Box:
    return host.engine._known(RUNTIME)


def records(host: Host) -> Records:
    return Memory(host.folder / "etc").records


def repairs(host: Host, times: int, *, before: Callable[[], None] = lambda: None) -> list[str]:
    """As the timer calls them: the reasons."""
    reasons = []
    for _ in range(times):
        before()
        reasons.append(host.run("repair").reason)
        host.engine.pace.sleep(300)
    return reasons


# -- slow is not broken --


def test_a_slow_health_check_rolls_nothing_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    installed.engine.slow = {box(installed).id}
    assert repairs(installed, 4) == ["unchanged"] * 4
    assert (installed.runs(), records(installed).pinned) == ("2.0", None)


def test_a_slow_daemon_of_a_known_image_is_not_restarted(installed: Host) -> None:
    repairs(installed, 3)
    installed.engine.slow = {box(installed).id}
    begin = len(installed.engine.log)
    assert repairs(installed, 4) == ["unchanged"] * 4
    assert not [call for call in installed.engine.log[begin:] if call.startswith(("restart", "stop"))]


def test_an_ailment_that_passes_between_two_repairs_rolls_nothing_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    for _ in range(3):
        installed.engine.ailing = {box(installed).id}
        assert repairs(installed, 1) == ["waiting"]
        installed.engine.ailing = set()
        assert repairs(installed, 1) == ["unchanged"]
    assert (installed.runs(), records(installed).pinned) == ("2.0", None)


def test_two_looks_within_a_minute_are_one(installed: Host) -> None:
    installed.engine.publish("unhealthy", "2.0")
    installed.watchtower_updates()
    assert [installed.run("repair").reason for _ in range(3)] == ["waiting"] * 3
    installed.engine.pace.sleep(61)
    assert installed.run("repair").reason == "rolled_back"


def test_a_clock_that_jumps_makes_no_container_old(installed: Host) -> None:
    installed.engine.publish("hung", "2.0")
    installed.watchtower_updates()
    assert installed.run("repair").reason == "waiting"
    installed.engine.pace.at += HOUR
    installed.engine.pace.sleep(61)
    assert "starting" in installed.run("repair").message
    installed.engine.pace.sleep(61)
    assert "starting" in installed.run("repair").message
    assert installed.runs() == "2.0"


# -- a healthy moment proves nothing --


def test_a_release_that_is_healthy_between_its_crashes_is_rolled_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()

    def ended_often() -> None:
        box(installed).restarts += 12
        box(installed).started_at = installed.engine.pace.now()

    assert installed.run("repair").reason == "unchanged"
    installed.engine.pace.sleep(300)
    assert repairs(installed, 1, before=ended_often) == ["rolled_back"]
    assert [one.version for one in records(installed).healthy] == ["1.0"]
    installed.settled()


def test_a_release_that_ends_every_few_minutes_is_found_out(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()

    def ended_once() -> None:
        box(installed).restarts += 1
        box(installed).started_at = installed.engine.pace.now() - dt.timedelta(minutes=2)

    reasons = repairs(installed, 3, before=ended_once)
    assert reasons == ["unchanged", "unchanged", "rolled_back"]


def test_a_runtime_that_ended_long_ago_is_as_good_as_any(installed: Host) -> None:
    repairs(installed, 3)
    box(installed).restarts = 9
    box(installed).started_at = installed.engine.pace.now() - 3 * HOUR
    assert repairs(installed, 4) == ["unchanged"] * 4


def test_an_image_is_remembered_after_ten_minutes_and_not_before(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    known = []
    for _ in range(4):
        installed.run("repair")
        known.append([one.version for one in records(installed).healthy])
        installed.engine.pace.sleep(200)
    assert known == [["1.0"], ["1.0"], ["1.0"], ["2.0", "1.0"]]


def test_an_image_that_ails_every_now_and_then_never_proves_itself(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    for _ in range(6):
        installed.engine.ailing = {box(installed).id}
        assert repairs(installed, 1) == ["waiting"]
        installed.engine.ailing = set()
        assert repairs(installed, 1) == ["unchanged"]
    assert [one.version for one in records(installed).healthy] == ["1.0"]


def test_after_an_update_the_image_counts_for_a_rollback_and_is_left_all_the_same_when_it_ails(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.engine.publish("crash", "3.0")
    installed.watchtower_updates()
    assert installed.run("repair").reason == "rolled_back"
    assert installed.runs() == "2.0"
    installed.engine.pace.sleep(120)
    installed.engine.ailing = {box(installed).id}
    assert repairs(installed, 2) == ["waiting", "rolled_back"]
    assert installed.runs() == "1.0"


def test_an_image_that_proved_itself_is_kept(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    assert repairs(installed, 3) == ["unchanged"] * 3
    assert all(one.proved for one in records(installed).healthy if one.version == "2.0")
    installed.engine.ailing = {box(installed).id}
    assert repairs(installed, 3)[1:] == ["repaired", "unchanged"]
    assert installed.runs() == "2.0"


def test_an_image_that_ends_soon_after_the_swap_is_gone_back_from(installed: Host) -> None:
    before = box(installed).id
    image = installed.engine.publish("good", "2.0")
    installed.engine.fetch()
    tell = installed.engine.start

    def start(name: str) -> None:
        tell(name)
        if box(installed).image_id == image.id:
            installed.engine.kinds[image.id] = "brief"

    installed.engine.start = start  # type: ignore[method-assign]
    assert installed.run("apply").reason == "restored"
    assert (box(installed).id, installed.runs()) == (before, "1.0")
    installed.settled()


def test_a_memory_of_before_is_trusted() -> None:
    text = '{"schema": 1, "healthy": [{"reference": "a@b", "image_id": "c", "at": "2026-01-01T00:00:00Z"}], "current": "c"}'
    assert Records.model_validate_json(text).proved("c")


# -- runs at work --


def test_drift_waits_for_runs_without_closing_the_door_or_stopping_anything(installed: Host) -> None:
    installed.options = Options(wait=REPAIR_WAIT_S)
    installed.env = {"FLAGEEMONITOR_REDE": "other"}
    begin = len(installed.engine.log)
    with register(installed.folder / "data", make_info()):
        for _ in range(12):
            assert installed.run("repair").reason == "waiting"
            installed.settled()
            installed.engine.pace.sleep(300)
    assert installed.engine.log[begin:] == []
    assert "door_closed" not in [step for step, _ in installed.said]
    assert records(installed).attempts == ()
    assert repairs(installed, 2) == ["repaired", "unchanged"]


def test_a_run_that_begins_meanwhile_costs_half_a_minute_and_no_attempt(installed: Host) -> None:
    installed.options = Options(wait=REPAIR_WAIT_S)
    installed.env = {"FLAGEEMONITOR_REDE": "other"}
    data, put = installed.folder / "data", installed.engine.put
    with register(data / "elsewhere", make_info()):
        pass
    runs: list[object] = []

    def begins(name: str, path: str, archive: object) -> None:
        run = register(data, make_info())
        run.__enter__()
        runs.append(run)
        put(name, path, archive)  # type: ignore[arg-type]

    installed.engine.put = begins  # type: ignore[method-assign]
    begin = installed.engine.pace.uptime
    result = installed.run("repair")
    assert (result.reason, records(installed).attempts) == ("run_in_progress", ())
    assert installed.engine.pace.uptime - begin < 60
    installed.settled()
    for run in runs:
        run.__exit__(None, None, None)  # type: ignore[attr-defined]


def test_whoever_asks_a_repair_to_wait_is_obeyed(installed: Host) -> None:
    installed.options = Options(wait=90)
    installed.env = {"TZ": "America/Sao_Paulo"}
    with register(installed.folder / "data", make_info()):
        result = installed.run("repair")
    assert (result.reason, "90 s" in result.message) == ("run_in_progress", True)


# -- nothing runs --


def test_a_missing_runtime_is_made_on_a_machine_that_is_too_slow_for_a_candidate(installed: Host) -> None:
    image = box(installed).image_id
    installed.engine.remove(RUNTIME)
    installed.engine.kinds[image] = "hung"
    result = installed.run("repair")
    assert (result.reason, result.exit_code, installed.runs()) == ("repaired", 0, "1.0")
    assert "not healthy within" in result.message
    installed.settled()
    assert installed.run("repair").reason == "waiting"
    installed.engine.kinds[image] = "good"
    assert installed.run("repair").reason == "unchanged"


def test_a_missing_runtime_whose_new_image_is_refused_comes_back_with_the_last_healthy_one(installed: Host) -> None:
    installed.engine.publish("unhealthy", "2.0", f"{TAG}-2")
    installed.env = {"FLAGEEMONITOR_IMAGE": f"{TAG}-2"}
    installed.engine.remove(RUNTIME)
    result = installed.run("repair")
    assert (result.reason, installed.runs()) == ("repaired", "1.0")
    assert "candidate_unhealthy" in result.notes[0]


def test_a_missing_runtime_that_only_crashes_is_said_as_it_is(installed: Host) -> None:
    installed.engine.kinds[box(installed).image_id] = "crash"
    installed.engine.remove(RUNTIME)
    result = installed.run("repair")
    assert (result.reason, result.exit_code) == ("broken", 12)
    assert "no previous container" in result.message


# -- sights --


def seen(minutes: float, restarts: int = 0, name: str = "c") -> Container:
    return Container(
        name, "proxy", "sha256:aa", "running", restarts=restarts, started_at=NOW - dt.timedelta(minutes=minutes)
    )


def test_age_is_what_the_clock_says_as_far_as_it_was_watched() -> None:
    container = seen(60)
    sight = seen_again(None, container, NOW, 1000)
    assert age(sight, container, NOW, 1000) == dt.timedelta(minutes=5)
    assert age(sight, container, NOW, 1600) == dt.timedelta(minutes=15)
    assert age(sight, seen(-60), NOW, 1060) == dt.timedelta(minutes=1)


def test_a_new_container_a_new_start_and_a_host_that_started_anew_are_watched_from_now_on() -> None:
    sight = seen_again(None, seen(60), NOW, 1000)
    assert seen_again(sight, seen(60), NOW, 2000).since == 1000
    assert seen_again(sight, seen(1), NOW, 2000).since == 2000
    assert seen_again(sight, seen(60, name="d"), NOW, 2000).since == 2000
    assert seen_again(sight, seen(60), NOW, 50).since == 50


@pytest.mark.parametrize(
    ("before", "container", "uptime", "times"),
    [
        (None, seen(1, 4), 1000.0, 4),
        (None, seen(90, 4), 1000.0, 0),
        (seen(90, 4), seen(1, 6), 2000.0, 2),
        (seen(90, 4), seen(1, 1), 2000.0, 1),
        (seen(90, 4), seen(1, 9), 5000.0, 0),
    ],
    ids=["young", "old", "since", "counted anew", "an hour later"],
)
def test_ends_are_counted_within_an_hour(
    before: Container | None, container: Container, uptime: float, times: int
) -> None:
    sight: Sight | None = seen_again(None, before, NOW, 1000) if before else None
    assert restarted(seen_again(sight, container, NOW, uptime), container) == times


def test_a_finding_is_confirmed_by_a_later_one_and_forgotten_with_a_good_one() -> None:
    sight = found(seen_again(None, seen(1), NOW, 1000), Condition.UNHEALTHY, 1000)
    assert not confirmed(sight, 1030)
    assert confirmed(found(sight, Condition.LOOPING, 1090), 1090)
    assert not confirmed(found(found(sight, Condition.HEALTHY, 1090), Condition.UNHEALTHY, 1100), 1100)
