"""A deploy that is killed at every single call to the engine, or refused one: the next repair completes or undoes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.deployment.support import RUNTIME, Host, Killed, make_host


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
    host.engine.containers = {key: stored for key, stored in host.engine.containers.items() if stored.name != RUNTIME}
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


def with_history(folder: Path) -> Host:
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
def test_the_next_repair_recovers_a_killed_deploy(tmp_path: Path, name: str, after: bool, reboot: bool) -> None:
    work, allowed = SCENARIOS[name]
    for number in range(1, 200):
        host = with_history(tmp_path / str(number))
        if not _killed_at(host, work, number, after=after):
            assert number > 4
            break
        if reboot:
            host.engine.reboot()
        step = host.engine.log[-1]
        assert any(host.run("repair").reason == "unchanged" for _ in range(3)), step
        host.assert_settled()
        assert host.runs() in allowed, step
    else:
        pytest.fail("it never ended")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_next_repair_recovers_from_a_refused_call_to_the_engine(tmp_path: Path, name: str) -> None:
    work, allowed = SCENARIOS[name]
    for number in range(1, 200):
        host = with_history(tmp_path / str(number))
        host.engine.die_at, host.engine.refuse = host.engine.calls + number, True
        work(host)
        if host.engine.calls < host.engine.die_at:
            break
        host.engine.die_at = None
        assert any(host.run("repair").reason == "unchanged" for _ in range(3)), host.engine.log
        host.assert_settled()
        assert host.runs() in allowed, host.engine.log
    else:
        pytest.fail("it never ended")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_next_installation_recovers_a_killed_one(tmp_path: Path, after: bool) -> None:
    for number in range(1, 100):
        host = make_host(tmp_path / str(number))
        if not _killed_at(host, _install, number, after=after):
            break
        assert host.update().exit_code == 0, host.engine.log
        host.assert_settled()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(SCENARIOS)),
    kills=st.lists(st.tuples(st.integers(1, 25), st.booleans(), st.booleans()), min_size=1, max_size=5),
)
def test_repairs_that_are_killed_too_reach_the_same_state(
    tmp_path_factory: pytest.TempPathFactory, name: str, kills: list[tuple[int, bool, bool]]
) -> None:
    work, allowed = SCENARIOS[name]
    host = with_history(tmp_path_factory.mktemp("host") / "h")
    for number, after, reboot in kills:
        _killed_at(host, work, number, after=after)
        if reboot:
            host.engine.reboot()
        work = _repair
    host.engine.clock.sleep(3601)  # however many attempts were spent
    for _ in range(3):
        host.run("repair")
    host.assert_settled()
    assert host.runs() in allowed


def _install(host: Host) -> None:
    host.update()


def _repair(host: Host) -> None:
    host.run("repair")
