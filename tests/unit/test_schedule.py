"""When jobs run: crontab on wall time, once each, through every change of the clock; jitter, deadlines, the coming hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.config import Job
from contracts.schedule import Plan, fires_between, next_fire, parse_cron, plan_of, upcoming
from runtime.services.triggers import PlanTrigger

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NEW_YORK = ZoneInfo("America/New_York")
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def job(**given: object) -> Job:
    return Job.model_validate({"id": "night", "action": "shutdown_endpoint", "cron": "50 23 * * *", **given})


@pytest.mark.parametrize(
    ("zone", "cron", "after", "fires"),
    [
        # Brazil put its clocks forward at midnight: 2018-11-04 began at 01:00 (03:00 UTC).
        pytest.param(
            SAO_PAULO, "0 0 * * *", "2018-11-03 12:00", ["2018-11-04 03:00", "2018-11-05 02:00"], id="midnight"
        ),
        pytest.param(
            SAO_PAULO, "30 0 * * *", "2018-11-03 12:00", ["2018-11-04 03:00", "2018-11-05 02:30"], id="missing"
        ),
        pytest.param(SAO_PAULO, "*/20 0 4 11 *", "2018-11-03 12:00", ["2018-11-04 03:00"], id="missing, several"),
        pytest.param(
            SAO_PAULO, "0 0-2 4 11 *", "2018-11-03 12:00", ["2018-11-04 03:00", "2018-11-04 04:00"], id="both"
        ),
        pytest.param(SAO_PAULO, "59 23 3 11 *", "2018-11-03 12:00", ["2018-11-04 02:59"], id="before the gap"),
        # and back at midnight: 23:00 to 23:59 came twice on 2018-02-17.
        pytest.param(
            SAO_PAULO, "30 23 * * *", "2018-02-17 12:00", ["2018-02-18 01:30", "2018-02-19 02:30"], id="repeated"
        ),
        pytest.param(SAO_PAULO, "30 23 17 2 *", "2018-02-18 01:30", [], id="repeated, after its first pass"),
        pytest.param(SAO_PAULO, "30 23 17 2 *", "2018-02-18 02:10", [], id="repeated, asked in the second pass"),
        pytest.param(
            SAO_PAULO, "0 0 * * *", "2018-02-17 12:00", ["2018-02-18 03:00"], id="midnight after the repeated"
        ),
        pytest.param(NEW_YORK, "30 2 * * *", "2024-03-09 12:00", ["2024-03-10 07:00", "2024-03-11 06:30"], id="spring"),
        pytest.param(NEW_YORK, "30 1 * * *", "2024-11-02 12:00", ["2024-11-03 05:30", "2024-11-04 06:30"], id="autumn"),
        # Samoa left out the whole of 2011-12-30.
        pytest.param(
            ZoneInfo("Pacific/Apia"), "0 9 30 12 *", "2011-12-29 12:00", ["2011-12-30 10:00"], id="missing day"
        ),
        # Lord Howe's clocks move by half an hour.
        pytest.param(
            ZoneInfo("Australia/Lord_Howe"), "15 2 6 10 *", "2024-10-04 12:00", ["2024-10-05 15:30"], id="half"
        ),
        pytest.param(ZoneInfo("UTC"), "0 0 29 2 *", "2096-03-01 00:00", ["2104-02-29 00:00"], id="leap day, over 2100"),
        pytest.param(ZoneInfo("UTC"), "0 0 29 2 */7", "2088-03-01 00:00", ["2128-02-29 00:00"], id="leap Sunday"),
    ],
)
def test_fires_on_wall_time_once_each(zone: ZoneInfo, cron: str, after: str, fires: list[str]) -> None:
    start, parsed = utc(after), parse_cron(cron)
    until = start + (DAY * 2 if len(fires) < 2 else DAY * 3)
    if start.year > 2080:
        until = start + DAY * 366 * 41
    assert list(fires_between(parsed, zone, start, until))[: len(fires) or None] == [utc(fire) for fire in fires]


def test_a_five_minute_job_pauses_while_an_hour_is_repeated() -> None:
    fires = list(fires_between(parse_cron("*/5 * * * *"), SAO_PAULO, utc("2018-02-18 00:30"), utc("2018-02-18 04:00")))
    gaps = {b - a for a, b in pairwise(fires)}
    assert gaps == {5 * MINUTE, 65 * MINUTE}


def test_next_fire_is_strictly_later_and_aware_utc() -> None:
    fire = next_fire(parse_cron("0 0 * * *"), SAO_PAULO, utc("2026-01-01 03:00"))
    assert fire == utc("2026-01-02 03:00")
    assert fire is not None
    assert fire.tzinfo is dt.UTC


def test_the_calendar_ends() -> None:
    assert next_fire(parse_cron("0 0 * * *"), SAO_PAULO, utc("9998-12-31 12:00")) is None


# --- against a walker that knows nothing but minutes ---


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, frozenset[int]]:
    """A crontab field and, made beside it, the values it means."""
    everything = frozenset(range(low, high + 1))
    kind = draw(st.sampled_from(["*", "*", "one", "list", "range", "step"]))
    if kind == "*":
        return "*", everything
    if kind == "step":
        step = draw(st.integers(1, high - low + 1))
        return f"*/{step}", frozenset(range(low, high + 1, step))
    a, b = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    if kind == "one":
        return str(a), frozenset({a})
    if kind == "list":
        return f"{b},{a}", frozenset({a, b})
    return f"{a}-{b}", frozenset(range(a, b + 1))


# Days around changes of the clock: forward and back, at midnight and at night, by 60, 30 and 1440 minutes; and plain ones.
MOMENTS = [
    ("America/Sao_Paulo", "2018-11-03"),
    ("America/Sao_Paulo", "2018-02-17"),
    ("America/Sao_Paulo", "2026-05-01"),
    ("America/New_York", "2024-03-09"),
    ("America/New_York", "2024-11-02"),
    ("Europe/London", "2050-10-29"),
    ("Australia/Lord_Howe", "2024-04-06"),
    ("Australia/Lord_Howe", "2024-10-05"),
    ("Pacific/Apia", "2011-12-29"),
    ("America/Asuncion", "2022-10-01"),
    ("Africa/Casablanca", "2024-04-13"),
    ("Asia/Kathmandu", "2026-03-31"),
]


def walked(zone: ZoneInfo, start: dt.datetime, until: dt.datetime) -> Iterator[tuple[dt.datetime, list[dt.datetime]]]:
    """Each minute as an instant, with the wall minutes that come up for the first time or were left out just before it."""
    instant = start - 2 * DAY
    latest = instant.astimezone(zone).replace(tzinfo=None)
    while instant <= until:
        wall, new = instant.astimezone(zone).replace(tzinfo=None), []
        while latest < wall:
            latest += MINUTE
            new.append(latest)
        if instant > start:
            yield instant, new
        instant += MINUTE


@settings(max_examples=60, deadline=None)
@given(
    moment=st.sampled_from(MOMENTS),
    minute=fields(0, 59),
    hour=fields(0, 23),
    day=fields(1, 31),
    month=st.one_of(st.just(("*", frozenset(range(1, 13)))), fields(1, 12)),
    weekday=fields(0, 6),
    into=st.integers(0, 2000),
)
def test_fires_are_those_of_a_search_minute_by_minute(
    moment: tuple[str, str],
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    day: tuple[str, frozenset[int]],
    month: tuple[str, frozenset[int]],
    weekday: tuple[str, frozenset[int]],
    into: int,
) -> None:
    zone, start = ZoneInfo(moment[0]), utc(moment[1]) + into * MINUTE
    until = start + 2 * DAY
    texts = [field[0] for field in (minute, hour, day, month, weekday)]
    minutes, hours, days, months, weekdays = (field[1] for field in (minute, hour, day, month, weekday))

    def due(wall: dt.datetime) -> bool:
        by_day, by_weekday = wall.day in days, (wall.weekday() + 1) % 7 in weekdays
        right_day = (by_day or by_weekday) if not (texts[2][0] == "*" or texts[4][0] == "*") else by_day and by_weekday
        return wall.minute in minutes and wall.hour in hours and wall.month in months and right_day

    expected = [instant for instant, walls in walked(zone, start, until) if any(map(due, walls))]
    try:
        cron = parse_cron(" ".join(texts))
    except ValueError:  # such as 30 February
        assert not expected
        return
    assert list(fires_between(cron, zone, start, until)) == expected


@settings(max_examples=60, deadline=None)
@given(
    moment=st.sampled_from(MOMENTS),
    cron=st.sampled_from(["*/7 * * * *", "30 0-3 * * *", "0 0 * * *"]),
    cut=st.integers(1, 4000),
)
def test_spans_that_meet_share_no_fire_and_lose_none(moment: tuple[str, str], cron: str, cut: int) -> None:
    zone, start, parsed = ZoneInfo(moment[0]), utc(moment[1]), parse_cron(cron)
    middle, end = start + cut * MINUTE, start + 3 * DAY
    parts = [*fires_between(parsed, zone, start, middle), *fires_between(parsed, zone, middle, end)]
    assert parts == list(fires_between(parsed, zone, start, end))


# --- jitter ---


@settings(max_examples=60, deadline=None)
@given(agent=st.text(max_size=40), jitter=st.integers(0, 3600))
def test_jitter_delays_by_at_most_its_seconds_and_always_the_same(agent: str, jitter: int) -> None:
    plan = plan_of(job(jitter=jitter), SAO_PAULO, agent)
    assert plan == plan_of(job(jitter=jitter), SAO_PAULO, agent)
    assert 0 <= plan.offset.total_seconds() <= jitter
    nominal = utc("2026-05-02 02:50")
    assert plan.next(nominal - MINUTE * 70) == nominal + plan.offset
    assert plan.next(nominal + plan.offset) == nominal + DAY + plan.offset


def test_jitter_spreads_proxies_and_jobs() -> None:
    agents = {plan_of(job(jitter=600), SAO_PAULO, f"agent-{n}").offset for n in range(200)}
    jobs = {plan_of(job(jitter=600, id=f"job-{n}"), SAO_PAULO, "agent").offset for n in range(200)}
    assert len(agents) > 100
    assert len(jobs) > 100


@pytest.mark.parametrize(("agent", "seconds"), [("agent-1", 3596), ("agent-2", 1481), ("proxy-sul", 154)])
def test_jitter_is_the_same_in_every_version(agent: str, seconds: int) -> None:
    """An update must not move the jobs of a fleet."""
    assert plan_of(job(jitter=3600), SAO_PAULO, agent).offset == dt.timedelta(seconds=seconds)


def test_a_fire_that_jitter_has_not_reached_yet_is_the_next_one() -> None:
    """Between what the cron names (23:50, 02:50 UTC) and its planned instant ten minutes later."""
    plan = Plan(parse_cron("50 23 * * *"), SAO_PAULO, 10 * MINUTE)
    today = utc("2026-05-02 03:00")
    assert plan.next(utc("2026-05-02 02:55")) == today
    assert list(plan.between(utc("2026-05-02 02:55"), utc("2026-05-03 03:00"))) == [today, today + DAY]
    assert list(plan.between(today, utc("2026-05-03 02:55"))) == []


@pytest.mark.parametrize(
    ("cron", "after", "fire"),
    [
        ("0 12 1 2 *", "2026-01-31 23:00", "2026-02-01 15:00"),
        ("0 12 1 3 *", "2026-01-31 23:00", "2026-03-01 15:00"),
        ("0 12 1 2 *", "2026-12-31 23:00", "2027-02-01 15:00"),
        ("0 12 31 * *", "2026-01-31 23:00", "2026-03-31 15:00"),
    ],
)
def test_no_month_is_left_out_after_the_end_of_a_long_one(cron: str, after: str, fire: str) -> None:
    assert next_fire(parse_cron(cron), SAO_PAULO, utc(after)) == utc(fire)


def test_jitter_longer_than_the_interval_loses_no_fire() -> None:
    plan = Plan(parse_cron("*/5 * * * *"), SAO_PAULO, dt.timedelta(seconds=1000))
    fires = list(plan.between(utc("2026-05-01 00:00"), utc("2026-05-02 00:00")))
    assert len(fires) == 288
    assert {b - a for a, b in pairwise(fires)} == {5 * MINUTE}


# --- deadlines ---


@pytest.mark.parametrize(
    ("cron", "not_after", "planned", "deadline"),
    [
        pytest.param("50 23 * * *", "05:00", "2026-05-02 02:50", "2026-05-02 08:00", id="over midnight"),
        pytest.param("0 1 * * *", "05:00", "2026-05-02 04:00", "2026-05-02 08:00", id="the same day"),
        pytest.param("50 23 * * *", "23:55", "2026-05-02 02:50", "2026-05-02 02:55", id="minutes later"),
        pytest.param("50 23 * * *", "23:50", "2026-05-02 02:50", "2026-05-02 02:50", id="at once: starts nothing"),
        pytest.param("50 23 * * *", "23:00", "2026-05-02 02:50", "2026-05-03 02:00", id="nearly a day"),
        pytest.param("30 23 * * *", "00:30", "2018-11-04 02:30", "2018-11-04 03:00", id="deadline in the missing hour"),
        pytest.param("30 0 4 * *", "00:45", "2018-11-04 03:00", "2018-11-04 03:00", id="both in the missing hour"),
        pytest.param("30 0 4 * *", "01:30", "2018-11-04 03:00", "2018-11-04 03:30", id="job in the missing hour"),
        pytest.param("0 22 * * *", "23:30", "2018-02-18 00:00", "2018-02-18 01:30", id="deadline in the repeated hour"),
        pytest.param("30 23 * * *", "23:10", "2018-02-18 01:30", "2018-02-19 02:10", id="job in the repeated hour"),
    ],
)
def test_not_after_becomes_the_deadline_of_a_planned_fire(
    cron: str, not_after: str, planned: str, deadline: str
) -> None:
    plan = plan_of(job(cron=cron, not_after=not_after), SAO_PAULO, "agent")
    assert plan.next(utc(planned) - MINUTE) == utc(planned)
    assert plan.deadline(utc(planned)) == utc(deadline)


def test_a_run_that_jitter_carries_past_its_deadline_starts_nothing() -> None:
    plan = Plan(parse_cron("50 23 * * *"), SAO_PAULO, dt.timedelta(minutes=40), dt.time(0, 10))
    planned = plan.next(utc("2026-05-01 12:00"))
    assert planned == utc("2026-05-02 03:30")
    assert plan.deadline(planned) == utc("2026-05-02 03:10")


def test_without_not_after_there_is_no_deadline() -> None:
    assert plan_of(job(), SAO_PAULO, "agent").deadline(utc("2026-05-02 02:50")) is None


@settings(max_examples=60, deadline=None)
@given(moment=st.sampled_from(MOMENTS), hour=st.integers(0, 23), minute=st.integers(0, 59), into=st.integers(0, 3000))
def test_a_deadline_is_never_before_its_fire_nor_more_than_a_day_of_wall_time_later(
    moment: tuple[str, str], hour: int, minute: int, into: int
) -> None:
    plan = Plan(parse_cron("*/13 * * * *"), ZoneInfo(moment[0]), not_after=dt.time(hour, minute))
    fire = plan.next(utc(moment[1]) + into * MINUTE)
    assert fire is not None
    deadline = plan.deadline(fire)
    assert deadline is not None
    assert fire <= deadline <= fire + 2 * DAY


# --- the coming hours ---


def test_the_coming_hours_are_listed_in_order_without_disabled_jobs() -> None:
    jobs = [
        job(id="late"),
        job(id="off", cron="* * * * *", enabled=False),
        job(id="hourly", cron="@hourly", action="collect_coupon_details"),
        job(id="elsewhere", cron="0 23 * * *", timezone="America/Manaus"),
    ]
    planned = upcoming(jobs, SAO_PAULO, utc("2026-05-01 23:30"), 4)
    assert [(f"{instant:%d %H:%M}", entry.id) for instant, entry in planned] == [
        ("02 00:00", "hourly"),
        ("02 01:00", "hourly"),
        ("02 02:00", "hourly"),
        ("02 02:50", "late"),
        ("02 03:00", "elsewhere"),
        ("02 03:00", "hourly"),
    ]


def test_the_printer_refresh_runs_once_a_night() -> None:
    """W-09: the first generation's line fired at every minute of that hour."""
    planned = upcoming([job(id="printer", cron="0 1 * * *")], SAO_PAULO, utc("2026-05-01 00:00"), 7 * 24)
    assert len(planned) == 7


# --- the scheduler's trigger ---


def test_the_scheduler_takes_its_times_from_the_plan() -> None:
    scheduler = BackgroundScheduler(timezone=dt.UTC)
    plan = plan_of(job(jitter=600), SAO_PAULO, "agent")
    trigger = PlanTrigger(plan)
    scheduled = scheduler.add_job(print, trigger)
    scheduler.start(paused=True)
    try:
        assert scheduled.next_run_time == plan.next(dt.datetime.now(dt.UTC))
    finally:
        scheduler.shutdown()


def test_the_trigger_continues_after_the_previous_fire_so_that_missed_ones_are_seen() -> None:
    trigger = PlanTrigger(plan_of(job(), SAO_PAULO, "agent"))
    now = utc("2026-05-05 12:00")
    seen = [trigger.get_next_fire_time(utc("2026-05-03 02:50"), now)]
    while seen[-1] is not None and seen[-1] <= now:
        seen.append(trigger.get_next_fire_time(seen[-1], now))
    assert [f"{fire:%d %H:%M}" for fire in seen if fire] == ["04 02:50", "05 02:50", "06 02:50"]


def test_the_trigger_does_not_walk_through_years_of_missed_fires_when_a_dead_clock_is_corrected() -> None:
    trigger = PlanTrigger(plan_of(job(), SAO_PAULO, "agent"))
    assert trigger.get_next_fire_time(utc("2009-01-01 00:00"), utc("2026-05-05 12:00")) == utc("2026-05-04 02:50")


def test_the_trigger_never_repeats_a_fire_in_the_repeated_hour() -> None:
    trigger = PlanTrigger(plan_of(job(cron="30 23 17 2 *"), SAO_PAULO, "agent"))
    fire = trigger.get_next_fire_time(None, utc("2018-02-18 00:00").astimezone(SAO_PAULO))
    assert fire == utc("2018-02-18 01:30")
    assert trigger.get_next_fire_time(fire, fire + 70 * MINUTE) == utc("2019-02-18 02:30")
