"""Two clocks each: the proxy's wall clock beside its monotonic one, and the terminal's beside the proxy's."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from contracts.windows import Window
from runtime.domain.action import Refused
from runtime.domain.time.clocks import Anchor, inside_by_both

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NIGHT = Window(start=dt.time(22), end=dt.time(6))
NOW = dt.datetime(2026, 5, 4, 23, 30, tzinfo=SAO_PAULO)


@dataclass
class HandClock:
    """A clock that is set by hand."""

    wall: dt.datetime = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
    seconds: float = 1000.0

    def now(self) -> dt.datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("wall", "monotonic", "says"),
    [
        pytest.param(0.0, 0.0, None, id="nothing passed"),
        pytest.param(3600.0, 3600.0, None, id="an hour passed"),
        pytest.param(3630.0, 3600.0, None, id="exactly the limit"),
        pytest.param(3631.0, 3600.0, "jumped forward by 31 s", id="forward"),
        pytest.param(-3600.0, 60.0, "jumped back by 3660 s", id="back"),
        pytest.param(28800.0, 60.0, "jumped forward by 28740 s", id="the machine slept"),
    ],
)
def test_a_jump_of_the_wall_clock_shows_against_the_monotonic_one(
    wall: float, monotonic: float, says: str | None
) -> None:
    clock = HandClock()
    anchor = Anchor.take(clock)
    clock.wall += dt.timedelta(seconds=wall)
    clock.seconds += monotonic
    sentence = anchor.jumped(clock, 30.0)
    assert (says is None) == (sentence is None)
    assert says is None or says in (sentence or "")


@pytest.mark.parametrize(
    ("ahead", "until"),
    [
        pytest.param(0, "06:00", id="the same time"),
        pytest.param(-3600, "06:00", id="the terminal is late: ours ends first"),
        pytest.param(3600, "05:00", id="the terminal is ahead: its window ends first"),
        pytest.param(86400, "06:00", id="a day ahead, in the next night"),
    ],
)
def test_the_window_ends_with_the_clock_that_leaves_it_first(ahead: int, until: str) -> None:
    found = inside_by_both([NIGHT], NOW, int(NOW.timestamp()) + ahead)
    assert isinstance(found, dt.datetime)
    assert f"{found.astimezone(SAO_PAULO):%H:%M}" == until


@pytest.mark.parametrize(
    ("now", "epoch", "code"),
    [
        pytest.param(NOW.replace(hour=12), int(NOW.timestamp()), "outside_window", id="ours is outside"),
        pytest.param(NOW, int(NOW.timestamp()) + 12 * 3600, "clocks_disagree", id="the terminal's is outside"),
        pytest.param(NOW, int(NOW.timestamp()) - 3 * 3600, "clocks_disagree", id="a terminal set to UTC minus six"),
        pytest.param(NOW, 0, "clocks_disagree", id="a terminal with an empty battery, at 21:00 in 1969"),
        pytest.param(NOW, None, "no_clock", id="unreadable"),
        pytest.param(NOW, 10**30, "no_clock", id="a number that is no time"),
        pytest.param(NOW, -(10**15), "no_clock", id="before the calendar"),
    ],
)
def test_in_doubt_about_either_clock_the_power_off_is_refused(now: dt.datetime, epoch: int | None, code: str) -> None:
    refused = inside_by_both([NIGHT], now, epoch)
    assert isinstance(refused, Refused)
    assert refused.code == code


def test_a_refusal_names_the_windows_that_are_allowed() -> None:
    refused = inside_by_both(
        [NIGHT, Window(start=dt.time(13), end=dt.time(14, 30), weekdays=("sun",))], NOW.replace(hour=8), 0
    )
    assert isinstance(refused, Refused)
    assert "allowed: 22:00-06:00, 13:00-14:30 sun" in refused.message


def test_windows_of_other_stores_do_not_count() -> None:
    refused = inside_by_both([Window(start=dt.time(22), end=dt.time(6), stores=(3,))], NOW, int(NOW.timestamp()), 4)
    assert isinstance(refused, Refused)
