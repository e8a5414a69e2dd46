"""A schedule promises only what can happen: jobs whose windows, freezes or limits never let them run."""

import datetime as dt
import random
import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts import promises
from contracts.action_check import Check, Finding
from contracts.config import FreezeWindow, Job, NetworkConfig
from contracts.promises import unmet
from contracts.schedule import plan_of
from contracts.windows import Window, frozen, inside
from server.services.configurations import actions

NOW = dt.datetime(2026, 11, 30, 15, tzinfo=dt.UTC)
OFF = "shutdown_endpoint"


def found(now: dt.datetime = NOW, *, jobs: list[dict[str, Any]], **parts: Any) -> list[Finding]:
    schedule = [{"id": f"job{number}", "selector": {"all": True}, **job} for number, job in enumerate(jobs)]
    document = {"network": "ACME", "inventory": {"kind": "static"}, "schedule": schedule, **parts}
    return list(Check(NetworkConfig.model_validate(document), actions.catalogue(), now).findings())


def windows(*given: dict[str, Any]) -> dict[str, Any]:
    return {"actions": {OFF: {"params": {"windows": list(given)}}}}


NIGHT, MORNING = {"start": "22:00", "end": "06:00"}, {"start": "02:00", "end": "05:00"}
BLACK_FRIDAY = {"id": "black", "start": "2026-12-20T00:00", "end": "2026-12-28T00:00"}

# (job, other parts of the document) -> what the error says
NEVER: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "noon, with the window of the night": ({"cron": "0 12 * * *"}, {}, "outside its window (22:00-06:00)"),
    "the window's end": ({"cron": "0 6 * * *"}, {}, "outside its window"),
    "another weekday": (
        {"cron": "50 23 * * sat"}, windows({**NIGHT, "weekdays": ["mon", "tue"]}), "22:00-06:00 mon,tue",
    ),
    "a zone of its own": (
        {"cron": "50 23 * * *", "timezone": "Asia/Tokyo"}, {}, "`50 23 * * *` (Asia/Tokyo)",
    ),
    "the zone of the window": (
        {"cron": "30 22 * * *"}, windows({"start": "22:00", "end": "23:00", "timezone": "Europe/Lisbon"}), "Lisbon",
    ),
    "the window of its only store": (
        {"cron": "50 23 * * *", "selector": {"stores": [7]}}, windows(NIGHT, {**MORNING, "stores": [7]}), "02:00-05:00",
    ),
    "a freeze of every night": (
        {"cron": "50 23 * * *"}, {"freeze": [{"id": "all", "from_time": "20:00", "to_time": "08:00"}]}, "inside freeze all",
    ),
    "window and freeze, each for its part": (
        {"cron": "0 12,23 * * *"},
        {"freeze": [{"id": "late", "from_time": "22:30", "to_time": "23:30"}]},
        "outside its window (22:00-06:00) or inside freeze late",
    ),
    "not_after at its very time": ({"cron": "50 23 * * *", "not_after": "23:50"}, {}, "not_after 23:50 is the very time"),
    "a window for some stores, and the job for another": (
        {"cron": "50 23 * * *", "selector": {"stores": [8]}}, windows({**NIGHT, "stores": [7]}), "no window for it",
    ),
}  # fmt: skip

MAY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the default": ({"cron": "50 23 * * *"}, {}),
    "the window's first minute": ({"cron": "0 22 * * *"}, {}),
    "one of many times": ({"cron": "0 */6 * * *"}, {}),
    "the night of the day before": ({"cron": "0 3 * * tue"}, windows({**NIGHT, "weekdays": ["mon"]})),
    "one store of two": ({"cron": "50 23 * * *", "selector": {"stores": [7, 8]}}, windows({**NIGHT, "stores": [8]})),
    "parameters of its own": ({"cron": "0 12 * * *", "params": {"windows": [{"start": "11:00", "end": "13:00"}]}}, {}),
    "a freeze of another effect": (
        {"cron": "50 23 * * *"},
        {"freeze": [{"id": "x", "from_time": "00:00", "to_time": "23:59:59.999999", "effects": ["read"]}]},
    ),
    "a freeze that ends": ({"cron": "50 23 * * *"}, {"freeze": [BLACK_FRIDAY]}),
    "Christmas, frozen this year and not the next": ({"cron": "50 23 24 12 *"}, {"freeze": [BLACK_FRIDAY]}),
    "an action without windows": ({"cron": "0 12 * * *", "action": "diagnose_env"}, {}),
    "not_after in the same night": ({"cron": "50 23 * * *", "not_after": "05:00"}, {}),
    "a day in years": ({"cron": "50 23 29 2 *"}, {}),
    "a zone of its own, by both": (
        {"cron": "50 23 * * *", "timezone": "Asia/Tokyo"}, windows({**NIGHT, "timezone": "Asia/Tokyo"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NEVER)
def test_a_job_that_can_never_run_is_an_error(case: str) -> None:
    job, parts, text = NEVER[case]
    errors = [finding for finding in found(jobs=[{"action": OFF, **job}], **parts) if finding.level == "error"]
    assert [finding.path for finding in errors] == ["schedule.job0"]
    assert errors[0].text.startswith("can never run")
    assert text in errors[0].text


@pytest.mark.parametrize("case", MAY)
def test_a_job_that_can_run_is_not_reported(case: str) -> None:
    job, parts = MAY[case]
    assert [str(finding) for finding in found(jobs=[{"action": OFF, **job}], **parts) if finding.level == "error"] == []


def test_a_job_that_can_never_run_in_one_store_is_a_warning() -> None:
    [one] = found(jobs=[{"action": OFF, "cron": "50 23 * * *"}], **windows(NIGHT, {**MORNING, "stores": [7]}))
    assert (one.level, "can never run in store 7" in one.text) == ("warning", True)


def test_a_limit_of_the_next_day_is_a_warning() -> None:
    [one] = found(jobs=[{"action": "diagnose_env", "cron": "0 12 * * *", "not_after": "11:00"}])
    assert (one.level, "23 h after 12:00" in one.text) == ("warning", True)


def test_a_jitter_longer_than_the_time_that_is_left_is_a_warning() -> None:
    job = {"action": OFF, "cron": "50 23 * * *", "not_after": "23:55", "jitter": 3600}
    [one] = found(jobs=[job])
    assert (one.level, "jitter" in one.text) == ("warning", True)


def test_a_job_that_is_switched_off_is_only_warned_of() -> None:
    [one] = found(jobs=[{"action": OFF, "cron": "0 12 * * *", "enabled": False}])
    assert one.level == "warning"


def test_a_time_that_only_the_summer_of_another_zone_allows_is_found() -> None:
    """01:30 in Lisbon is inside 21:00-22:00 of Sao Paulo in winter only (UTC against UTC-3), and inside 22:00-23:00 in none."""
    job = {"action": OFF, "cron": "30 1 * * *", "timezone": "Europe/Lisbon"}
    assert found(jobs=[job], **windows({"start": "21:00", "end": "22:00"})) == []
    [one] = found(jobs=[job], **windows({"start": "22:45", "end": "23:45"}))
    assert one.level == "error"


def test_the_worst_schedule_is_judged_in_seconds() -> None:
    """Every minute, never inside, in four zones, with dated freezes: days that are alike are judged once."""
    given = [
        {"start": "03:00:01", "end": "03:00:02", "timezone": zone} for zone in ("Asia/Tokyo", "Europe/Lisbon", "UTC")
    ]
    freezes = [{"id": f"f{n}", "start": f"2027-0{n}-01T00:00", "end": f"2027-0{n}-09T00:00"} for n in range(1, 9)]
    started = time.monotonic()
    [one] = found(jobs=[{"action": OFF, "cron": "* * * * *"}], freeze=freezes, **windows(*given))
    assert one.level == "error"
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("seed", range(25))
def test_what_is_skipped_as_alike_is_alike(seed: int) -> None:
    """The same answer as from asking the rules of a run for every single time of a year and more."""
    dice = random.Random(seed)
    zones = ("America/Sao_Paulo", "Europe/Lisbon", "America/Asuncion", "Asia/Tokyo", None)

    def rule(start: str, end: str) -> dict[str, Any]:
        first = dice.randrange(24 * 60)
        last = (first + dice.randrange(5, 240)) % (24 * 60)
        days = dice.sample(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), dice.randrange(0, 4))
        times = {start: f"{first // 60:02}:{first % 60:02}", end: f"{last // 60:02}:{last % 60:02}"}
        return {**times, "weekdays": days, **({"timezone": zone} if (zone := dice.choice(zones)) else {})}

    given = [rule("start", "end") for _ in range(dice.randrange(1, 3))]
    freezes = [{"id": f"f{number}", **rule("from_time", "to_time")} for number in range(dice.randrange(0, 3))]
    freezes.append({"id": "dated", "start": "2026-12-01T05:00", "end": f"2027-{dice.randrange(1, 12):02}-10T17:00"})
    cron = f"{dice.randrange(60)} {','.join(str(dice.randrange(24)) for _ in range(2))} * * {dice.choice(['*', '1', '0,6'])}"
    job = Job(id="job0", action=OFF, cron=cron, timezone=dice.choice(zones))
    windows = tuple(Window.model_validate(one) for one in given)
    frozen_by = tuple(FreezeWindow.model_validate(one) for one in freezes)
    zone = ZoneInfo("America/Sao_Paulo")
    fires = plan_of(job, zone, "").between(NOW, NOW + dt.timedelta(days=400))
    allowed = any(
        inside(windows, here) is not None and frozen(frozen_by, "disrupt", 1, here) is None
        for here in (instant.astimezone(zone) for instant in fires)
    )

    never = any(
        one.always for one in unmet(job, zone=zone, effect="disrupt", windows=windows, freezes=frozen_by, now=NOW)
    )

    assert never is not allowed


def test_many_jobs_and_many_stores_are_judged_in_seconds() -> None:
    """Stores whose rules are the same are judged once."""
    jobs = [{"action": OFF, "cron": f"{number % 60} 23 * * *"} for number in range(200)]
    freezes = [{"id": f"f{n}", "from_time": "20:00", "to_time": "08:00", "stores": [n]} for n in range(100)]
    started = time.monotonic()
    warnings = found(jobs=jobs, freeze=freezes)
    assert len(warnings) == 200
    assert {one.level for one in warnings} == {"warning"}
    assert "can never run in store 0, 1, 2, 3, 4 and 95 more" in warnings[0].text
    assert time.monotonic() - started < 60


def test_many_jobs_ask_the_clocks_for_each_day_once() -> None:
    promises._offsets.cache_clear()
    jobs = [{"action": OFF, "cron": f"{number % 60} 23 * * *"} for number in range(300)]
    assert found(jobs=jobs) == []
    asked = promises._offsets.cache_info()
    assert asked.misses <= promises.DAYS
