"""What a repair does not do at once: it observes twice, trusts nothing that lasted a moment, and does not stop runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.adapters.state.runs import register
from runtime.deployment.deployment import REPAIR_WAIT_S, Options
from runtime.deployment.health import HEALTH_COMMAND
from runtime.deployment.records import RecordFile, Records
from tests.unit.deployment.support import RUNTIME, TAG, Host, StoredContainer, make_host
from tests.unit.state.support import make_info

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def installed(tmp_path: Path) -> Host:
    host = make_host(tmp_path)
    assert host.update().reason == "installed"
    return host


def runtime_container(host: Host) -> StoredContainer:
    return host.engine._known(RUNTIME)


def records(host: Host) -> Records:
    return RecordFile(host.folder / "etc").records


def repairs(host: Host, times: int, *, before: Callable[[], None] = lambda: None) -> list[str]:
    """As the timer calls them: the reasons."""
    reasons = []
    for _ in range(times):
        before()
        reasons.append(host.run("repair").reason)
        host.engine.clock.sleep(300)
    return reasons


# -- slow is not broken --


def test_a_slow_health_check_rolls_nothing_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    installed.engine.slow_ids = {runtime_container(installed).id}
    assert repairs(installed, 4) == ["unchanged"] * 4
    assert (installed.runs(), records(installed).pinned) == ("2.0", None)


def test_a_slow_daemon_of_a_known_image_is_not_restarted(installed: Host) -> None:
    repairs(installed, 3)
    installed.engine.slow_ids = {runtime_container(installed).id}
    begin = len(installed.engine.log)
    assert repairs(installed, 4) == ["unchanged"] * 4
    assert not [call for call in installed.engine.log[begin:] if call.startswith(("restart", "stop"))]


def test_an_unhealthy_moment_between_two_repairs_rolls_nothing_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    for _ in range(3):
        installed.engine.unhealthy_ids = {runtime_container(installed).id}
        assert repairs(installed, 1) == ["waiting"]
        installed.engine.unhealthy_ids = set()
        assert repairs(installed, 1) == ["unchanged"]
    assert (installed.runs(), records(installed).pinned) == ("2.0", None)


def test_two_observations_within_a_minute_count_as_one(installed: Host) -> None:
    installed.engine.publish("unhealthy", "2.0")
    installed.watchtower_updates()
    assert [installed.run("repair").reason for _ in range(3)] == ["waiting"] * 3
    installed.engine.clock.sleep(61)
    assert installed.run("repair").reason == "rolled_back"


def test_a_clock_jump_does_not_make_a_container_older(installed: Host) -> None:
    installed.engine.publish("hung", "2.0")
    installed.watchtower_updates()
    assert installed.run("repair").reason == "waiting"
    installed.engine.clock.at += HOUR
    installed.engine.clock.sleep(61)
    assert "starting" in installed.run("repair").message
    installed.engine.clock.sleep(61)
    assert "starting" in installed.run("repair").message
    assert installed.runs() == "2.0"


def test_a_container_is_asked_by_the_health_check_of_its_own_image(installed: Host) -> None:
    installed.engine.slow_ids = {runtime_container(installed).id}
    installed.run("repair")
    image = installed.engine.images[runtime_container(installed).image_id]
    image.config["Healthcheck"] = {"Test": ["CMD", "check", "--of-another-release"]}  # type: ignore[index]
    installed.run("repair")
    assert installed.engine.probes == [HEALTH_COMMAND, ("check", "--of-another-release")]


# -- a healthy moment proves nothing --


def test_a_release_that_is_healthy_between_its_crashes_is_rolled_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()

    def ended_often() -> None:
        runtime_container(installed).restarts += 12
        runtime_container(installed).started_at = installed.engine.clock.now()

    assert installed.run("repair").reason == "unchanged"
    installed.engine.clock.sleep(300)
    assert repairs(installed, 1, before=ended_often) == ["rolled_back"]
    assert [one.version for one in records(installed).healthy] == ["1.0"]
    installed.assert_settled()


def test_a_release_that_ends_every_few_minutes_is_rolled_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()

    def ended_once() -> None:
        runtime_container(installed).restarts += 1
        runtime_container(installed).started_at = installed.engine.clock.now() - dt.timedelta(minutes=2)

    reasons = repairs(installed, 3, before=ended_once)
    assert reasons == ["unchanged", "unchanged", "rolled_back"]


def test_restarts_of_long_ago_do_not_count(installed: Host) -> None:
    repairs(installed, 3)
    runtime_container(installed).restarts = 9
    runtime_container(installed).started_at = installed.engine.clock.now() - 3 * HOUR
    assert repairs(installed, 4) == ["unchanged"] * 4


def test_an_image_is_recorded_as_healthy_after_ten_minutes_and_not_before(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    known = []
    for _ in range(4):
        installed.run("repair")
        known.append([one.version for one in records(installed).healthy])
        installed.engine.clock.sleep(200)
    assert known == [["1.0"], ["1.0"], ["1.0"], ["2.0", "1.0"]]


def test_an_image_that_is_unhealthy_now_and_then_is_never_proved(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    for _ in range(6):
        installed.engine.unhealthy_ids = {runtime_container(installed).id}
        assert repairs(installed, 1) == ["waiting"]
        installed.engine.unhealthy_ids = set()
        assert repairs(installed, 1) == ["unchanged"]
    assert [one.version for one in records(installed).healthy] == ["1.0"]


def test_an_image_that_passed_an_update_is_a_rollback_target_but_is_still_rolled_back_when_unhealthy(
    installed: Host,
) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.engine.publish("crash", "3.0")
    installed.watchtower_updates()
    assert installed.run("repair").reason == "rolled_back"
    assert installed.runs() == "2.0"
    installed.engine.clock.sleep(120)
    installed.engine.unhealthy_ids = {runtime_container(installed).id}
    assert repairs(installed, 2) == ["waiting", "rolled_back"]
    assert installed.runs() == "1.0"


def test_a_proved_image_is_restarted_and_not_rolled_back(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    assert repairs(installed, 3) == ["unchanged"] * 3
    assert all(one.proved for one in records(installed).healthy if one.version == "2.0")
    installed.engine.unhealthy_ids = {runtime_container(installed).id}
    assert repairs(installed, 3)[1:] == ["repaired", "unchanged"]
    assert installed.runs() == "2.0"


def test_an_image_that_ends_soon_after_the_update_gives_way_to_the_previous_container(installed: Host) -> None:
    before = runtime_container(installed).id
    image = installed.engine.publish("good", "2.0")
    installed.engine.fetch()
    tell = installed.engine.start

    def start(name: str) -> None:
        tell(name)
        if runtime_container(installed).image_id == image.id:
            installed.engine.kinds[image.id] = "brief"

    installed.engine.start = start  # type: ignore[method-assign]
    assert installed.run("apply").reason == "restored"
    assert (runtime_container(installed).id, installed.runs()) == (before, "1.0")
    installed.assert_settled()


def test_healthy_images_of_an_older_record_file_count_as_proved() -> None:
    text = '{"schema": 1, "healthy": [{"reference": "a@b", "image_id": "c", "at": "2026-01-01T00:00:00Z"}], "current": "c"}'
    assert Records.model_validate_json(text).proved("c")


# -- runs at work --


def test_drift_waits_for_runs_without_a_barrier_or_a_stop(installed: Host) -> None:
    installed.options = Options(wait=REPAIR_WAIT_S)
    installed.env = {"FLAGEEMONITOR_REDE": "other"}
    begin = len(installed.engine.log)
    with register(installed.folder / "data", make_info()):
        for _ in range(12):
            assert installed.run("repair").reason == "waiting"
            installed.assert_settled()
            installed.engine.clock.sleep(300)
    assert installed.engine.log[begin:] == []
    assert "runs_held" not in [step for step, _ in installed.steps]
    assert records(installed).attempts == ()
    assert repairs(installed, 2) == ["repaired", "unchanged"]


def test_a_run_that_begins_meanwhile_delays_the_repair_by_half_a_minute_and_costs_no_attempt(installed: Host) -> None:
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
    begin = installed.engine.clock.uptime
    result = installed.run("repair")
    assert (result.reason, records(installed).attempts) == ("run_in_progress", ())
    assert installed.engine.clock.uptime - begin < 60
    installed.assert_settled()
    for run in runs:
        run.__exit__(None, None, None)  # type: ignore[attr-defined]


def test_a_repair_waits_for_runs_as_long_as_its_option_says(installed: Host) -> None:
    installed.options = Options(wait=90)
    installed.env = {"TZ": "America/Sao_Paulo"}
    with register(installed.folder / "data", make_info()):
        result = installed.run("repair")
    assert (result.reason, "90 s" in result.message) == ("run_in_progress", True)


# -- nothing runs --


def test_a_missing_runtime_is_created_on_a_machine_that_is_too_slow_for_a_candidate(installed: Host) -> None:
    image = runtime_container(installed).image_id
    installed.engine.remove(RUNTIME)
    installed.engine.kinds[image] = "hung"
    result = installed.run("repair")
    assert (result.reason, result.exit_code, installed.runs()) == ("repaired", 0, "1.0")
    assert "not healthy within" in result.message
    installed.assert_settled()
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


def test_a_missing_runtime_that_only_crashes_is_reported_as_broken(installed: Host) -> None:
    installed.engine.kinds[runtime_container(installed).image_id] = "crash"
    installed.engine.remove(RUNTIME)
    result = installed.run("repair")
    assert (result.reason, result.exit_code) == ("broken", 12)
    assert "no previous container" in result.message


# -- attempts --


def test_changes_that_repairs_carried_out_do_not_keep_the_next_change_waiting(installed: Host) -> None:
    for name in ("one", "two", "three", "four", "five"):
        installed.env = {"FLAGEEMONITOR_REDE": name}
        assert repairs(installed, 1) == ["repaired"]
        assert f"FLAGEEMONITOR_REDE={name}" in runtime_container(installed).body["Env"]
    installed.engine.remove(RUNTIME)  # nor what somebody removed or stopped
    assert repairs(installed, 1) == ["repaired"]
    for _ in range(2):
        installed.engine.stop(RUNTIME, 10)
        assert repairs(installed, 1) == ["repaired"]
    installed.env = {"FLAGEEMONITOR_REDE": "six"}
    assert repairs(installed, 2) == ["repaired", "unchanged"]


def test_a_difference_that_comes_back_is_corrected_three_times_an_hour(installed: Host) -> None:
    def change() -> None:
        runtime_container(installed).body["HostConfig"]["Privileged"] = True

    assert repairs(installed, 5, before=change) == ["repaired"] * 3 + ["failed"] * 2
    installed.env = {"TZ": "America/Sao_Paulo"}  # with another one beside, it is another cause
    assert repairs(installed, 2) == ["repaired", "unchanged"]
    installed.engine.clock.sleep(3600)
    assert repairs(installed, 1, before=change) == ["repaired"]


def test_a_difference_that_replacing_does_not_remove_uses_up_the_attempts_of_every_cause(installed: Host) -> None:
    create = installed.engine.create

    def adds(name: str, body: Any) -> str:
        return create(name, {**body, "HostConfig": {**body["HostConfig"], "Privileged": True}})

    installed.engine.create = adds  # type: ignore[method-assign]
    runtime_container(installed).body["HostConfig"]["Privileged"] = True
    assert repairs(installed, 4) == ["repaired"] * 3 + ["failed"]
    installed.env = {"FLAGEEMONITOR_REDE": "other"}
    assert repairs(installed, 1) == ["failed"]
