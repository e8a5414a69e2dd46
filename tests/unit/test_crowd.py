"""Minutes into which more jobs fall than may run at once: who waits, for how long, and who would be too late."""

import datetime as dt

import pytest

from contracts.config import Job
from runtime.domain.time.crowd import crowds

THREE = dt.datetime(2026, 3, 14, 3, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def due(number: int, at: dt.datetime = THREE, **parts: object) -> list[tuple[dt.datetime, Job]]:
    given = {"action": "diagnose_env", "cron": "0 3 * * *", **parts}
    return [(at, Job.model_validate({"id": f"j{n}", **given})) for n in range(number)]


@pytest.mark.parametrize(("number", "limit"), [(1, 1), (10, 10), (3, 64)])
def test_jobs_that_all_have_a_place_are_no_crowd(number: int, limit: int) -> None:
    assert list(crowds(due(number), limit, {})) == []


def test_jobs_of_different_minutes_are_no_crowd() -> None:
    assert list(crowds([*due(2), *due(2, THREE + MINUTE)], 2, {})) == []


def test_jobs_that_jitter_apart_within_a_minute_are_one() -> None:
    apart = [*due(1), *due(1, THREE + dt.timedelta(seconds=40))]
    (found,) = crowds(apart, 1, {})
    assert found.at == THREE
    assert len(found.jobs) == 2


def test_each_waits_for_the_first_place_that_becomes_free() -> None:
    seconds = {"j0": 100.0, "j1": 10.0, "j2": 30.0, "j3": 5.0, "j4": 1.0}
    (found,) = crowds(due(5), 2, seconds)
    assert found.waits == (0.0, 0.0, 10.0, 40.0, 45.0)
    assert found.too_late == ()


def test_a_job_that_never_ran_counts_as_the_mean_of_the_others() -> None:
    (found,) = crowds(due(4), 1, {"j0": 10.0, "j1": 30.0})
    assert found.waits == (0.0, 10.0, 40.0, 60.0)


def test_who_would_wait_longer_than_the_grace_is_named() -> None:
    (found,) = crowds(due(3, grace=60), 1, {"j0": 50.0, "j1": 50.0})
    assert found.too_late == ("j2",)


def test_without_an_earlier_run_nothing_is_promised() -> None:
    (found,) = crowds(due(3), 2, {})
    assert found.waits == (None, None, None)
    assert found.too_late == ()
