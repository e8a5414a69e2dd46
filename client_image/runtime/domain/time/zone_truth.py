"""What the time zone action knows of a terminal's zone file and of the offset that programs there see. Pure.

Three ways to be wrong: the file shows another offset at this moment, so it must not be put in force; it will do so when the rules
change next; or the file is right and programs show another offset all the same, because they do not go by it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from contracts.text import say
from runtime.domain.time.zone_file import (
    BadZoneFile,
    Difference,
    database_version,
    database_zone,
    difference,
    offset_text,
    version_in,
)


@dataclass(frozen=True, slots=True)
class Truth:
    """``code`` is empty when nothing is wrong. ``wrong_now``: the file itself, today. ``note``: what a good end says besides."""

    code: str = ""
    message: str = ""
    advice: str = ""
    wrong_now: bool = False
    note: str = ""
    offset: str = ""
    expected: str = ""
    checked: bool = True
    tzdata: str = ""

    def in_force(self) -> Truth:
        """The same once nothing is left to set: programs on the terminal must show the right offset now."""
        if self.code or not self.offset or not self.expected or self.offset == self.expected:
            return self
        text = say(
            "/etc/localtime is right, but programs on the terminal show {shown} where {right} is right",
            shown=self.offset,
            right=self.expected,
        )
        advice = say("Its C library goes by another file (/etc/TZ?): look at the terminal")
        return replace(self, code="offset_differs", message=text, advice=advice)

    def report(self) -> dict[str, Any]:
        """What a result tells of it."""
        return {
            "offset": self.offset or None,
            "expected_offset": self.expected or None,
            "zone_file_checked": self.checked,
            "tzdata": self.tzdata or None,
        }


def judge(target: str, folder: str, seen: Mapping[str, str], now: dt.datetime) -> Truth:
    """``target``: the file that /etc/localtime is to be; ``seen``: what the observe script found of it."""
    name = target.removeprefix(folder)
    data = _bytes(seen.get("target_hex", ""))
    ours = database_zone(name)
    shown = seen.get("offset", "")
    shown = shown if re.fullmatch(r"[+-]\d{4}", shown, re.ASCII) else ""
    tzdata = version_in(seen.get("tzdata", ""))
    if ours is None or not data:
        note = say("{file} was not compared: the terminal could not send it", file=target)
        if ours is None:
            note = say("{file} was not compared: the proxy's own zone database does not have it", file=target)
        return Truth(note=note, offset=shown, checked=False, tzdata=tzdata)
    expected = offset_text(now.astimezone(ours).utcoffset() or dt.timedelta())
    try:
        found = difference(data, name, int(now.timestamp()) // 3600)
    except BadZoneFile as error:
        text = say(
            "{file} on the terminal is no zone file that can be used: {problem}", file=target, problem=str(error)
        )
        reinstall = say("Install tzdata on the terminal again")
        return Truth("bad_zone_file", text, reinstall, True, "", shown, expected, True, tzdata)
    if found is not None:
        message, advice = _stale(target, found, now, tzdata)
        return Truth("stale_zone_file", message, advice, found.now, "", shown, expected, True, tzdata)
    return Truth(offset=shown, expected=expected, tzdata=tzdata)


def _stale(target: str, found: Difference, now: dt.datetime, tzdata: str) -> tuple[str, str]:
    shown, right = offset_text(found.shown), offset_text(found.right)
    at = f"{found.at.astimezone(now.tzinfo):%Y-%m-%d %H:%M}"
    what = say("{file} on the terminal is an old zone file", file=target)
    if tzdata:
        what = say("{file} on the terminal is an old zone file (tzdata {version})", file=target, version=tzdata)
    if found.now:
        message = say(
            "{what}: since {instant} it shows {shown}, and {right} is right",
            what=what,
            instant=at,
            shown=shown,
            right=right,
        )
    else:
        message = say(
            "{what}: its offset is right today, but from {instant} on it will show {shown} where {right} is right",
            what=what,
            instant=at,
            shown=shown,
            right=right,
        )
    hours = found.right / dt.timedelta(hours=1)
    advice = say("Update tzdata on the terminal")
    if hours.is_integer() and hours:
        advice = say(
            "Update tzdata on the terminal, or set localtime_target to a fixed offset (Etc/GMT{hours})",
            hours=f"{-int(hours):+d}",
        )
    if tzdata > database_version() != "":
        advice = say(
            "{advice}. If {version} is right about it, update the proxy: its own database is {own}",
            advice=advice,
            version=tzdata,
            own=database_version(),
        )
    return message, advice


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
