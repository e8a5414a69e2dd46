"""Counts what somebody should be able to see later: enrolments, and requests that were refused, by reason.

Noted by :mod:`server.api.requests` and :mod:`server.api.bootstrap`; written now and then by each worker, added up in one table.
Names and labels are words of this program, never a caller's, so the table has a few dozen rows at most.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from server.reasons.table import ROWS
from server.services.lazy_writes import LazyWrites
from server.storage.models import Counter
from server.storage.session import Database, Reader

Name = Literal["token_refused", "enrolment_refused", "agent_enrolled"]


@dataclass(frozen=True, slots=True)
class Count:
    """``label``: the reason, or which kind; ``since``: when it was counted first."""

    counter: str
    label: str
    value: int
    since: dt.datetime


class Counters(LazyWrites[tuple[Name, str], int]):
    """By name and label."""

    what = "counters"

    def __init__(self, database: Database, interval: float, clock: Callable[[], dt.datetime]) -> None:
        super().__init__(database, interval)
        self._clock = clock

    def add(self, name: Name, label: str) -> None:
        self.note((name, label), 1)

    def refused(self, reason: str, *, enrolment: bool) -> None:
        """A request that was answered with the code of a reason. One that enrols and has a wrong token counts as both."""
        if ROWS[reason].about == "token":
            self.add("token_refused", reason)
        if enrolment:
            self.add("enrolment_refused", reason)

    def merged(self, earlier: int, later: int) -> int:
        return earlier + later

    def write(self, session: Session, values: Mapping[tuple[Name, str], int]) -> None:
        now = self._clock()
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        # In one order, so that two processes do not wait for each other's rows.
        rows = [
            {"name": name, "label": label, "value": value, "since": now}
            for (name, label), value in sorted(values.items())
        ]
        for row in rows:
            statement = insert(Counter).values(row)
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=[Counter.name, Counter.label],
                    set_={"value": Counter.value + statement.excluded.value},
                )
            )


def list_counters(reader: Reader) -> list[Count]:
    """Those that were written, by name and label."""
    query = select(Counter.name, Counter.label, Counter.value, Counter.since).order_by(Counter.name, Counter.label)
    return [Count(*row) for row in reader.execute(query)]
