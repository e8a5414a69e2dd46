"""Crontab expressions as data. The document's jobs carry them; ``contracts.schedule`` turns them into instants.

Semantics are crontab(5)'s: five fields, names of months and weekdays without regard to case, lists, ranges, steps, Sunday
as 0 or 7, the usual ``@daily`` words. A day matches when *either* its number or its weekday does, if both are restricted;
a field that starts with ``*`` is not a restriction, so then both must hold.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass

from contracts.text import say
from contracts.visible import quoted

_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_LONGEST = {month: calendar.monthrange(2024, month)[1] for month in range(1, 13)}  # 2024: a leap year


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day-of-month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 0, 7, _WEEKDAYS),
)


class CronError(ValueError):
    """The text is no crontab expression; the message names the field."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. All fields ascending; ``weekdays`` are 0 (Sunday) to 6. ``either_day``: day OR weekday."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool

    def on(self, day: dt.date) -> bool:
        """Whether the day and month fields hold on this date."""
        by_number, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        fits = by_number or by_weekday if self.either_day else by_number and by_weekday
        return fits and day.month in self.months


def parse_cron(text: str) -> Cron:
    """Parse one expression. Raises :class:`CronError`, also for a date that no year has (30 February)."""
    parts = text.split()
    if len(parts) == 1 and parts[0].startswith("@"):
        word = parts[0].lower()
        if word not in _WORDS:
            raise CronError(say("{word} is not known here; use one of {words}", word=parts[0], words=", ".join(_WORDS)))
        parts = _WORDS[word].split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise CronError(say("{number} fields instead of 5 ({names})", number=len(parts), names=names))
    minutes, hours, days, months, weekdays = (_values(field, part) for field, part in zip(_FIELDS, parts, strict=True))
    either_day = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either_day and days[0] > max(_LONGEST[month] for month in months):
        raise CronError(say("day-of-month: {day} never comes in month {month}", day=parts[2], month=parts[3]))
    weekdays = tuple(sorted({day % 7 for day in weekdays}))
    return Cron(" ".join(parts), minutes, hours, days, months, weekdays, either_day)


def cron_text(text: str) -> str:
    """The text itself, once it parses: a validator for models. Raises :class:`CronError`."""
    parse_cron(text)
    return text


def _values(field: _Field, text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for item in text.split(","):
        found.update(_item(field, item))
    return tuple(sorted(found))


def _item(field: _Field, item: str) -> range:
    span, has_step, step_text = item.partition("/")
    if span == "*":
        low, high = field.low, field.high
    else:
        first, has_end, last = span.partition("-")
        low = _number(field, first)
        high = _number(field, last) if has_end else low
        if has_step and not has_end:
            raise CronError(
                say(
                    "{name}: a step needs a range: write {first}-{last}/{step} or */{step}",
                    name=field.name,
                    first=first,
                    last=field.high,
                    step=step_text,
                )
            )
        if field.names is _WEEKDAYS and high == 0 < low:
            high = 7  # fri-sun
    if low > high:
        raise CronError(say("{name}: the range {span} runs backwards", name=field.name, span=span))
    if not has_step:
        return range(low, high + 1)
    if not _is_number(step_text) or not 1 <= int(step_text) <= field.high - field.low + 1:
        raise CronError(
            say(
                "{name}: the step {step} is not a number from 1 to {most}",
                name=field.name,
                step=quoted(step_text),
                most=field.high - field.low + 1,
            )
        )
    return range(low, high + 1, int(step_text))


def _number(field: _Field, text: str) -> int:
    named = field.names.get(text.lower())
    if named is not None:
        return named
    if not _is_number(text):
        if field.names:
            names = ", ".join(field.names)
            text = say(
                "{name}: {text} is not a number or one of {names}", name=field.name, text=quoted(text), names=names
            )
            raise CronError(text)
        raise CronError(say("{name}: {text} is not a number", name=field.name, text=quoted(text)))
    if not field.low <= int(text) <= field.high:
        raise CronError(
            say("{name}: {text} is outside {low}-{high}", name=field.name, text=text, low=field.low, high=field.high)
        )
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
