"""Late and missed fires: what is on time starts, what disrupts is never run late, and every drop has a reason."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from contracts.config import Effect, Job
from runtime.domain.time.lateness import Drop, Start, judge

PLANNED = dt.datetime(2026, 3, 10, 23, 50, tzinfo=dt.UTC)


def job(**fields: Any) -> Job:
    return Job.model_validate({"id": "night", "action": "x", "cron": "50 23 * * *", "grace": 60, **fields})


CASES: list[tuple[dict[str, Any], Effect, float, float | None, str]] = [
    ({}, "disrupt", 0, None, "start"),
    ({}, "disrupt", 60, None, "start"),
    ({}, "disrupt", 61, None, "disruptive"),
    ({"missed": "once"}, "disrupt", 61, None, "disruptive"),
    ({"missed": "once"}, "disrupt", 8 * 3600, None, "disruptive"),
    ({}, "change", 61, None, "too_late"),
    ({"missed": "once"}, "change", 8 * 3600, None, "start"),
    ({"missed": "once"}, "read", 61, 3600, "start"),
    ({"missed": "once"}, "change", 3600, 3600, "not_after"),
    ({}, "disrupt", 30, 20, "not_after"),
    ({}, "read", -5, None, "start"),
]


@pytest.mark.parametrize(("fields", "effect", "late", "not_after", "expected"), CASES)
def test_a_planned_run_is_started_or_dropped_with_a_reason(
    fields: dict[str, Any], effect: Effect, late: float, not_after: float | None, expected: str
) -> None:
    deadline = None if not_after is None else PLANNED + dt.timedelta(seconds=not_after)
    verdict = judge(job(**fields), effect, PLANNED, PLANNED + dt.timedelta(seconds=late), not_after=deadline)
    if expected == "start":
        assert isinstance(verdict, Start)
        assert verdict.late == max(late, 0)
    else:
        assert isinstance(verdict, Drop)
        assert verdict.reason == expected
        assert verdict.message
