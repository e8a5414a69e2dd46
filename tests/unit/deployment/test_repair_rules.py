"""In what condition the runtime is, what repairs saw of it, and what a repair does about it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.deployment.engine import Container, Probe
from runtime.deployment.repair_rules import (
    Condition,
    HealthHistory,
    Remedy,
    Situation,
    classify,
    continue_history,
    decide,
)

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


def seen(status: str, health: str = "", restarts: int = 0, minutes: float = 1) -> Container:
    started = NOW - dt.timedelta(minutes=minutes)
    return Container("c", "proxy", "sha256:aa", status, health=health, restarts=restarts, started_at=started)


@pytest.mark.parametrize(
    ("container", "probe", "expected"),
    [
        (None, None, Condition.MISSING),
        (seen("running", "healthy"), None, Condition.HEALTHY),
        (seen("running", "healthy", restarts=2), None, Condition.HEALTHY),
        (seen("running", "healthy", restarts=3), None, Condition.LOOPING),
        (seen("running", "healthy", restarts=9, minutes=6), None, Condition.HEALTHY),
        (seen("running", "starting"), None, Condition.STARTING),
        (seen("running", "starting", restarts=1), None, Condition.STARTING),
        (seen("running", "starting", restarts=3), None, Condition.LOOPING),
        (seen("running", "starting", restarts=3, minutes=6), Probe(0), Condition.HEALTHY),
        (seen("running", "starting", restarts=3), Probe(0), Condition.LOOPING),
        (seen("running", "starting"), Probe(0), Condition.HEALTHY),
        (seen("running", "starting"), Probe(1), Condition.STARTING),
        (seen("running", "unhealthy"), Probe(0), Condition.HEALTHY),
        (seen("running", "unhealthy"), Probe(1), Condition.UNHEALTHY),
        (seen("running", "unhealthy"), Probe(None), Condition.UNHEALTHY),
        (seen("running", "starting", minutes=11), None, Condition.UNHEALTHY),
        (seen("running", "unhealthy"), None, Condition.UNHEALTHY),
        (seen("restarting", "unhealthy"), None, Condition.LOOPING),
        (seen("exited", "unhealthy"), None, Condition.STOPPED),
        (seen("created"), None, Condition.STOPPED),
        (seen("dead"), None, Condition.STOPPED),
        (seen("paused", "healthy"), None, Condition.UNHEALTHY),
        (seen("running"), Probe(0), Condition.HEALTHY),
        (seen("running"), Probe(1), Condition.STARTING),
        (seen("running"), Probe(None), Condition.STARTING),
        (seen("running", minutes=4), Probe(1), Condition.UNHEALTHY),
    ],
)
def test_a_container_is_classified_by_status_health_restarts_and_age(
    container: Container | None, probe: Probe | None, expected: Condition
) -> None:
    age = NOW - container.started_at if container and container.started_at else dt.timedelta()
    assert classify(container, probe, age, container.restarts if container else 0) is expected


@pytest.mark.parametrize(
    ("situation", "remedy"),
    [
        (Situation(Condition.MISSING), Remedy.CREATE),
        (Situation(Condition.MISSING, attempts=99), Remedy.CREATE),
        (Situation(Condition.STARTING, drift=("x",)), Remedy.WAIT),
        (Situation(Condition.HEALTHY, image_proved=True, proved_now=True), Remedy.NOTHING),
        (Situation(Condition.HEALTHY), Remedy.NOTHING),
        (Situation(Condition.HEALTHY, proved_now=True), Remedy.REMEMBER),
        (Situation(Condition.HEALTHY, drift=("x",)), Remedy.REPLACE),
        (Situation(Condition.HEALTHY, drift=("x",), attempts=3), Remedy.GIVE_UP),
        (Situation(Condition.UNHEALTHY, can_roll_back=True), Remedy.WAIT),
        (Situation(Condition.UNHEALTHY, can_roll_back=True, confirmed=True), Remedy.ROLL_BACK),
        (Situation(Condition.UNHEALTHY, can_roll_back=True, attempts=3), Remedy.WAIT),
        (Situation(Condition.LOOPING, can_roll_back=True), Remedy.WAIT),
        (Situation(Condition.LOOPING, can_roll_back=True, confirmed=True), Remedy.ROLL_BACK),
        (Situation(Condition.LOOPING, can_roll_back=True, confirmed=True, attempts=3), Remedy.ROLL_BACK),
        (Situation(Condition.UNHEALTHY), Remedy.RESTART),
        (Situation(Condition.UNHEALTHY, image_proved=True, can_roll_back=True, confirmed=True), Remedy.RESTART),
        (Situation(Condition.UNHEALTHY, image_proved=True, attempts=1), Remedy.REPLACE),
        (Situation(Condition.UNHEALTHY, image_proved=True, can_roll_back=True, attempts=3), Remedy.GIVE_UP),
        (Situation(Condition.UNHEALTHY, image_proved=True, drift=("x",)), Remedy.REPLACE),
        (Situation(Condition.STOPPED, can_roll_back=True), Remedy.START),
        (Situation(Condition.STOPPED, can_roll_back=True, attempts=3), Remedy.ROLL_BACK),
        (Situation(Condition.STOPPED, image_proved=True, drift=("x",)), Remedy.REPLACE),
    ],
)
def test_each_situation_has_one_remedy(situation: Situation, remedy: Remedy) -> None:
    assert decide(situation).remedy is remedy


@given(
    st.builds(
        Situation,
        condition=st.sampled_from(Condition),
        image_proved=st.booleans(),
        proved_now=st.booleans(),
        confirmed=st.booleans(),
        can_roll_back=st.booleans(),
        drift=st.sampled_from([(), ("x",)]),
        attempts=st.integers(0, 5),
    )
)
def test_only_an_unproved_image_is_rolled_back_and_only_when_another_was_healthy(
    situation: Situation,
) -> None:
    decision = decide(situation)
    assert decision.why
    if decision.remedy is Remedy.ROLL_BACK:
        assert situation.can_roll_back
        assert not situation.image_proved
        assert situation.condition not in (Condition.HEALTHY, Condition.STARTING)
        assert situation.confirmed or situation.condition is Condition.STOPPED
    if situation.condition is Condition.STARTING:
        assert decision.remedy is Remedy.WAIT
    if decision.remedy is Remedy.NOTHING:
        assert not situation.drift


def ran_for(minutes: float, restarts: int = 0, name: str = "c") -> Container:
    return Container(
        name, "proxy", "sha256:aa", "running", restarts=restarts, started_at=NOW - dt.timedelta(minutes=minutes)
    )


def test_the_age_of_a_container_is_limited_by_how_long_it_was_watched() -> None:
    container = ran_for(60)
    history = continue_history(None, container, NOW, 1000)
    assert history.age(container, NOW, 1000) == dt.timedelta(minutes=5)
    assert history.age(container, NOW, 1600) == dt.timedelta(minutes=15)
    assert history.age(ran_for(-60), NOW, 1060) == dt.timedelta(minutes=1)


def test_watching_begins_again_with_another_container_another_start_or_a_rebooted_host() -> None:
    history = continue_history(None, ran_for(60), NOW, 1000)
    assert continue_history(history, ran_for(60), NOW, 2000).watched_since == 1000
    assert continue_history(history, ran_for(1), NOW, 2000).watched_since == 2000
    assert continue_history(history, ran_for(60, name="d"), NOW, 2000).watched_since == 2000
    assert continue_history(history, ran_for(60), NOW, 50).watched_since == 50


@pytest.mark.parametrize(
    ("before", "container", "uptime", "times"),
    [
        (None, ran_for(1, 4), 1000.0, 4),
        (None, ran_for(90, 4), 1000.0, 0),
        (ran_for(90, 4), ran_for(1, 6), 2000.0, 2),
        (ran_for(90, 4), ran_for(1, 1), 2000.0, 1),
        (ran_for(90, 4), ran_for(1, 9), 5000.0, 0),
    ],
    ids=["young", "old", "since", "counted from zero", "an hour later"],
)
def test_restarts_are_counted_for_an_hour(
    before: Container | None, container: Container, uptime: float, times: int
) -> None:
    history: HealthHistory | None = continue_history(None, before, NOW, 1000) if before else None
    assert continue_history(history, container, NOW, uptime).recent_restarts(container) == times


def test_unhealthy_is_confirmed_a_minute_later_and_reset_by_one_healthy_observation() -> None:
    history = continue_history(None, ran_for(1), NOW, 1000).with_condition(Condition.UNHEALTHY, 1000)
    assert not history.confirmed(1030)
    assert history.with_condition(Condition.LOOPING, 1090).confirmed(1090)
    healthy_between = history.with_condition(Condition.HEALTHY, 1090)
    assert not healthy_between.with_condition(Condition.UNHEALTHY, 1100).confirmed(1100)
