"""A terminal's own zone file against the proxy's zone database: offsets now, and for the next two years. Pure.

Programs on a terminal believe its file, whatever it is called. One that is older than the last change of the rules (Brazil ended
its summer time in 2019) shows a wrong time for part of the year, and everything else about it looks right.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import importlib.resources
import io
import re
import struct
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from contracts.text import say

MAX_BYTES = 16_384  # the longest zone of the database has less than 4 kB
AHEAD = dt.timedelta(days=2 * 366)
_STEP = dt.timedelta(hours=12)  # no rule of any zone holds for a shorter time
_EXACT = dt.timedelta(minutes=1)
_HEADER = struct.Struct(">4sc15x6l")
_FOOTER = re.compile(rb"\n[A-Za-z0-9<>+,./:-]{0,100}\n", re.ASCII)


class BadZoneFile(ValueError):
    """The bytes are no zone file that can be read safely."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a file first differs from the database, at or after now; ``shown`` and ``right`` are the two offsets there."""

    at: dt.datetime
    shown: dt.timedelta
    right: dt.timedelta
    now: bool  # it differs at this moment, and did since ``at``


def read_zone(data: bytes) -> ZoneInfo:
    """The zone in a file's bytes. Checked first, because the interpreter's own reader trusts what it is given."""
    _check(data)
    try:
        return ZoneInfo.from_file(io.BytesIO(data))
    except (ValueError, struct.error, IndexError, EOFError, OverflowError, UnicodeError) as error:
        raise BadZoneFile(str(error)) from None


def database_zone(name: str) -> ZoneInfo | None:
    """The proxy's zone of this name; None for one that its database does not have (right/… counts leap seconds)."""
    name = name.removeprefix("posix/")
    if _pinned():
        with contextlib.suppress(OSError, ValueError):
            resource = importlib.resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
            with resource.open("rb") as file:
                return ZoneInfo.from_file(file, key=name)
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=1)
def database_version() -> str:
    """Of the proxy's zone database, such as 2026a; empty where it does not say."""
    return max(_package_version(), _system_version())


def _pinned() -> bool:
    """Whether the package that comes with the proxy is newer than the system's database: the newer one counts."""
    return database_version() == _package_version() != _system_version()


@lru_cache(maxsize=1)
def _system_version() -> str:
    for folder in zoneinfo.TZPATH:
        with contextlib.suppress(OSError, UnicodeError):
            return version_in(Path(folder, "tzdata.zi").read_text(encoding="ascii")[:40])
    return ""


@lru_cache(maxsize=1)
def _package_version() -> str:
    with contextlib.suppress(ImportError):
        return str(importlib.import_module("tzdata").IANA_VERSION)
    return ""


def version_in(text: str) -> str:
    """The version that the first line of tzdata.zi names; empty for anything else."""
    found = re.match(r"(?:# version )?(\d{4}[a-z]{1,2})\b", text, re.ASCII)
    return found[1] if found else ""


@lru_cache(maxsize=64)
def difference(data: bytes, name: str, hour: int) -> Difference | None:
    """Where the file's offsets differ from those of zone ``name``, from ``hour`` (Unix hours) on; None when they do not.

    Remembered, because a fleet has few different files. Raises BadZoneFile; KeyError for a zone that the database lacks.
    """
    theirs, ours = read_zone(data), database_zone(name)
    if ours is None:
        raise KeyError(name)
    now = dt.datetime.fromtimestamp(hour * 3600, dt.UTC)

    def differs(at: dt.datetime) -> bool:
        return at.astimezone(theirs).utcoffset() != at.astimezone(ours).utcoffset()

    if differs(now):
        same = next((now - _STEP * n for n in range(1, 732) if not differs(now - _STEP * n)), None)
        since = now if same is None else _edge(same, now, differs)
        return _difference(since, now, theirs, ours, is_now=True)
    steps = int(AHEAD / _STEP)
    later = next((now + _STEP * n for n in range(1, steps) if differs(now + _STEP * n)), None)
    if later is None:
        return None
    edge = _edge(later - _STEP, later, differs)
    return _difference(edge, edge, theirs, ours, is_now=False)


def _difference(at: dt.datetime, seen: dt.datetime, theirs: ZoneInfo, ours: ZoneInfo, *, is_now: bool) -> Difference:
    shown, right = seen.astimezone(theirs).utcoffset(), seen.astimezone(ours).utcoffset()
    return Difference(at, shown or dt.timedelta(), right or dt.timedelta(), is_now)


def _edge(same: dt.datetime, other: dt.datetime, differs: Callable[[dt.datetime], bool]) -> dt.datetime:
    """The first minute that differs, between one that does not and one that does."""
    while other - same > _EXACT:
        middle = same + (other - same) / 2
        same, other = (same, middle) if differs(middle) else (middle, other)
    return other.replace(second=0, microsecond=0)


def _check(data: bytes) -> None:
    """Sizes, counts and indices of both blocks hold, and the rule at the end is short text."""
    if len(data) > MAX_BYTES:
        raise BadZoneFile(say("more than {most} bytes", most=MAX_BYTES))
    version, end = _check_block(data, 0, 4)
    if version == b"\0":
        return
    _, end = _check_block(data, end, 8)
    if not _FOOTER.fullmatch(data[end:]):
        raise BadZoneFile(say("no rule at the end"))


def _check_block(data: bytes, start: int, width: int) -> tuple[bytes, int]:
    if len(data) < start + _HEADER.size:
        raise BadZoneFile(say("cut off"))
    magic, version, utc, std, leaps, times, types, chars = _HEADER.unpack_from(data, start)
    if magic != b"TZif":
        raise BadZoneFile(say("not a zone file"))
    counts = (utc, std, leaps, times, types, chars)
    if min(counts) < 0 or types < 1 or chars < 1 or types > 256 or utc not in (0, types) or std not in (0, types):
        raise BadZoneFile(say("counts that cannot be"))
    begin = start + _HEADER.size + times * width
    infos = begin + times
    end = infos + types * 6 + chars + leaps * (width + 4) + std + utc
    if end > len(data):
        raise BadZoneFile(say("cut off"))
    if any(index >= types for index in data[begin:infos]):
        raise BadZoneFile(say("an index beyond its table"))
    for number in range(types):
        offset, _, name = struct.unpack_from(">lBB", data, infos + number * 6)
        if name >= chars or abs(offset) > 26 * 3600:
            raise BadZoneFile(say("an offset that cannot be"))
    if data[infos + types * 6 + chars - 1] != 0:
        raise BadZoneFile(say("a name without end"))
    return version, end


def offset_text(offset: dt.timedelta) -> str:
    """As `date +%z` writes it: -0300."""
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
