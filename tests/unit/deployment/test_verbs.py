"""Updates, repairs and rollbacks on an engine in memory; and a process that is killed at every single call to the engine."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.adapters.state.run_barrier import close_barrier, closed_by
from runtime.adapters.state.runs import register
from runtime.deployment import verbs
from runtime.deployment.deployment import Options
from runtime.deployment.records import RecordFile
from tests.unit.deployment.support import RUNTIME, TAG, Host, make_host
from tests.unit.state.support import make_info


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def installed(host: Host) -> Host:
    assert host.update().reason == "installed"
    return host


def test_the_first_call_installs_and_the_second_changes_nothing(host: Host) -> None:
    assert host.update().reason == "installed"
    host.assert_settled()
    assert host.update().reason == "unchanged"
    assert (host.folder / "etc/healthy_image").read_text().startswith("registry.example/proxy@sha256:")


def test_keys_without_effect_are_noted_by_apply_and_status_and_not_by_the_timer(installed: Host) -> None:
    installed.env["FLAGEEMONITOR_CONFIG_REFRESH"] = "true"
    for verb, told in {"apply": True, "status": True, "repair": False}.items():
        result = installed.run(verb)
        assert result.exit_code == 0
        assert any("FLAGEEMONITOR_CONFIG_REFRESH is of the first generation" in note for note in result.notes) is told
    installed.assert_settled()


def test_a_good_image_is_updated_to_and_the_previous_container_is_removed(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    assert installed.update().reason == "updated"
    assert installed.runs() == "2.0"
    installed.assert_settled()


@pytest.mark.parametrize("kind", ["unhealthy", "crash", "hung"])
def test_a_bad_image_is_refused_and_the_old_container_is_never_stopped(installed: Host, kind: str) -> None:
    before = installed.engine.container(RUNTIME)
    installed.engine.publish(kind, "2.0")
    result = installed.update()
    assert (result.reason, result.exit_code) == ("candidate_unhealthy", 10)
    assert installed.engine.container(RUNTIME) == before
    assert "last words" in result.log
    installed.assert_settled()


def test_an_image_that_fails_only_as_the_runtime_gives_way_to_the_previous_container(installed: Host) -> None:
    before = installed.engine.container(RUNTIME)
    installed.engine.publish("late", "2.0")
    result = installed.update()
    assert (result.reason, result.exit_code) == ("restored", 11)
    after = installed.engine.container(RUNTIME)
    assert before is not None
    assert after is not None
    assert before.id == after.id
    installed.assert_settled()


def test_without_a_previous_container_nothing_is_restored(host: Host) -> None:
    host.engine.publish("late", "1.1")
    result = host.update()
    assert (result.reason, result.exit_code) == ("broken", 12)
    assert host.status()[""] == "running"  # left for an operator to inspect


def test_a_refused_first_image_leaves_nothing_behind(host: Host) -> None:
    host.engine.publish("unhealthy", "1.1")
    assert host.update().reason == "candidate_unhealthy"
    assert host.status() == {}
    assert list((host.folder / "bin").iterdir()) == []


def test_a_changed_environment_file_is_applied_by_the_repair(installed: Host) -> None:
    installed.env = {"FLAGEEMONITOR_REDE": "other"}
    assert installed.run("status").notes[0].startswith("drift: FLAGEEMONITOR_REDE")
    result = installed.run("repair")
    assert (result.reason, installed.runs()) == ("repaired", "1.0")
    installed.assert_settled()
    assert installed.run("repair").reason == "unchanged"


def test_a_rollback_stays_until_resume(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    result = installed.run("rollback")
    assert (result.reason, installed.runs()) == ("rolled_back", "1.0")
    container = installed.engine.container(RUNTIME)
    assert container is not None
    assert "@sha256:" in container.raw["Config"]["Image"]  # Watchtower leaves it alone
    assert installed.update().reason == "pinned"
    assert installed.run("repair").reason == "unchanged"
    assert installed.run("resume").reason == "updated"
    assert installed.runs() == "2.0"
    assert RecordFile(installed.folder / "etc").records.pinned is None
    installed.assert_settled()


def test_rollback_twice_goes_further_back(installed: Host) -> None:
    for version in ("2.0", "3.0"):
        installed.engine.publish("good", version)
        installed.update()
    installed.run("rollback")
    assert installed.runs() == "2.0"
    installed.run("rollback")
    assert installed.runs() == "1.0"
    assert installed.run("rollback").reason == "no_previous"


def test_resume_to_a_tag_that_is_still_bad_keeps_the_pin(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.run("rollback")
    installed.engine.publish("late", "3.0")
    installed.engine.fetch()
    assert installed.run("resume").reason == "restored"
    assert RecordFile(installed.folder / "etc").records.pinned is not None
    assert (installed.runs(), installed.run("repair").reason) == ("1.0", "unchanged")


def test_force_removes_the_pin(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.run("rollback")
    installed.options = Options(wait=5, health_timeout=30, force=True)
    assert (installed.update().reason, installed.runs()) == ("updated", "2.0")


def test_a_rollback_pulls_an_image_that_was_cleaned_up(installed: Host) -> None:
    old = installed.engine.tags[TAG]
    installed.engine.publish("good", "2.0")
    installed.update()
    del installed.engine.images[old]
    installed.engine.registry_up = False
    result = installed.run("rollback")
    assert (result.reason, result.exit_code) == ("image_unavailable", 1)
    installed.engine.registry_up = True
    assert (installed.run("rollback").reason, installed.runs()) == ("rolled_back", "1.0")


@pytest.mark.parametrize("kind", ["unhealthy", "crash"])
def test_a_bad_image_that_watchtower_took_is_rolled_back_and_pinned(installed: Host, kind: str) -> None:
    installed.engine.publish(kind, "2.0")
    installed.watchtower_updates()
    if kind == "unhealthy":  # a crash loop is counted by the engine, anything else is looked at twice
        assert installed.run("repair").reason == "waiting"
        installed.engine.clock.sleep(300)
    result = installed.run("repair")
    assert (result.reason, installed.runs()) == ("rolled_back", "1.0")
    assert "never healthy" in result.message
    installed.assert_settled()
    last = json.loads((installed.folder / "data/deployment.json").read_text())
    assert last["last"]["reason"] == "rolled_back"
    assert last["pinned"]["reference"].startswith("registry.example/proxy@")
    assert last["behind_since"] is not None


def test_a_good_image_that_watchtower_took_is_recorded_as_healthy(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    for _ in range(3):
        assert installed.run("repair").reason == "unchanged"
        installed.engine.clock.sleep(300)
    records = RecordFile(installed.folder / "etc").records
    assert [one.version for one in records.healthy] == ["2.0", "1.0"]
    assert (installed.folder / "etc/healthy_image").read_text().strip() == records.healthy[0].reference


def test_a_starting_container_gets_time_but_not_without_limit(installed: Host) -> None:
    installed.engine.publish("hung", "2.0")
    installed.watchtower_updates()
    reasons = []
    for _ in range(5):
        reasons.append(installed.run("repair").reason)
        installed.engine.clock.sleep(300)
    assert reasons == ["waiting"] * 4 + ["rolled_back"]


def test_a_known_image_that_is_unhealthy_is_started_again_three_times_an_hour(installed: Host) -> None:
    def become_unhealthy() -> None:
        container = installed.engine.container(RUNTIME)
        assert container is not None
        installed.engine.unhealthy_ids = {container.id}

    reasons = []
    for _ in range(5):
        become_unhealthy()
        reasons.append(installed.run("repair").reason)
        installed.engine.clock.sleep(60)
    assert reasons == ["broken", "repaired", "repaired", "broken", "broken"]
    assert installed.runs() == "1.0"
    become_unhealthy()
    installed.engine.clock.sleep(3600)
    assert "attempts" not in installed.run("repair").message


@pytest.mark.parametrize("suffix", ["", "-watchtower"])
def test_a_removed_container_is_created_again(installed: Host, suffix: str) -> None:
    installed.engine.remove(RUNTIME + suffix)
    assert installed.run("repair").reason == "repaired"
    installed.assert_settled()


@pytest.mark.parametrize("suffix", ["", "-watchtower"])
def test_a_stopped_container_is_started_again(installed: Host, suffix: str) -> None:
    installed.engine.stop(RUNTIME + suffix, 1)
    assert installed.run("repair").reason == "repaired"
    installed.assert_settled()


def test_a_missing_runtime_comes_back_with_the_last_healthy_image_and_follows_the_tag(installed: Host) -> None:
    installed.engine.publish("late", "2.0")
    installed.update()
    installed.engine.remove(RUNTIME)
    assert installed.run("repair").reason == "repaired"
    container = installed.engine.container(RUNTIME)
    assert container is not None
    assert (installed.runs(), container.raw["Config"]["Image"]) == ("1.0", TAG)


def test_a_run_at_work_is_waited_for_and_never_cut(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    with register(installed.folder / "data", make_info()):
        result = installed.update()
        assert (result.reason, result.exit_code, installed.runs()) == ("run_in_progress", 75, "1.0")
        installed.assert_settled()
        installed.options = Options(wait=5, health_timeout=30, force=True)
        assert installed.update().reason == "updated"
    installed.assert_settled()


def test_no_run_may_start_until_the_new_container_is_judged(installed: Host) -> None:
    seen: list[str] = []

    def notify(step: str, text: str) -> None:
        seen.append(f"{step} {closed_by(installed.folder / 'data', installed.engine.clock.now())}")

    installed.engine.publish("good", "2.0")
    installed.engine.fetch()
    assert verbs.run(replace(installed.deployment(), notify=notify), "apply")[0].reason == "updated"
    assert [f"{step} deploy" in seen for step in ("stopped", "started", "judged")] == [True] * 3
    installed.assert_settled()


def test_a_foreign_run_barrier_is_not_lifted(installed: Host) -> None:
    close_barrier(installed.folder / "data", installed.engine.clock.now() + dt.timedelta(minutes=5))
    installed.run("repair")
    assert (installed.folder / "data/door").exists()


def test_an_unavailable_watchtower_is_reported_and_the_runtime_is_updated_nevertheless(installed: Host) -> None:
    installed.env = {"FLAGEEMONITOR_WATCHTOWER_IMAGE": "registry.example/none:1"}
    installed.engine.publish("good", "2.0")
    result = installed.update()
    assert (result.reason, result.exit_code) == ("watchtower_unavailable", 1)
    assert installed.runs() == "2.0"


def test_a_watchtower_that_ends_again_and_again_is_reported_with_its_last_lines(installed: Host) -> None:
    found = installed.engine.container(f"{RUNTIME}-watchtower")
    assert found is not None
    installed.engine.kinds[found.image_id] = "crash"
    installed.engine.restart(found.id, 1)
    result = installed.run("repair")
    assert (result.reason, result.exit_code) == ("watchtower_unavailable", 1)
    assert "it ends right after its start: last words" in result.message


def test_a_foreign_container_is_not_touched(host: Host) -> None:
    host.engine.fetch()
    host.run("apply")
    for stored in host.engine.containers.values():
        if stored.name == RUNTIME:
            stored.body["Labels"] = {"flageemonitor.role": "x"}
    before = dict(host.engine.containers)
    assert host.run("apply").reason == "failed"
    assert host.run("repair").reason == "failed"
    assert host.engine.containers == before


def test_a_foreign_volume_is_not_touched(installed: Host) -> None:
    installed.engine.volumes["proxy-candidate"] = {"mine": "yes"}
    assert installed.run("repair").reason == "unchanged"
    installed.engine.publish("good", "2.0")
    result = installed.update()
    assert (result.reason, installed.runs()) == ("failed", "1.0")
    assert "did not make" in result.message
    assert installed.engine.volumes == {"proxy-candidate": {"mine": "yes"}}


def test_a_damaged_record_file_is_moved_aside_and_reported(installed: Host) -> None:
    (installed.folder / "etc/deploy.json").write_text("{")
    result = installed.run("repair")
    assert "deploy.json.damaged" in result.notes[0]
    assert (installed.folder / "etc/deploy.json.damaged").exists()
    installed.assert_settled()


def test_an_update_that_never_came_is_reported(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.engine.clock.sleep(3600)
    installed.run("repair")
    first = RecordFile(installed.folder / "etc").records.behind_since
    assert first is not None
    installed.engine.clock.sleep(3600)
    installed.run("repair")
    assert RecordFile(installed.folder / "etc").records.behind_since == first
    installed.update()
    assert RecordFile(installed.folder / "etc").records.behind_since is None
