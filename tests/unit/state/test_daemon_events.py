"""What the daemon tells of itself, each once: configuration, clock, health, updates."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

import pytest
from sqlalchemy import select

from runtime.adapters.state.meta import read_daemon_status
from runtime.adapters.state.outbox.topics import topic_named
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import outbox
from runtime.domain.time.clock_trust import Suspect, Trust, Trusted
from runtime.services.config_refresh import RefreshResult, record
from runtime.services.deployment_watch import DeploymentWatch
from runtime.services.heartbeat import ClockWatch
from runtime.services.self_report import HealthWatch
from tests.unit.state.support import NOON, StillClock


def told(state: State) -> list[str]:
    """Subs in the order of their making."""
    with state.read() as connection:
        return [topic_named(row.kind).sub for row in connection.execute(select(outbox.c.kind).order_by(outbox.c.seq))]


def result(reason: str, etag: str | None = None, message: str = "") -> RefreshResult:
    return RefreshResult(reason, message, NOON, "c", changed=reason == "updated", in_force=True, etag=etag)


def test_a_version_is_told_when_it_comes_into_force_and_not_at_each_poll(state: State) -> None:
    for one in (result("updated", "a"), result("unchanged", "a"), result("updated", "b"), result("updated", "a")):
        record(state, one)
    assert told(state) == ["config.applied"] * 3


def test_a_version_whose_telling_a_kill_cut_off_is_told_by_the_next_poll(state: State) -> None:
    record(state, result("unchanged", "stored-just-before-the-kill"))
    assert told(state) == ["config.applied"]


def test_without_versions_only_a_change_is_told(state: State) -> None:
    for reason in ("updated", "unchanged", "unchanged"):
        record(state, result(reason))
    assert told(state) == ["config.applied"]


def test_a_refused_version_is_told_once_and_again_after_a_good_one(state: State) -> None:
    bad = result("invalid:invalid", message="ssh.port: a whole number is expected")
    for one in (bad, bad, result("unavailable"), bad, result("updated", "a"), bad):
        record(state, one)
    assert told(state) == ["config.refused", "config.applied", "config.refused"]


def test_the_refresh_and_its_event_are_one_transaction(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bool:
        raise RuntimeError("killed here")

    monkeypatch.setattr("runtime.services.config_refresh.put_once", fails)
    with pytest.raises(RuntimeError):
        record(state, result("updated", "a"))
    assert read_daemon_status(state) is None


class Judge:
    def __init__(self) -> None:
        self.says: Trust = Trusted(NOON, "the control plane")

    def judge(self) -> Trust:
        return self.says


def test_a_clock_that_disagrees_is_told_when_it_begins_and_when_it_is_over(state: State) -> None:
    judge, clock = Judge(), StillClock()
    good, bad = judge.says, Suspect(NOON, "the clock is 3 h ahead", contradicted=True)

    def after(*says: Trust) -> list[str]:
        watch = ClockWatch(judge, state, clock)  # type: ignore[arg-type]
        for one in says:
            judge.says = one
            asyncio.run(watch.judge())
        return told(state)

    assert after(good, good) == []
    assert after(good, bad, bad) == ["clock.disagrees"]
    assert after(bad) == ["clock.disagrees"]  # another daemon, the same trouble
    assert after(good) == ["clock.disagrees"] * 2


def test_health_is_told_when_another_duty_fails_or_none_does(state: State) -> None:
    trouble: list[str] = []
    watch = HealthWatch(state, StillClock(), lambda: trouble)
    for now in ([], ["a: full"], ["a: fuller"], ["a: full", "b: away"], [], []):
        trouble[:] = now
        asyncio.run(watch.check())
    with state.read() as connection:
        healthy = [json.loads(row.payload)["healthy"] for row in connection.execute(select(outbox.c.payload))]
    assert healthy == [False, False, True]


@pytest.mark.parametrize(
    ("reason", "sub"),
    [
        ("updated", "update.finished"),
        ("repaired", "repair.finished"),
        ("rolled_back", "update.rolled_back"),
        ("restored", "update.rolled_back"),
        ("candidate_unhealthy", "update.rolled_back"),
        ("image_unavailable", "update.failed"),
        ("broken", "update.failed"),
    ],
)
def test_each_end_of_a_deploy_is_a_business_event_once(state: State, reason: str, sub: str) -> None:
    at = (NOON - dt.timedelta(minutes=1)).isoformat()
    last = {"verb": "apply", "reason": reason, "message": "m", "at": at}
    (state.folder / "deployment.json").write_text(json.dumps({"at": at, "last": last}))
    for _ in range(2):
        asyncio.run(DeploymentWatch(state, StillClock(), None).check())
    assert told(state) == ["deployment.changed", sub]
