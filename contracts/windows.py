"""Windows of wall time: when an action may work, and when hosts are left alone. Used by actions and by the freeze gate.

One rule for every clock change: a window holds whenever the clock on the wall, in either pass of a repeated hour, shows a
time inside it. The start belongs to it, the end does not, and one over midnight belongs to the day on which it starts.
``now`` must carry the zone in which the windows are written that name none, as a ZoneInfo, else ValueError: judged by UTC, a
night's window would open in the evening (W-07). Instants that come back are aware UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, model_validator

from contracts.config import Effect, FreezeWindow, Part, WallTime, Weekday, ZoneName
from contracts.text import say
from contracts.walltime import occurrences, offset_change, wall_of

_DAY = dt.timedelta(days=1)
_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Span = tuple[dt.datetime, dt.datetime]  # naive wall times, the end exclusive


class Window(Part):
    """A daily or weekly window, as a parameter of actions. An ``end`` before ``start`` is on the next day; empty: every."""

    model_config = ConfigDict(json_schema_extra={"format": "window"})  # see contracts.parameters

    start: WallTime
    end: WallTime
    weekdays: tuple[Weekday, ...] = ()
    stores: tuple[int, ...] = ()
    timezone: ZoneName | None = Field(None, description="of these times, for stores in another zone than the network's")

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.start == self.end:
            raise ValueError(say("start and end are equal; for a whole day use 00:00 and 23:59:59.999999"))
        return self

    def __str__(self) -> str:
        days = f" {','.join(self.weekdays)}" if self.weekdays else ""
        zone = f" {self.timezone}" if self.timezone else ""
        return f"{self.start:%H:%M}-{self.end:%H:%M}{days}{zone}"


@dataclass(frozen=True, slots=True)
class Frozen:
    """A freeze window that holds now, and the instant at which it ends."""

    window: FreezeWindow
    until: dt.datetime


def windows_at(windows: Iterable[Window], store: int | None) -> tuple[Window, ...]:
    """Those that hold for a store: the ones that name it replace the general ones there."""
    windows = tuple(windows)
    own = tuple(window for window in windows if store in window.stores)
    return own or tuple(window for window in windows if not window.stores)


def inside(windows: Iterable[Window], now: dt.datetime, store: int | None = None) -> dt.datetime | None:
    """The instant until which one of the windows holds, the latest if several do; None outside all of them.

    A window for some stores does not hold for a host whose store is not known: a permission must be certain.
    """
    untils = [
        _until(_daily(window.start, window.end, window.weekdays, there), there)
        for window in windows
        if not window.stores or store in window.stores
        for there in (_there(window, now),)
    ]
    return max((until for until in untils if until is not None), default=None)


def frozen(freezes: Iterable[FreezeWindow], effect: Effect, store: int | None, now: dt.datetime) -> Frozen | None:
    """The freeze that lasts longest among those that hold now for an effect at a store; None when nothing is frozen.

    A freeze of some stores also holds for a host whose store is not known: it may be one of them.
    """
    held = [
        Frozen(freeze, until)
        for freeze in freezes
        if effect in freeze.effects and (not freeze.stores or store is None or store in freeze.stores)
        for there in (_there(freeze, now),)
        if (until := _until(_spans(freeze, there), there)) is not None
    ]
    return max(held, key=lambda entry: entry.until, default=None)


def _there(window: Window | FreezeWindow, now: dt.datetime) -> dt.datetime:
    """Now in the zone of the window's own times (W-06: a network may have stores in several)."""
    return now.astimezone(ZoneInfo(window.timezone)) if window.timezone else now


def _spans(freeze: FreezeWindow, now: dt.datetime) -> Iterable[Span]:
    if freeze.start is not None and freeze.end is not None:
        return [(freeze.start, freeze.end)]
    assert freeze.from_time is not None and freeze.to_time is not None  # noqa: S101, PT018  # the model has tried the shape
    return _daily(freeze.from_time, freeze.to_time, freeze.weekdays, now)


def _daily(start: dt.time, end: dt.time, weekdays: tuple[Weekday, ...], now: dt.datetime) -> Iterator[Span]:
    """The spans that may hold now: one that starts today, and one from yesterday over midnight."""
    for day in (now.date(), now.date() - _DAY):
        if not weekdays or _WEEKDAYS[day.weekday()] in weekdays:
            last = day if start < end else day + _DAY
            yield dt.datetime.combine(day, start), dt.datetime.combine(last, end)


def _until(spans: Iterable[Span], now: dt.datetime) -> dt.datetime | None:
    zone = now.tzinfo
    if not isinstance(zone, ZoneInfo):
        raise ValueError(f"{now} must be given in the zone of the windows: now.astimezone(ZoneInfo(...))")  # noqa: TRY004
    wall = wall_of(now, zone)
    return next((_leaves(span, now.astimezone(dt.UTC), zone) for span in spans if span[0] <= wall < span[1]), None)


def _leaves(span: Span, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """When the clock, inside a span now, first shows a time outside it: at the end, or put back to before the start."""
    start, end = span
    leaves = next(instant for instant in occurrences(end, zone) if instant > now)
    jump = offset_change(zone, now, min(leaves, now + _DAY))
    return leaves if jump is None or start <= wall_of(jump, zone) else jump
