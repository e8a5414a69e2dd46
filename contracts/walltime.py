"""Wall time and instants: what a clock on the wall of a zone shows, and when it shows it. Used by schedule and windows.

Instants are aware UTC. Two aware times of the same zone are compared by Python without their offset, which is wrong in a
repeated hour; that is why nothing here returns a time in a zone.
"""

from __future__ import annotations

import datetime as dt
import math


def wall_of(instant: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """What the wall clock shows at an instant; naive."""
    return instant.astimezone(zone).replace(tzinfo=None)


def occurrences(wall: dt.datetime, zone: dt.tzinfo) -> tuple[dt.datetime, ...]:
    """The instants at which the clock shows a (naive) wall time, in order: one, or two in a repeated hour.

    A wall time that a jump of the clock leaves out has one: the first instant after the gap.
    """
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    if early == late:
        return (early,)
    if early < late:
        return early, late
    jump = offset_change(zone, late, early)
    return (jump or early,)


def offset_change(zone: dt.tzinfo, after: dt.datetime, until: dt.datetime) -> dt.datetime | None:
    """The instant between the two at which the zone's offset changes; None when it is the same at both.

    Meant for spans of a day or less, in which a zone changes at most once. Changes happen on whole seconds.
    """
    low, high = math.floor(after.timestamp()), math.ceil(until.timestamp())

    def offset(second: int) -> dt.timedelta | None:
        return dt.datetime.fromtimestamp(second, dt.UTC).astimezone(zone).utcoffset()

    old = offset(low)
    if offset(high) == old:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset(middle) == old else (low, middle)
    return dt.datetime.fromtimestamp(high, dt.UTC)
