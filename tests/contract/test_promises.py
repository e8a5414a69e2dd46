"""A schedule promises only what can happen: jobs whose windows, freezes or limits never let them run."""

import datetime as dt
import random
import re
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
    "a weekly freeze before one of a year": (
        {"cron": "50 23 * * *"},
        {"freeze": [{"id": "week", "from_time": "01:00", "to_time": "02:00"},
                    {"id": "year", "start": "2026-11-01T00:00", "end": "2028-03-01T00:00"}]},
        "inside freeze year",
    ),
    "window and freeze, each for its part": (
        {"cron": "0 12,23 * * *"},
        {"freeze": [{"id": "late", "from_time": "22:30", "to_time": "23:30"}]},
        "outside its window (22:00-06:00) or inside freeze late",
    ),
    "not_after at its very time": ({"cron": "50 23 * * *", "not_after": "23:50"}, {}, "not_after 23:50 is the very time"),
    "a freeze of every night, and an action that works at any time": (
        {"cron": "0 3 * * *", "action": "update_endpoint_timezone"},
        {"freeze": [{"id": "all", "from_time": "02:00", "to_time": "04:00"}]}, "inside freeze all",
    ),
    "the window's end by jitter's earliest start": ({"cron": "50 21 * * *", "jitter": 3600}, {}, "outside its window"),
    "every midnight": (
        {"cron": "0 0 * * *"}, windows({"start": "00:01", "end": "23:59"}), "outside its window (00:01-23:59)",
    ),
    "the last minute of the day": (
        {"cron": "59 23 * * *"}, windows({"start": "00:00", "end": "23:59"}), "outside its window (00:00-23:59)",
    ),
    "a window for some stores, and the job for another": (
        {"cron": "50 23 * * *", "selector": {"stores": [8]}}, windows({**NIGHT, "stores": [7]}), "no window for it",
    ),
}  # fmt: skip

MAY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the default": ({"cron": "50 23 * * *"}, {}),
    "the window's first minute": ({"cron": "0 22 * * *"}, {}),
    "one of many times": ({"cron": "0 */6 * * *"}, {}),
    "the night of the day before": ({"cron": "0 3 * * tue"}, windows({**NIGHT, "weekdays": ["mon"]})),
    "parameters of its own": ({"cron": "0 12 * * *", "params": {"windows": [{"start": "11:00", "end": "13:00"}]}}, {}),
    "a freeze of another effect": (
        {"cron": "50 23 * * *"},
        {"freeze": [{"id": "x", "from_time": "00:00", "to_time": "23:59:59.999999", "effects": ["read"]}]},
    ),
    "a freeze that ends": ({"cron": "50 23 * * *"}, {"freeze": [BLACK_FRIDAY]}),
    "Christmas, frozen this year and not the next": ({"cron": "50 23 24 12 *"}, {"freeze": [BLACK_FRIDAY]}),
    "an action without windows": ({"cron": "0 12 * * *", "action": "diagnose_env"}, {}),
    "not_after in the same night": ({"cron": "50 23 * * *", "not_after": "05:00"}, {}),
    "not_after twelve hours later": ({"cron": "0 22 * * *", "not_after": "10:00"}, {}),
    "not_after more than twelve hours later, on the same day": (
        {"cron": "0 3 * * *", "action": "diagnose_env", "not_after": "23:00"}, {},
    ),
    "jitter as long as the time until not_after": ({"cron": "50 23 * * *", "not_after": "23:55", "jitter": 300}, {}),
    "a window only for a store, which the others do without": ({"cron": "50 23 * * *"}, windows({**NIGHT, "stores": [7]})),
    "the first midnight of the window": ({"cron": "0 0 * * *"}, windows({"start": "00:00", "end": "00:01"})),
    "the window of a clock that is a day behind": (
        {"cron": "0 8,10 * * *", "timezone": "Asia/Tokyo"}, windows({"start": "21:00", "end": "22:30"}),
    ),
    "the window of a clock that is a day ahead": (
        {"cron": "0 14,16 * * *"}, windows({"start": "03:00", "end": "05:00", "timezone": "Asia/Tokyo"}),
    ),
    "the last day of a freeze, after its end": (
        {"cron": "50 23 20,27 12 *"},
        {"freeze": [{"id": "now", "start": "2026-12-10T00:00", "end": "2026-12-27T12:00"},
                    {"id": "next", "start": "2027-12-01T00:00", "end": "2027-12-31T00:00"}]},
    ),
    "next Monday, where today's time is past": (
        {"cron": "0 10,13 * * mon"}, windows({"start": "09:00", "end": "11:00"}),
    ),
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
def test_a_job_that_can_run_everywhere_is_not_reported(case: str) -> None:
    job, parts = MAY[case]
    assert [str(finding) for finding in found(jobs=[{"action": OFF, **job}], **parts)] == []


def test_a_job_that_has_a_window_in_one_of_its_two_stores_is_a_warning() -> None:
    job = {"action": OFF, "cron": "50 23 * * *", "selector": {"stores": [7, 8]}}
    [one] = found(jobs=[job], **windows({**NIGHT, "stores": [8]}))
    assert (one.level, "can never run in store 7: " in one.text, "no window for it" in one.text) == (
        "warning",
        True,
        True,
    )


def test_a_job_that_can_never_run_in_one_store_is_a_warning() -> None:
    [one] = found(jobs=[{"action": OFF, "cron": "50 23 * * *"}], **windows(NIGHT, {**MORNING, "stores": [7]}))
    assert (one.level, "can never run in store 7" in one.text) == ("warning", True)


OTHER = {"from_time": "20:00", "to_time": "08:00"}


@pytest.mark.parametrize(
    ("freezes", "named"),
    [
        ([{"stores": [0]}], "store 0"),
        ([{"stores": [9, 3]}], "store 3, 9"),
        ([{"stores": [number]} for number in range(5)], "store 0, 1, 2, 3, 4"),
        ([{"stores": [number]} for number in range(6)], "store 0, 1, 2, 3, 4 and 1 more"),
        ([{"stores": [1], "reason": "stock"}, {"stores": [2], "reason": "audit"}], "store 1, 2"),
        ([{"stores": [1, 1, 2]}, {"stores": [3], "effects": ["read"]}], "store 1, 2"),
    ],
)
def test_stores_with_the_same_rules_are_named_together(freezes: list[dict[str, Any]], named: str) -> None:
    given = [{"id": f"f{number}", **OTHER, **freeze} for number, freeze in enumerate(freezes)]
    [one] = found(jobs=[{"action": OFF, "cron": "50 23 * * *"}], freeze=given)
    assert (one.level, one.text.partition(": every time")[0]) == ("warning", f"can never run in {named}")


def test_stores_with_other_rules_are_named_apart() -> None:
    freezes = [{"id": "a", **OTHER, "stores": [1]}, {"id": "b", **OTHER, "to_time": "09:00", "stores": [2]}]
    texts = [one.text for one in found(jobs=[{"action": OFF, "cron": "50 23 * * *"}], freeze=freezes)]
    assert [text.partition(" is inside")[2] for text in texts] == [" freeze a", " freeze b"]
    assert [text.partition(": every time")[0] for text in texts] == [f"can never run in store {n}" for n in (1, 2)]


def test_a_store_whose_windows_are_its_own_is_not_taken_for_one_with_freezes_alone() -> None:
    [one] = found(
        jobs=[{"action": OFF, "cron": "50 23 * * *", "selector": {"stores": [1, 2]}}],
        **windows({**NIGHT, "stores": [1]}, {**NIGHT, "stores": [2]}),
        freeze=[{"id": "a", **OTHER, "stores": [1]}],
    )
    assert "can never run in store 1: " in one.text


@pytest.mark.parametrize(
    ("cron", "not_after", "said"),
    [
        ("0 12 * * *", "11:00", "comes 23 h after 12:00, on the next day"),
        ("0 22 * * *", "10:01", "comes 12 h after 22:00, on the next day"),
        ("0 12,20 * * *", "03:00", None),
        ("0 12 * * 0,3", "11:30", "comes 24 h after 12:00, on the next day"),
    ],
)
def test_a_limit_more_than_twelve_hours_later_on_the_next_day_is_a_warning(
    cron: str, not_after: str, said: str | None
) -> None:
    warned = found(jobs=[{"action": "diagnose_env", "cron": cron, "not_after": not_after}])
    assert [(one.level, said in one.text) for one in warned if said] == ([("warning", True)] if said else [])
    assert len(warned) == (said is not None)


def test_a_job_planned_at_its_not_after_once_of_two_times_runs_at_the_other() -> None:
    for jitter in (0, 60):
        job = {"action": "diagnose_env", "cron": "0 12,20 * * *", "not_after": "20:00", "jitter": jitter}
        assert found(jobs=[job]) == []


def test_a_jitter_longer_than_the_time_that_is_left_is_a_warning() -> None:
    job = {"action": OFF, "cron": "50 23 * * *", "not_after": "23:55", "jitter": 3600}
    [one] = found(jobs=[job])
    assert (one.level, "jitter" in one.text) == ("warning", True)


def test_a_disabled_job_gets_only_a_warning() -> None:
    [one] = found(jobs=[{"action": OFF, "cron": "0 12 * * *", "enabled": False}])
    assert one.level == "warning"


@pytest.mark.parametrize(
    ("zone", "job_zone", "jump"),
    [
        pytest.param("Europe/Lisbon", "UTC", "2027-10-31T01:00", id="on the day itself"),
        pytest.param("Pacific/Auckland", "Etc/GMT-12", "2027-04-03T14:00", id="on the day before by UTC"),
        pytest.param("America/Santiago", "Etc/GMT+4", "2027-04-04T03:00", id="on the day after by UTC"),
    ],
)
def test_a_clock_that_is_put_back_to_before_a_freeze_lets_a_job_run(zone: str, job_zone: str, jump: str) -> None:
    """Of four times the third is in the quarter of an hour between the jump and the second beginning of the freeze."""
    at, half = dt.datetime.fromisoformat(jump).replace(tzinfo=dt.UTC), dt.timedelta(minutes=30)
    start, local = (at - half).astimezone(ZoneInfo(zone)), at.astimezone(ZoneInfo(job_zone))
    job = {"cron": f"15,45 {local.hour - 1},{local.hour} {local.day} {local.month} *", "timezone": job_zone}
    job["action"] = "update_endpoint_timezone"
    freezes = [
        {"id": "early", "from_time": f"{at - 2 * half:%H:%M}", "to_time": f"{at - half:%H:%M}", "timezone": "UTC"},
        {"id": "twice", "from_time": f"{start:%H:%M}", "to_time": f"{start + 9 * half:%H:%M}", "timezone": zone},
    ]
    assert found(jobs=[job], freeze=freezes) == []
    [one] = found(jobs=[job], freeze=[{**one, "to_time": f"{at + 4 * half:%H:%M}"} for one in freezes[:1]])
    assert (one.level, "inside freeze early" in one.text) == ("error", True)


def test_a_time_that_only_the_summer_of_another_zone_allows_is_found() -> None:
    """01:30 in Lisbon is inside 21:00-22:00 of Sao Paulo in winter only (UTC against UTC-3), and inside 22:00-23:00 in none."""
    job = {"action": OFF, "cron": "30 1 * * *", "timezone": "Europe/Lisbon"}
    assert found(jobs=[job], **windows({"start": "21:00", "end": "22:00"})) == []
    [one] = found(jobs=[job], **windows({"start": "22:45", "end": "23:45"}))
    assert one.level == "error"


def test_the_worst_schedule_is_checked_in_seconds() -> None:
    """Every minute, never inside, in four zones, with dated freezes: days that are alike are judged once."""
    given = [
        {"start": "03:00:01", "end": "03:00:02", "timezone": zone} for zone in ("Asia/Tokyo", "Europe/Lisbon", "UTC")
    ]
    freezes = [{"id": f"f{n}", "start": f"2027-0{n}-01T00:00", "end": f"2027-0{n}-09T00:00"} for n in range(1, 9)]
    started = time.monotonic()
    [one] = found(jobs=[{"action": OFF, "cron": "* * * * *"}], freeze=freezes, **windows(*given))
    assert one.level == "error"
    assert time.monotonic() - started < 60


ZONE = ZoneInfo("America/Sao_Paulo")
ZONES = (ZONE.key, "Europe/Lisbon", "America/Asuncion", "Asia/Tokyo", None)


def by_the_rules_of_a_run(job: Job, windows: tuple[Window, ...] | None, freezes: list[FreezeWindow]) -> set[str]:
    """What holds the job back at any of its planned times, each of them asked; empty when one is allowed."""
    own = ZoneInfo(job.timezone) if job.timezone else ZONE
    end = dt.datetime.combine(NOW.astimezone(own).date() + promises.DAYS * dt.timedelta(days=1), dt.time(), own)
    held = set()
    for planned in plan_of(job, ZONE, "").between(NOW, end - dt.timedelta(seconds=1)):
        freeze = frozen(freezes, "disrupt", 1, here := planned.astimezone(ZONE))
        outside = windows is not None and inside(windows, here) is None
        held.add("window" if outside else freeze.window.id if freeze else "")
    return set() if "" in held else held


def as_told(job: Job, windows: tuple[Window, ...] | None, freezes: list[FreezeWindow]) -> set[str]:
    """The same, as the check of a document says it."""
    told = list(unmet(job, zone=ZONE, effect="disrupt", windows=windows, freezes=freezes, now=NOW))
    assert all(one.always for one in told)
    return {"window" if found == "outside its" else found[14:] for one in told for found in REASONS.findall(one.text)}


REASONS = re.compile(r"outside its|inside freeze [a-z0-9]+")


@pytest.mark.parametrize("seed", range(25))
def test_skipping_equal_days_gives_the_same_answer_as_checking_every_time(seed: int) -> None:
    """The same answer as from asking the rules of a run for every single time of a year and more."""
    dice = random.Random(seed)

    def rule(start: str, end: str) -> dict[str, Any]:
        first = dice.randrange(24 * 60)
        last = (first + dice.randrange(5, 240)) % (24 * 60)
        days = dice.sample(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), dice.randrange(0, 4))
        times = {start: f"{first // 60:02}:{first % 60:02}", end: f"{last // 60:02}:{last % 60:02}"}
        return {**times, "weekdays": days, **({"timezone": zone} if (zone := dice.choice(ZONES)) else {})}

    given = [rule("start", "end") for _ in range(dice.randrange(1, 3))]
    freezes = [{"id": f"f{number}", **rule("from_time", "to_time")} for number in range(dice.randrange(0, 3))]
    freezes.append({"id": "dated", "start": "2026-12-01T05:00", "end": f"2027-{dice.randrange(1, 12):02}-10T17:00"})
    cron = f"{dice.randrange(60)} {','.join(str(dice.randrange(24)) for _ in range(2))} * * {dice.choice(['*', '1', '0,6'])}"
    job = Job(id="job0", action=OFF, cron=cron, timezone=dice.choice(ZONES))
    windows = tuple(Window.model_validate(one) for one in given)
    frozen_by = [FreezeWindow.model_validate(one) for one in freezes]

    assert as_told(job, windows, frozen_by) == by_the_rules_of_a_run(job, windows, frozen_by)


@pytest.mark.parametrize("seed", range(25))
def test_freezes_one_after_the_other_hold_what_they_hold_by_the_rules_of_a_run(seed: int) -> None:
    """Dated freezes of any length, each by its own clock, which follow each other with and without gaps."""
    dice = random.Random(seed)
    start, freezes = dt.datetime(2026, 11, 20), list[FreezeWindow]()  # noqa: DTZ001
    while start < dt.datetime(2028, 2, 1):  # noqa: DTZ001
        end = start + dt.timedelta(minutes=dice.choice([dice.randrange(1, 3000), dice.randrange(3000, 200_000)]))
        given = {"id": f"f{len(freezes)}", "start": start, "end": end, "timezone": dice.choice(ZONES)}
        freezes.append(FreezeWindow.model_validate(given))
        start = end - dt.timedelta(hours=dice.choice([0, 1, 14]), minutes=dice.choice([0, 0, 0, -1]))
    dice.shuffle(freezes)
    cron = f"{dice.randrange(60)} {dice.randrange(24)},{dice.choice([0, 1, 23])} * * {dice.choice(['*', '*', '1,4'])}"
    job = Job(id="job0", action=OFF, cron=cron, timezone=dice.choice(ZONES))
    windows = tuple(Window.model_validate(MORNING) for _ in range(dice.randrange(2))) or None

    assert as_told(job, windows, freezes) == by_the_rules_of_a_run(job, windows, freezes)


def test_many_jobs_and_many_stores_are_checked_in_seconds() -> None:
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
