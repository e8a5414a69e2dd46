"""What one reason is: a row of :mod:`server.reasons.table`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contracts.stored_text import placeholders
from contracts.text import Text, made, say

About = Literal["token", "network", "document", "configuration", "installer", "request", "server", "database", "health"]


@dataclass(frozen=True, slots=True)
class Row:
    """``status``: of an HTTP answer; None for what only commands, logs or the health answer say.

    ``says`` and ``do`` are clauses; names in braces are filled in where the reason is given. They are Texts, which are
    translated, where a person reads them on a terminal. ``told``: what an HTTP caller reads where the rest is for the operator,
    who has it in the log.
    """

    code: str
    status: int | None
    about: About
    says: str
    do: str
    told: str = ""

    def text(self, *, says: str | None = None, do: str | None = None, **values: object) -> str:
        """One message. ``says`` and ``do``: more exact words than the row's. Raises KeyError for a value that is missing."""
        what = _filled(self.says, values) if says is None else says
        advice = _filled(self.do, values) if do is None else do
        return say("{what}; {advice}", what=what, advice=advice) if advice else what


def _filled(clause: str, values: Mapping[str, object]) -> str:
    """A Text stays one; what only callers over HTTP read is plain English."""
    if not isinstance(clause, Text):
        return clause.format_map(values)
    filled = {name: values[name] for name in placeholders(clause.template)}
    return made(clause.template, "", {name: _kept(value) for name, value in filled.items()})


def _kept(value: object) -> str | int:
    return value if isinstance(value, str | int) else str(value)
