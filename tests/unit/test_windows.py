"""Windows of wall time and freezes: weekdays, stores, midnight, and the days on which the clock changes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.config import FreezeWindow, Weekday
from contracts.windows import Window, frozen, inside, windows_at

ZONES = ["America/Sao_Paulo", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Europe/London"]
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
DAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def window(text: str, **given: object) -> Window:
    start, end = text.split("-")
    return Window.model_validate({"start": start, "end": end, **given})


def local(text: str, *, second_pass: bool = False) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=SAO_PAULO, fold=int(second_pass))


def wall(instant: dt.datetime | None) -> str | None:
    return None if instant is None else f"{instant.astimezone(SAO_PAULO):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("spec", "now", "until"),
    [
        ("13:00-14:30", "2026-05-04 12:59:59", None),
        ("13:00-14:30", "2026-05-04 13:00", "2026-05-04 14:30"),
        ("13:00-14:30", "2026-05-04 14:29:59.999999", "2026-05-04 14:30"),
        ("13:00-14:30", "2026-05-04 14:30", None),
        ("22:00-06:00", "2026-05-04 21:59", None),
        ("22:00-06:00", "2026-05-04 22:00", "2026-05-05 06:00"),
        ("22:00-06:00", "2026-05-05 00:00", "2026-05-05 06:00"),
        ("22:00-06:00", "2026-05-05 05:59", "2026-05-05 06:00"),
        ("22:00-06:00", "2026-05-05 06:00", None),
        ("22:00-06:00", "2026-05-05 12:00", None),
        ("22:00-00:00", "2026-05-04 23:59", "2026-05-05 00:00"),
        ("22:00-00:00", "2026-05-05 00:00", None),
        ("00:00-06:00", "2026-05-05 00:00", "2026-05-05 06:00"),
        ("00:00-23:59:59.999999", "2026-05-05 12:00", "2026-05-05 23:59"),
    ],
)
def test_the_start_belongs_to_a_window_and_the_end_does_not(spec: str, now: str, until: str | None) -> None:
    assert wall(inside([window(spec)], local(now))) == until


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        pytest.param("2026-05-02 23:00", True, id="Saturday evening"),
        pytest.param("2026-05-03 05:00", True, id="Sunday morning belongs to Saturday's window"),
        pytest.param("2026-05-03 23:00", False, id="Sunday evening"),
        pytest.param("2026-05-02 05:00", False, id="Saturday morning belongs to Friday's"),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts(now: str, holds: bool) -> None:
    assert (inside([window("22:00-06:00", weekdays=["sat"])], local(now)) is not None) is holds


@pytest.mark.parametrize("day", range(7), ids=DAYS)
def test_a_window_of_one_weekday_holds_on_that_day_alone(day: int) -> None:
    one = window("08:00-18:00", weekdays=[DAYS[day]])
    noons = [local(f"2026-05-{4 + number:02} 12:00") for number in range(7)]  # from a Monday on
    assert [number for number, noon in enumerate(noons) if inside([one], noon)] == [day]


GENERAL, FOR_3, FOR_3_AND_4 = (
    window("22:00-06:00"),
    window("01:00-02:00", stores=[3]),
    window("03:00-04:00", stores=[3, 4]),
)


@pytest.mark.parametrize(
    ("store", "expected"),
    [(3, (FOR_3, FOR_3_AND_4)), (4, (FOR_3_AND_4,)), (5, (GENERAL,)), (None, (GENERAL,))],
)
def test_windows_that_name_a_store_replace_the_general_ones_there(
    store: int | None, expected: tuple[Window, ...]
) -> None:
    assert windows_at((FOR_3, GENERAL, FOR_3_AND_4), store) == expected


def test_where_no_window_names_a_store_or_is_general_there_is_none() -> None:
    assert windows_at((FOR_3,), 4) == ()


@pytest.mark.parametrize(("store", "holds"), [(3, True), (4, False), (None, False)])
def test_a_window_for_some_stores_holds_for_them_only(store: int | None, holds: bool) -> None:
    assert (inside([window("22:00-06:00", stores=[3])], local("2026-05-04 23:00"), store) is not None) is holds


def test_the_latest_end_counts_when_several_windows_hold() -> None:
    several = [window("22:00-02:00"), window("23:00-06:00"), window("23:30-01:00")]
    assert wall(inside(several, local("2026-05-04 23:45"))) == "2026-05-05 06:00"


@pytest.mark.parametrize(
    ("now", "until"),
    [("2026-05-04 22:30", None), ("2026-05-04 23:30", "2026-05-05 07:00"), ("2026-05-05 06:30", "2026-05-05 07:00")],
)
def test_a_window_with_a_zone_of_its_own_goes_by_the_stores_clock(now: str, until: str | None) -> None:
    """Manaus is an hour behind Sao Paulo: 22:00 there is 23:00 here."""
    manaus = window("22:00-06:00", stores=[7], timezone="America/Manaus")
    assert wall(inside([manaus], local(now), store=7)) == until
    freeze = {"id": "night", "from_time": "22:00", "to_time": "06:00", "timezone": "America/Manaus"}
    held = frozen([FreezeWindow.model_validate(freeze)], "change", 7, local(now))
    assert wall(held.until if held else None) == until
    assert str(manaus) == "22:00-06:00 America/Manaus"


def test_without_windows_nothing_is_inside() -> None:
    assert inside([], local("2026-05-04 23:00")) is None


@pytest.mark.parametrize(
    ("spec", "now", "second_pass", "until"),
    [
        # 2018-11-04 began at 01:00; 23:00 to 23:59 came twice on 2018-02-17.
        pytest.param("22:00-00:30", "2018-11-03 23:00", False, "2018-11-04 01:00", id="the end is missing"),
        pytest.param("23:00-06:00", "2018-02-17 23:30", False, "2018-02-18 06:00", id="put back to the very start"),
        pytest.param("00:15-02:00", "2018-11-04 01:00", False, "2018-11-04 02:00", id="the start is missing"),
        pytest.param("22:00-06:00", "2018-11-03 23:00", False, "2018-11-04 06:00", id="over the gap"),
        pytest.param(
            "22:00-06:00", "2018-02-17 23:30", False, "2018-02-18 06:00", id="over the repeated hour, first pass"
        ),
        pytest.param(
            "22:00-06:00", "2018-02-17 23:30", True, "2018-02-18 06:00", id="over the repeated hour, second pass"
        ),
        pytest.param("22:00-23:30", "2018-02-17 23:10", False, "2018-02-17 23:30", id="ends in the first pass"),
        pytest.param("22:00-23:30", "2018-02-17 23:40", False, None, id="between the passes"),
        pytest.param("22:00-23:30", "2018-02-17 23:10", True, "2018-02-17 23:30", id="holds again in the second pass"),
        pytest.param(
            "23:30-06:00", "2018-02-17 23:40", False, "2018-02-17 23:00", id="the clock is put back before the start"
        ),
        pytest.param("23:30-06:00", "2018-02-17 23:10", True, None, id="put back: outside"),
        pytest.param("23:30-06:00", "2018-02-17 23:30", True, "2018-02-18 06:00", id="put back: inside again"),
    ],
)
def test_the_clock_on_the_wall_decides_on_days_of_change(
    spec: str, now: str, second_pass: bool, until: str | None
) -> None:
    assert wall(inside([window(spec)], local(now, second_pass=second_pass))) == until


@pytest.mark.parametrize(("second_pass", "hour"), [(False, 1), (True, 2)])
def test_an_end_in_the_repeated_hour_is_that_of_the_pass(second_pass: bool, hour: int) -> None:
    until = inside([window("22:00-23:30")], local("2018-02-17 23:10", second_pass=second_pass))
    assert until == dt.datetime(2018, 2, 18, hour, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("now", [dt.datetime(2026, 5, 4, 23), dt.datetime(2026, 5, 4, 23, tzinfo=dt.UTC)])  # noqa: DTZ001
def test_a_time_without_the_zone_of_the_windows_is_refused(now: dt.datetime) -> None:
    """W-07: judged by UTC, the night's window would open at 19:00."""
    with pytest.raises(ValueError, match="in the zone of the windows"):
        inside([window("22:00-06:00")], now)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "22:00", "end": "22:00"},
        {"start": "22:00"},
        {"start": 22, "end": 6},
        {"start": "22:00", "end": "24:00"},
        {"start": "22:00Z", "end": "06:00"},
        {"start": "22:00", "end": "06:00", "weekdays": ["saturday"]},
        {"start": "22:00", "end": "06:00", "store": 3},
    ],
)
def test_a_window_that_could_be_misread_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate(wrong)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    minute = st.integers(0, 24 * 60 - 1).map(lambda n: dt.time(n // 60, n % 60))
    start, end = draw(minute), draw(minute)
    pause = ((start.hour - end.hour) * 60 + start.minute - end.minute) % (24 * 60)
    # A shorter pause may lie in an hour that the clock leaves out: then the next day's window follows without one.
    assume(pause > 60)
    return Window(start=start, end=end, weekdays=tuple(draw(st.sets(st.sampled_from(DAYS), max_size=4))))


def shown(given: Window, now: dt.datetime) -> bool:
    """Whether a window is open, by the clock's face alone."""
    today, before = DAYS[now.weekday()], DAYS[now.weekday() - 1]
    time, days = now.time(), given.weekdays or DAYS
    if given.start < given.end:
        return today in days and given.start <= time < given.end
    return (today in days and time >= given.start) or (before in days and time < given.end)


@settings(max_examples=300, deadline=None)
@given(
    spec=windows(),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    # Not the day that Samoa left out in 2011: where a whole date is missing, the clock's face alone does not tell the day.
    day=st.sampled_from(["2018-02-17", "2018-11-03", "2024-03-09", "2024-04-06", "2024-11-02", "2026-05-04"]),
    seconds=st.integers(0, 3 * 86400),
)
def test_a_window_holds_by_the_clocks_face_and_ends_when_it_says(
    spec: Window, zone: ZoneInfo, day: str, seconds: int
) -> None:
    start = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)
    now = (start + dt.timedelta(seconds=seconds)).astimezone(zone)
    until = inside([spec], now)
    assert (until is not None) == shown(spec, now)
    if until is None:
        return
    second, now_utc = dt.timedelta(seconds=1), now.astimezone(dt.UTC)
    assert until > now_utc
    assert not shown(spec, until.astimezone(zone))
    steps = [now_utc + (until - now_utc) * n / 50 for n in range(50)] + [until - second]
    assert all(shown(spec, max(step, now_utc).astimezone(zone)) for step in steps)


# --- freezes ---


def freeze(name: str, **given: object) -> FreezeWindow:
    return FreezeWindow.model_validate({"id": name, **given})


CHRISTMAS = freeze("christmas", start="2026-12-20T00:00", end="2027-01-02T06:00", reason="Christmas trade")
MONTH_END = freeze("evening", from_time="17:00", to_time="20:00", weekdays=["fri"], stores=[3], effects=["disrupt"])


@pytest.mark.parametrize(
    ("effect", "store", "now", "name", "until"),
    [
        ("change", 1, "2026-12-20 00:00", "christmas", "2027-01-02 06:00"),
        ("disrupt", None, "2026-12-25 12:00", "christmas", "2027-01-02 06:00"),
        ("read", 1, "2026-12-25 12:00", None, None),
        ("change", 1, "2026-12-19 23:59", None, None),
        ("change", 1, "2027-01-02 06:00", None, None),
        ("disrupt", 3, "2026-05-08 18:00", "evening", "2026-05-08 20:00"),
        ("disrupt", 4, "2026-05-08 18:00", None, None),
        ("change", 3, "2026-05-08 18:00", None, None),
        ("disrupt", 3, "2026-05-09 18:00", None, None),
        pytest.param(
            "disrupt", None, "2026-05-08 18:00", "evening", "2026-05-08 20:00", id="an unknown store may be store 3"
        ),
        pytest.param(
            "disrupt", 3, "2026-12-25 18:00", "christmas", "2027-01-02 06:00", id="the one that lasts longest"
        ),
    ],
)
def test_a_freeze_holds_for_its_effects_stores_and_time(
    effect: str, store: int | None, now: str, name: str | None, until: str | None
) -> None:
    found = frozen((MONTH_END, CHRISTMAS), effect, store, local(now))  # type: ignore[arg-type]
    assert (found.window.id if found else None) == name
    assert wall(found.until if found else None) == until


def test_a_freeze_over_months_ends_by_the_wall_clock() -> None:
    summer = freeze("summer", start="2017-10-01T00:00", end="2018-02-17T23:30")
    found = frozen([summer], "change", 1, local("2017-10-02 12:00"))
    assert found is not None
    assert found.until == dt.datetime(2018, 2, 18, 1, 30, tzinfo=dt.UTC)
    assert frozen([summer], "change", 1, local("2018-02-17 23:10", second_pass=True)) is not None


def test_a_freeze_over_months_pauses_where_the_clock_is_put_back_before_its_start() -> None:
    season = freeze("season", start="2018-02-17T23:30", end="2018-12-01T00:00")
    found = frozen([season], "change", 1, local("2018-02-17 23:40"))
    assert found is not None
    assert found.until == dt.datetime(2018, 2, 18, 2, 0, tzinfo=dt.UTC)
    assert frozen([season], "change", 1, local("2018-02-17 23:10", second_pass=True)) is None


def test_nothing_is_frozen_without_freezes() -> None:
    assert frozen((), "disrupt", 1, local("2026-12-25 12:00")) is None
