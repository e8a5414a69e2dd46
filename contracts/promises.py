"""Whether a scheduled job can ever do what it promises: its times against windows, freezes and its own ``not_after``. Pure.

The rules are those of a run, from :mod:`contracts.windows` and :mod:`contracts.schedule`. Looked at is a little more than a year,
day by day; what is alike for every clock and window involved is judged once.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

from contracts.config import Effect, FreezeWindow, Job
from contracts.schedule import plan_of
from contracts.text import one_of, say, some_of
from contracts.walltime import occurrences, offset_change, wall_of
from contracts.windows import Window, frozen, inside, windows_at

DAYS = 400
_DAY = dt.timedelta(days=1)
_SECOND = dt.timedelta(seconds=1)
_SHOWN = 5
Rule = TypeVar("Rule", Window, FreezeWindow)
_LATE_LIMIT = dt.timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Unmet:
    """Why a job never does anything (``always``), or only for some stores or some proxies."""

    always: bool
    text: str


def unmet(
    job: Job,
    *,
    zone: ZoneInfo,
    effect: Effect,
    windows: Sequence[Window] | None,
    freezes: Sequence[FreezeWindow],
    now: dt.datetime,
) -> Iterator[Unmet]:
    """``zone``: the network's; ``windows``: of the action, None for one that works at any time; ``now``: aware.

    Of jitter only the earliest start is judged: the offset belongs to a proxy, and a check has none.
    """
    yield from _not_after(job, zone, now)
    stores = _stores(job, windows or (), freezes)
    classes = _classes(stores, effect, None if windows is None else tuple(windows), tuple(freezes))
    judged = [(alike, _why_never(job, zone, effect, allowed, held, alike[0], now)) for alike, allowed, held in classes]
    never = [(alike, text) for alike, text in judged if text]
    if len(never) == len(judged):
        yield Unmet(True, say("can never run: {cause}", cause=never[0][1]))
        return
    for alike, text in never:
        named = [store for store in alike if store >= 0]
        if named:
            yield Unmet(
                False,
                say("can never run in store {stores}: {cause}", stores=some_of([*map(str, named)], _SHOWN), cause=text),
            )


def _stores(job: Job, windows: Iterable[Window], freezes: Iterable[FreezeWindow]) -> tuple[int, ...]:
    """The stores that a rule can treat differently; -1 stands for every other one. A job for some stores means only those."""
    if job.selector.stores:
        return tuple(dict.fromkeys(job.selector.stores))
    own = {store for window in windows for store in window.stores} | {
        store for freeze in freezes for store in freeze.stores
    }
    return (-1, *sorted(own))


@lru_cache(maxsize=32)
def _classes(
    stores: tuple[int, ...], effect: Effect, windows: tuple[Window, ...] | None, freezes: tuple[FreezeWindow, ...]
) -> tuple[tuple[list[int], tuple[Window, ...] | None, tuple[FreezeWindow, ...]], ...]:
    """Stores whose rules are the same, however they are named, with these rules. Cached: the jobs of a document share them."""
    effective = [freeze for freeze in freezes if effect in freeze.effects]
    everywhere = [freeze for freeze in effective if not freeze.stores]
    own_windows, own_freezes = _by_store(windows or ()), _by_store(effective)
    found: dict[str, tuple[list[int], tuple[Window, ...] | None, tuple[FreezeWindow, ...]]] = {}
    for store in stores:
        own = (*own_windows[store], *own_freezes[store])
        # Rules for every store are the same for all of them, so only its own tell a store apart.
        same = str([rule.model_dump(exclude={"id", "reason", "stores"}) for rule in own])
        key = f"{len(own_windows[store])} {same}"
        if key not in found:
            allowed = None if windows is None else windows_at(windows, store)
            found[key] = ([], allowed, (*everywhere, *own_freezes[store]))
        found[key][0].append(store)
    return tuple(found.values())


def _by_store(rules: Iterable[Rule]) -> defaultdict[int, list[Rule]]:
    found: defaultdict[int, list[Rule]] = defaultdict(list)
    for rule in rules:
        for store in dict.fromkeys(rule.stores):
            found[store].append(rule)
    return found


def _why_never(
    job: Job,
    zone: ZoneInfo,
    effect: Effect,
    allowed: tuple[Window, ...] | None,
    freezes: tuple[FreezeWindow, ...],
    store: int,
    now: dt.datetime,
) -> str:
    """Empty as soon as one planned time is allowed."""
    if allowed is None and not freezes:
        return ""  # whenever it is planned, nothing holds it
    held: set[str] = set()
    for planned, near in _planned(job, zone, allowed or (), freezes, now):
        here = planned.astimezone(zone)
        freeze = frozen(near, effect, store, here)
        if allowed is not None and inside(allowed, here, store) is None:
            windows = ", ".join(map(str, allowed)) or say("no window for it")
            held.add(say("outside its window ({windows})", windows=windows))
        elif freeze is not None:
            held.add(say("inside freeze {freeze}", freeze=freeze.window.id))
        else:
            return ""
    if not held:
        return ""  # the expression comes less often than once in the time that was looked at
    return say(
        "every time of `{cron}` ({zone}) is {where}",
        cron=job.cron,
        zone=job.timezone or zone.key,
        where=one_of(sorted(held, reverse=True)),
    )


def _planned(
    job: Job, zone: ZoneInfo, allowed: Sequence[Window], freezes: Sequence[FreezeWindow], now: dt.datetime
) -> Iterator[tuple[dt.datetime, tuple[FreezeWindow, ...]]]:
    """Planned instants, one for all that have the same answer: of days of one kind, and between two edges of the rules. With the
    freezes that can matter on its day."""
    plan = plan_of(job.model_copy(update={"jitter": 0}), zone, "")
    weekly = tuple(freeze for freeze in freezes if freeze.start is None)
    named = {window.timezone for window in allowed} | {freeze.timezone for freeze in freezes}
    zones = {plan.zone, zone, *(ZoneInfo(name) for name in named if name)}
    first = wall_of(now, plan.zone).date()
    dated = _by_day(freezes, first)
    judged: set[object] = set()
    for number in range(DAYS):
        day = first + number * _DAY
        if not plan.cron.on(day):
            continue
        kind = _kind(day, number == 0, zones, dated[day])
        if kind in judged:
            continue
        judged.add(kind)
        start = dt.datetime.combine(day, dt.time(), plan.zone).astimezone(dt.UTC)
        end = dt.datetime.combine(day + _DAY, dt.time(), plan.zone).astimezone(dt.UTC)
        near = (*weekly, *dated[day])
        edges = sorted(_edges(day, (*allowed, *near), zones, zone))
        reached = -1
        for instant in plan.between(max(start - _SECOND, now), end - _SECOND):
            between = bisect.bisect_right(edges, instant)
            if between != reached:
                yield instant, near
            reached = between


def _edges(
    day: dt.date, rules: Iterable[Window | FreezeWindow], zones: Iterable[ZoneInfo], zone: ZoneInfo
) -> Iterator[dt.datetime]:
    """The instants around a day at which an answer may change: a rule begins or ends, or a clock is put forward or back."""
    days = (day - _DAY, day, day + _DAY)
    for rule in rules:
        there = ZoneInfo(rule.timezone) if rule.timezone else zone
        walls: list[dt.datetime] = []
        if isinstance(rule, Window):
            walls = [dt.datetime.combine(one, at) for one in days for at in (rule.start, rule.end)]
        elif rule.start and rule.end:
            walls = [rule.start, rule.end]
        elif rule.from_time is not None and rule.to_time is not None:
            walls = [dt.datetime.combine(one, at) for one in days for at in (rule.from_time, rule.to_time)]
        for wall in walls:
            yield from occurrences(wall, there)
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
    for one in zones:
        for before in (-1, 0, 1):
            jump = offset_change(one, midnight + before * _DAY, midnight + (before + 1) * _DAY)
            if jump is not None:
                yield jump


def _kind(
    day: dt.date,
    today: bool,
    zones: Iterable[ZoneInfo],
    dated: Sequence[FreezeWindow],
) -> object:
    """Days of one kind have the same answer at every time: same weekday, same offsets of all clocks from the day before to the
    day after, and wholly inside or wholly outside of every dated freeze."""
    whole = all(
        start.date() + 2 * _DAY <= day <= end.date() - 2 * _DAY
        for freeze in dated
        if (start := freeze.start) and (end := freeze.end)
    )
    ids = tuple(freeze.id for freeze in dated)
    return (day.weekday(), _offsets(day, frozenset(zones)), ids, None if whole else day, today)


def _by_day(freezes: Iterable[FreezeWindow], first: dt.date) -> defaultdict[dt.date, list[FreezeWindow]]:
    """The dated freezes that reach into a day, or into the two days beside it: clocks differ by more than one."""
    found: defaultdict[dt.date, list[FreezeWindow]] = defaultdict(list)
    last = first + DAYS * _DAY
    for freeze in freezes:
        if freeze.start is None or freeze.end is None:
            continue
        day = max(first, freeze.start.date() - _DAY)
        while day <= min(last, freeze.end.date() + _DAY):
            found[day].append(freeze)
            day += _DAY
    return found


@lru_cache(maxsize=4096)
def _offsets(day: dt.date, zones: frozenset[ZoneInfo]) -> tuple[dt.timedelta | None, ...]:
    """Of all clocks from the day before to the day after. Thousands of jobs ask for the same days."""
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    return tuple(
        (noon + shift * _DAY).astimezone(zone).utcoffset() for zone in sorted(zones, key=str) for shift in (-1, 0, 1)
    )


def _not_after(job: Job, zone: ZoneInfo, now: dt.datetime) -> Iterator[Unmet]:
    if job.not_after is None:
        return
    plan = plan_of(job.model_copy(update={"jitter": 0}), zone, "")
    left = [
        (limit - planned, wall_of(planned, plan.zone).time())
        for planned in plan.between(now, now + 8 * _DAY)
        if (limit := plan.deadline(planned)) is not None
    ]
    if not left:
        return
    shortest, at = min(left)
    if max(left)[0] <= dt.timedelta(0):
        yield Unmet(
            True,
            say(
                "can never run: not_after {not_after} is the very time at which it is planned",
                not_after=f"{job.not_after:%H:%M}",
            ),
        )
    elif shortest > _LATE_LIMIT and at > job.not_after:
        hours = round(shortest.total_seconds() / 3600)
        text = say(
            "not_after {not_after} comes {hours} h after {at}, on the next day: is another time meant?",
            not_after=f"{job.not_after:%H:%M}",
            hours=hours,
            at=f"{at:%H:%M}",
        )
        yield Unmet(False, text)
    if dt.timedelta(0) < shortest < dt.timedelta(seconds=job.jitter):
        text = say(
            "jitter ({seconds} s) can be longer than the time until not_after: such a proxy never runs it",
            seconds=job.jitter,
        )
        yield Unmet(False, text)
