"""Updates, repairs and rollbacks on an engine in memory; and a process that is killed at every single call to the engine."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.adapters.state.door import close_door, closed_by
from runtime.adapters.state.runs import register
from runtime.deployment import verbs
from runtime.deployment.deployment import Options
from runtime.deployment.records import Memory
from tests.unit.deployment.support import RUNTIME, TAG, Host, Killed, make_host
from tests.unit.state.support import make_info


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def installed(host: Host) -> Host:
    assert host.update().reason == "installed"
    return host


def test_the_first_call_installs_and_the_second_finds_nothing_to_do(host: Host) -> None:
    assert host.update().reason == "installed"
    host.settled()
    assert host.update().reason == "unchanged"
    assert (host.folder / "etc/healthy_image").read_text().startswith("registry.example/proxy@sha256:")


def test_keys_that_have_no_effect_are_told_to_who_asks_and_not_to_the_timer(installed: Host) -> None:
    installed.env["FLAGEEMONITOR_CONFIG_REFRESH"] = "true"
    for verb, told in {"apply": True, "status": True, "repair": False}.items():
        result = installed.run(verb)
        assert result.exit_code == 0
        assert any("FLAGEEMONITOR_CONFIG_REFRESH is of the first generation" in note for note in result.notes) is told
    installed.settled()


def test_a_good_image_takes_over_and_the_previous_container_is_gone(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    assert installed.update().reason == "updated"
    assert installed.runs() == "2.0"
    installed.settled()


@pytest.mark.parametrize("kind", ["unhealthy", "crash", "hung"])
def test_a_bad_image_is_refused_and_the_old_container_never_stopped(installed: Host, kind: str) -> None:
    before = installed.engine.container(RUNTIME)
    installed.engine.publish(kind, "2.0")
    result = installed.update()
    assert (result.reason, result.exit_code) == ("candidate_unhealthy", 10)
    assert installed.engine.container(RUNTIME) == before
    assert "last words" in result.log
    installed.settled()


def test_an_image_that_fails_only_as_the_real_one_gives_way_to_the_previous(installed: Host) -> None:
    before = installed.engine.container(RUNTIME)
    installed.engine.publish("late", "2.0")
    result = installed.update()
    assert (result.reason, result.exit_code) == ("restored", 11)
    after = installed.engine.container(RUNTIME)
    assert before is not None
    assert after is not None
    assert before.id == after.id
    installed.settled()


def test_without_a_previous_one_nothing_is_restored(host: Host) -> None:
    host.engine.publish("late", "1.1")
    result = host.update()
    assert (result.reason, result.exit_code) == ("broken", 12)
    assert host.status()[""] == "running"  # for whoever wants to look at it


def test_a_first_image_that_is_refused_leaves_nothing_behind(host: Host) -> None:
    host.engine.publish("unhealthy", "1.1")
    assert host.update().reason == "candidate_unhealthy"
    assert host.status() == {}
    assert list((host.folder / "bin").iterdir()) == []


def test_a_change_of_the_environment_file_goes_through_the_same_gate(installed: Host) -> None:
    installed.env = {"FLAGEEMONITOR_REDE": "other"}
    assert installed.run("status").notes[0].startswith("drift: FLAGEEMONITOR_REDE")
    result = installed.run("repair")
    assert (result.reason, installed.runs()) == ("repaired", "1.0")
    installed.settled()
    assert installed.run("repair").reason == "unchanged"


def test_rollback_goes_back_and_stays_until_resume(installed: Host) -> None:
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
    assert Memory(installed.folder / "etc").records.pinned is None
    installed.settled()


def test_rollback_twice_goes_further_back(installed: Host) -> None:
    for version in ("2.0", "3.0"):
        installed.engine.publish("good", version)
        installed.update()
    installed.run("rollback")
    assert installed.runs() == "2.0"
    installed.run("rollback")
    assert installed.runs() == "1.0"
    assert installed.run("rollback").reason == "no_previous"


def test_resume_to_a_tag_that_is_still_bad_leaves_the_pin(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.run("rollback")
    installed.engine.publish("late", "3.0")
    installed.engine.fetch()
    assert installed.run("resume").reason == "restored"
    assert Memory(installed.folder / "etc").records.pinned is not None
    assert (installed.runs(), installed.run("repair").reason) == ("1.0", "unchanged")


def test_force_takes_the_pin_away(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.update()
    installed.run("rollback")
    installed.options = Options(wait=5, health_timeout=30, force=True)
    assert (installed.update().reason, installed.runs()) == ("updated", "2.0")


def test_the_previous_image_is_pulled_again_when_it_was_cleaned_away(installed: Host) -> None:
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
        installed.engine.pace.sleep(300)
    result = installed.run("repair")
    assert (result.reason, installed.runs()) == ("rolled_back", "1.0")
    assert "never healthy" in result.message
    installed.settled()
    last = json.loads((installed.folder / "data/deployment.json").read_text())
    assert last["last"]["reason"] == "rolled_back"
    assert last["pinned"]["reference"].startswith("registry.example/proxy@")
    assert last["behind_since"] is not None


def test_a_good_image_that_watchtower_took_is_remembered(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.watchtower_updates()
    for _ in range(3):
        assert installed.run("repair").reason == "unchanged"
        installed.engine.pace.sleep(300)
    records = Memory(installed.folder / "etc").records
    assert [one.version for one in records.healthy] == ["2.0", "1.0"]
    assert (installed.folder / "etc/healthy_image").read_text().strip() == records.healthy[0].reference


def test_a_container_that_starts_is_given_time_but_not_for_ever(installed: Host) -> None:
    installed.engine.publish("hung", "2.0")
    installed.watchtower_updates()
    reasons = []
    for _ in range(5):
        reasons.append(installed.run("repair").reason)
        installed.engine.pace.sleep(300)
    assert reasons == ["waiting"] * 4 + ["rolled_back"]


def test_a_known_image_that_ails_is_started_again_three_times_an_hour(installed: Host) -> None:
    def ail() -> None:
        container = installed.engine.container(RUNTIME)
        assert container is not None
        installed.engine.ailing = {container.id}

    reasons = []
    for _ in range(5):
        ail()
        reasons.append(installed.run("repair").reason)
        installed.engine.pace.sleep(60)
    assert reasons == ["broken", "repaired", "repaired", "broken", "broken"]
    assert installed.runs() == "1.0"
    ail()
    installed.engine.pace.sleep(3600)
    assert "attempts" not in installed.run("repair").message


@pytest.mark.parametrize("suffix", ["", "-watchtower"])
def test_what_was_removed_is_made_again(installed: Host, suffix: str) -> None:
    installed.engine.remove(RUNTIME + suffix)
    assert installed.run("repair").reason == "repaired"
    installed.settled()


@pytest.mark.parametrize("suffix", ["", "-watchtower"])
def test_what_was_stopped_is_started_again(installed: Host, suffix: str) -> None:
    installed.engine.stop(RUNTIME + suffix, 1)
    assert installed.run("repair").reason == "repaired"
    installed.settled()


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
        installed.settled()
        installed.options = Options(wait=5, health_timeout=30, force=True)
        assert installed.update().reason == "updated"
    installed.settled()


def test_the_door_is_deploy_s_own_until_the_new_container_is_judged(installed: Host) -> None:
    doors: list[str] = []
    site = installed.site()

    def tell(step: str, text: str) -> None:
        doors.append(f"{step} {closed_by(installed.folder / 'data', installed.engine.pace.now())}")

    installed.engine.publish("good", "2.0")
    installed.engine.fetch()
    assert verbs.run(replace(site, tell=tell), "apply")[0].reason == "updated"
    assert [f"{step} deploy" in doors for step in ("stopped", "started", "judged")] == [True] * 3
    installed.settled()


def test_a_door_that_somebody_else_closed_stays_closed(installed: Host) -> None:
    close_door(installed.folder / "data", installed.engine.pace.now() + dt.timedelta(minutes=5))
    installed.run("repair")
    assert (installed.folder / "data/door").exists()


def test_watchtower_that_cannot_be_had_is_said_and_the_runtime_is_updated_all_the_same(installed: Host) -> None:
    installed.env = {"FLAGEEMONITOR_WATCHTOWER_IMAGE": "registry.example/none:1"}
    installed.engine.publish("good", "2.0")
    result = installed.update()
    assert (result.reason, result.exit_code) == ("watchtower_unavailable", 1)
    assert installed.runs() == "2.0"


def test_a_container_of_somebody_else_is_not_touched(host: Host) -> None:
    host.engine.fetch()
    host.run("apply")
    for box in host.engine.boxes.values():
        if box.name == RUNTIME:
            box.body["Labels"] = {"flageemonitor.role": "x"}
    before = dict(host.engine.boxes)
    assert host.run("apply").reason == "failed"
    assert host.run("repair").reason == "failed"
    assert host.engine.boxes == before


def test_a_volume_of_somebody_else_is_not_touched(installed: Host) -> None:
    installed.engine.volumes["proxy-candidate"] = {"mine": "yes"}
    assert installed.run("repair").reason == "unchanged"
    installed.engine.publish("good", "2.0")
    result = installed.update()
    assert (result.reason, installed.runs()) == ("failed", "1.0")
    assert "did not make" in result.message
    assert installed.engine.volumes == {"proxy-candidate": {"mine": "yes"}}


def test_a_damaged_memory_is_moved_aside_and_said(installed: Host) -> None:
    (installed.folder / "etc/deploy.json").write_text("{")
    result = installed.run("repair")
    assert "deploy.json.damaged" in result.notes[0]
    assert (installed.folder / "etc/deploy.json.damaged").exists()
    installed.settled()


def test_an_update_that_never_came_is_visible(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    installed.engine.pace.sleep(3600)
    installed.run("repair")
    first = Memory(installed.folder / "etc").records.behind_since
    assert first is not None
    installed.engine.pace.sleep(3600)
    installed.run("repair")
    assert Memory(installed.folder / "etc").records.behind_since == first
    installed.update()
    assert Memory(installed.folder / "etc").records.behind_since is None


# -- killed at every call --


def _update(host: Host) -> None:
    host.engine.publish("good", "2.0")
    host.update()


def _update_that_fails(host: Host) -> None:
    host.engine.publish("late", "2.0")
    host.update()


def _refused(host: Host) -> None:
    host.engine.publish("unhealthy", "2.0")
    host.update()


def _rollback(host: Host) -> None:
    host.run("rollback")


def _auto_rollback(host: Host) -> None:
    host.engine.publish("crash", "9.0")
    host.watchtower_updates()
    host.run("repair")


def _drift(host: Host) -> None:
    host.env = {"TZ": "America/Sao_Paulo"}
    host.run("repair")


def _missing(host: Host) -> None:
    host.engine.boxes = {key: box for key, box in host.engine.boxes.items() if box.name != RUNTIME}
    host.run("repair")


SCENARIOS: dict[str, tuple[Callable[[Host], None], set[str]]] = {
    "update": (_update, {"1.0", "2.0"}),
    "update_that_fails": (_update_that_fails, {"1.0"}),
    "refused": (_refused, {"1.0"}),
    "rollback": (_rollback, {"1.0", "0.9"}),
    "auto_rollback": (_auto_rollback, {"1.0", "0.9"}),
    "drift": (_drift, {"1.0"}),
    "missing": (_missing, {"1.0"}),
}


def _ready(folder: Path) -> Host:
    """Installed, with a history of one more image."""
    host = make_host(folder)
    host.engine.publish("good", "0.9")
    host.update()
    host.engine.publish("good", "1.0")
    host.update()
    return host


def _killed_at(host: Host, work: Callable[[Host], None], number: int, *, after: bool) -> bool:
    """Whether it came so far."""
    engine = host.engine
    engine.die_at, engine.die_after = engine.calls + number, after
    try:
        work(host)
    except Killed:
        return True
    finally:
        engine.die_at = None
    return False


@pytest.mark.parametrize(
    ("name", "after", "reboot"),
    [
        *((name, after, False) for name in SCENARIOS for after in (False, True)),
        *((name, True, True) for name in ("update", "update_that_fails")),
    ],
)
def test_a_killed_deploy_is_mended_by_the_next_repair(tmp_path: Path, name: str, after: bool, reboot: bool) -> None:
    work, allowed = SCENARIOS[name]
    for number in range(1, 200):
        host = _ready(tmp_path / str(number))
        if not _killed_at(host, work, number, after=after):
            assert number > 4
            break
        if reboot:
            host.engine.reboot()
        step = host.engine.log[-1]
        assert any(host.run("repair").reason == "unchanged" for _ in range(3)), step
        host.settled()
        assert host.runs() in allowed, step
    else:
        pytest.fail("it never ended")


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_engine_that_refuses_one_call_costs_nothing_for_good(tmp_path: Path, name: str) -> None:
    work, allowed = SCENARIOS[name]
    for number in range(1, 200):
        host = _ready(tmp_path / str(number))
        host.engine.die_at, host.engine.refuse = host.engine.calls + number, True
        work(host)
        if host.engine.calls < host.engine.die_at:
            break
        host.engine.die_at = None
        assert any(host.run("repair").reason == "unchanged" for _ in range(3)), host.engine.log
        host.settled()
        assert host.runs() in allowed, host.engine.log
    else:
        pytest.fail("it never ended")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_killed_installation_is_mended_by_the_next_one(tmp_path: Path, after: bool) -> None:
    for number in range(1, 100):
        host = make_host(tmp_path / str(number))
        if not _killed_at(host, _install, number, after=after):
            break
        assert host.update().exit_code == 0, host.engine.log
        host.settled()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(SCENARIOS)),
    kills=st.lists(st.tuples(st.integers(1, 25), st.booleans(), st.booleans()), min_size=1, max_size=5),
)
def test_repairs_that_are_killed_too_come_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, name: str, kills: list[tuple[int, bool, bool]]
) -> None:
    work, allowed = SCENARIOS[name]
    host = _ready(tmp_path_factory.mktemp("host") / "h")
    for number, after, reboot in kills:
        _killed_at(host, work, number, after=after)
        if reboot:
            host.engine.reboot()
        work = _repair
    host.engine.pace.sleep(3601)  # however many attempts were spent
    for _ in range(3):
        host.run("repair")
    host.settled()
    assert host.runs() in allowed


def _install(host: Host) -> None:
    host.update()


def _repair(host: Host) -> None:
    host.run("repair")
