"""Phrases that several views share: counted things, times, days, outcomes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from contracts.text import Text, joined, plural, say

_DAYS = (say("Mon"), say("Tue"), say("Wed"), say("Thu"), say("Fri"), say("Sat"), say("Sun"))


def hosts(number: int) -> Text:
    return plural("{n} host", "{n} hosts", number)


def by_outcome(counts: Mapping[str, int]) -> str:
    """3 changed, 1 failed: outcomes are codes."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def weekday(instant: dt.datetime) -> Text:
    return _DAYS[instant.weekday()]


def lines_of(*parts: str) -> str:
    """The parts that are not empty, as one text."""
    return joined([part for part in parts if part], "; ")
