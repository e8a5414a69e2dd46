"""How long telemetry is kept: what was received longer ago goes, in small steps that nobody waits for.

Each step is a transaction of its own. One process of all works on it at a time, by a claim in the database; one that was killed
loses its claim when its time is over. On PostgreSQL a day whose envelopes are all old goes as a whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Table, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from contracts.envelope import today
from server.services.telemetry.arrivals import KEPT
from server.storage import partitions
from server.storage.models import Arrival, Base, Duty, Envelope, Outcome, Run, Stream
from server.storage.session import Database
from server.storage.upserts import insert_into

STEP = 500
EVERY = dt.timedelta(hours=1)
_NAME = "telemetry_retention"


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows, but for ``days``: partitions that went as a whole."""

    envelopes: int = 0
    runs: int = 0
    outcomes: int = 0
    streams: int = 0
    arrivals: int = 0
    days: int = 0


def claim(session: Session, now: dt.datetime) -> bool:
    """Whether it is time, and this process is to do it. A claim from a clock that ran ahead does not count."""
    insert = insert_into(session, Duty)
    session.execute(insert.on_conflict_do_nothing(), {"name": _NAME, "due_at": now})
    due = update(Duty).where(Duty.name == _NAME, or_(Duty.due_at <= now, Duty.due_at > now + EVERY))
    return session.execute(due.values(due_at=now + EVERY).returning(Duty.name)).first() is not None


def remove_old(database: Database, days: int, now: dt.datetime, pause: Callable[[], None]) -> Removed:
    """Everything that was received more than ``days`` ago. ``pause`` is called between two steps, so that others can write."""
    before = now - dt.timedelta(days=days)
    dropped = _whole_days(database, before, now)

    def gone(step: Callable[[Session], int]) -> int:
        total = 0
        while number := _step(database, step):
            total += number
            pause()
        return total

    return Removed(
        envelopes=gone(partial(_delete, Envelope, "received_at", before)),
        outcomes=gone(partial(_delete, Outcome, "seen_at", before)),
        runs=gone(partial(_delete, Run, "seen_at", before)),
        streams=gone(partial(_delete, Stream, "seen_at", before)),
        arrivals=gone(partial(_delete_arrivals, now - KEPT)),
        days=dropped,
    )


def _step(database: Database, work: Callable[[Session], int]) -> int:
    with database.writing() as session:
        return work(session)


def _delete(model: type[Base], column: str, before: dt.datetime, session: Session) -> int:
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101  # of every model here
    key = tuple_(*table.primary_key.columns)
    old: Any = select(*table.primary_key.columns).where(table.c[column] < before).limit(STEP)
    return session.connection().execute(delete(table).where(key.in_(old))).rowcount


def _delete_arrivals(before: dt.datetime, session: Session) -> int:
    """From the oldest on, which needs no index of its own. The last one stays: it tells where a live view is."""
    oldest = select(Arrival.position, Arrival.received_at).order_by(Arrival.position).limit(STEP).subquery()
    last = select(func.max(Arrival.position)).scalar_subquery()
    old = select(oldest.c.position).where(oldest.c.received_at < before, oldest.c.position < last)
    return session.connection().execute(delete(Arrival).where(Arrival.position.in_(old))).rowcount


def _whole_days(database: Database, before: dt.datetime, now: dt.datetime) -> int:
    """Drop days that have nothing newer, and make those to come. An envelope is received on its day or later."""
    with database.writing() as session:
        if not partitions.is_partitioned(session):
            return 0
        partitions.make_ahead(session, today(now))
        past = partitions.past_days(session, today(before))
    dropped = 0
    for day in past:
        with database.writing() as session:
            newer = select(Envelope.day).where(Envelope.day == day, Envelope.received_at >= before).limit(1)
            if session.execute(newer).first() is None:
                partitions.drop_day(session, day)
                dropped += 1
    return dropped
