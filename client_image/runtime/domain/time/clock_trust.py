"""Whether the proxy's wall clock may be believed, before anything irreversible is done by it. Pure.

Called through adapters/state/clock_evidence, which keeps the evidence.

A clock can be years ahead or behind for a few seconds only: a firmware battery, a virtual machine that was resumed, a mistyped
date. Deleting by age, or powering tills off by plan, on such a clock cannot be taken back, so both ask here first.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from contracts.text import plural, say

# More than drift, slow answers and leap seconds make; far less than a freeze window, a day of history or a wrong zone.
TOLERANCE = dt.timedelta(hours=1)
# How long a machine may have been off, such as over a weekend, before its clock needs the control plane's word.
LONGEST_PAUSE = dt.timedelta(days=4)
# After a jump that only the control plane confirms, nothing is deleted for so long: both may sit on one wrong machine.
SETTLING = dt.timedelta(hours=24)

ADVICE = say(
    "check date and time synchronisation (NTP) of this machine; when they are right, `flageemonitor-run config refresh` "
    "compares with the control plane and ends this state"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's clocks at one moment. ``wall``: aware UTC; ``monotonic``: seconds that no setting moves; ``boot``: which
    start of the machine they count from, empty when that is not known."""

    wall: dt.datetime
    monotonic: float
    boot: str


@dataclass(frozen=True, slots=True)
class Known:
    """A moment whose right time is known: ``instant`` (aware UTC) was the time when the machine's clocks showed the rest."""

    instant: dt.datetime
    monotonic: float
    boot: str

    def off(self, reading: Reading) -> dt.timedelta | None:
        """By how much the wall clock of ``reading`` is ahead of the time it should show; None after another start."""
        if not self.boot or self.boot != reading.boot or reading.monotonic < self.monotonic:
            return None
        return reading.wall - self.instant - dt.timedelta(seconds=reading.monotonic - self.monotonic)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known besides the clock itself. ``believed``: the last moment at which it was believed; ``plane``: the control
    plane's time at the last contact; ``newest``: the newest row or heartbeat; ``built``: when this image was made; ``settled``:
    the instant from which history may be deleted again after a jump."""

    believed: Known | None = None
    plane: Known | None = None
    newest: dt.datetime | None = None
    built: dt.datetime | None = None
    settled: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Trusted:
    """The clock agrees with ``by``. ``deletes``: whether history may be deleted by age; if not, ``why``."""

    now: dt.datetime
    by: str
    deletes: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Nothing irreversible may be done by this clock. ``contradicted``: something says that it is wrong; else nothing says that
    it is right."""

    now: dt.datetime
    why: str
    contradicted: bool


Trust = Trusted | Suspect


def judge(evidence: Evidence, reading: Reading, zone: dt.tzinfo = dt.UTC) -> Trust:
    """``zone``: of its sentences. The control plane's word goes before our own memory: it is the one clock looked after."""
    wall = reading.wall
    if evidence.built is not None and wall < evidence.built - TOLERANCE:
        return Suspect(
            wall,
            say(
                "the clock shows {now}, but this version was built on {built}",
                now=_when(wall, zone),
                built=_when(evidence.built, zone),
            ),
            True,
        )
    told = evidence.plane.off(reading) if evidence.plane else None
    if told is None:
        return _by_memory(evidence, reading, zone)
    if abs(told) > TOLERANCE:
        now, span = _when(wall, zone), _span(told)
        text = say("the clock shows {now}, {span} behind the time that the control plane gave", now=now, span=span)
        if told > dt.timedelta():
            text = say(
                "the clock shows {now}, {span} ahead of the time that the control plane gave", now=now, span=span
            )
        return Suspect(wall, text, True)
    return _trusted(evidence, reading, say("the control plane's time"), zone)


def jumped(evidence: Evidence, reading: Reading) -> bool:
    """Whether the clock was moved, since it was last believed, while the machine ran."""
    off = evidence.believed.off(reading) if evidence.believed else None
    return off is not None and abs(off) > TOLERANCE


def _by_memory(evidence: Evidence, reading: Reading, zone: dt.tzinfo) -> Trust:
    wall, believed = reading.wall, evidence.believed
    off = believed.off(reading) if believed else None
    if off is not None and abs(off) > TOLERANCE:
        now, span = _when(wall, zone), _span(off)
        text = say("the clock shows {now}: it jumped back by {span} while the proxy ran", now=now, span=span)
        if off > dt.timedelta():
            text = say("the clock shows {now}: it jumped forward by {span} while the proxy ran", now=now, span=span)
        return Suspect(wall, text, True)
    if off is None:
        moments = [known.instant for known in (believed, evidence.plane) if known is not None]
        last = max(moments, default=evidence.newest)
        if last is not None and wall < last - TOLERANCE:
            now, last_shown = _when(wall, zone), _when(last, zone)
            return Suspect(
                wall, say("the clock shows {now}, but {last} has been already", now=now, last=last_shown), True
            )
        if last is not None and wall > last + LONGEST_PAUSE:
            text = say(
                "the clock shows {now}, {span} after the last time that is known to be right; "
                "the control plane has not confirmed it",
                now=_when(wall, zone),
                span=_span(wall - last),
            )
            return Suspect(wall, text, False)
    return _trusted(evidence, reading, say("the proxy's own records"), zone)


def _trusted(evidence: Evidence, reading: Reading, by: str, zone: dt.tzinfo) -> Trusted:
    wall = reading.wall
    settled = wall + SETTLING if jumped(evidence, reading) else evidence.settled
    if settled is None or not wall < settled <= wall + SETTLING:
        return Trusted(wall, by)
    why = say("the clock was moved; history is deleted again from {instant}", instant=_when(settled, zone))
    return Trusted(wall, by, False, why)


def _when(instant: dt.datetime, zone: dt.tzinfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _span(span: dt.timedelta) -> str:
    """For a person: whole days where there are any."""
    seconds = abs(span).total_seconds()
    days = int(seconds // 86400)
    if days:
        return plural("{n} day", "{n} days", days)
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
