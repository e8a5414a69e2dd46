"""When updates may be taken: by the clock on the wall, over midnight and over changes of the clock."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from contracts.update_window import parse_update_window

SAO_PAULO, BERLIN = ZoneInfo("America/Sao_Paulo"), ZoneInfo("Europe/Berlin")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("window", "utc", "is_open"),
    [
        ("02:00-05:00", "2026-03-10 04:59", False),
        ("02:00-05:00", "2026-03-10 05:00", True),
        ("02:00-05:00", "2026-03-10 07:59", True),
        ("02:00-05:00", "2026-03-10 08:00", False),
        ("23:00-01:00", "2026-03-11 01:59", False),
        ("23:00-01:00", "2026-03-11 02:00", True),
        ("23:00-01:00", "2026-03-11 03:59", True),
        ("23:00-01:00", "2026-03-11 04:00", False),
        ("22:00-00:00", "2026-03-11 02:59", True),
        ("22:00-00:00", "2026-03-11 03:00", False),
    ],
)
def test_a_window_is_of_the_zone_s_wall_time(window: str, utc: str, is_open: bool) -> None:
    assert parse_update_window(window).is_open(at(utc), SAO_PAULO) is is_open


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        ("2026-10-25 00:30", True),  # 02:30 for the first time
        ("2026-10-25 01:30", True),  # 02:30 again
        ("2026-10-25 02:00", False),
        ("2026-03-29 00:59", False),
        ("2026-03-29 01:00", False),  # 03:00 at once: that night has no such hour
        ("2026-03-30 00:30", True),
    ],
)
def test_both_passes_of_a_repeated_hour_are_inside_and_a_skipped_hour_is_not_there(utc: str, is_open: bool) -> None:
    assert parse_update_window("02:00-03:00").is_open(at(utc), BERLIN) is is_open


@pytest.mark.parametrize(("window", "seconds"), [("02:00-05:00", 10800), ("23:30-00:30", 3600), ("00:01-00:00", 86340)])
def test_a_window_has_a_length(window: str, seconds: int) -> None:
    assert (parse_update_window(window).seconds, str(parse_update_window(window))) == (seconds, window)


@pytest.mark.parametrize(
    "text", ["", "02:00", "2:00-3:00", "02:00-24:00", "02:00-03:00 mon", "\u0660\u0662:00-03:00", "02:00-02:00"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a window|at the same time"):
        parse_update_window(text)
