"""What is in the outbox, for people. Called by `flageemonitor-run outbox`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from runtime.adapters.state.outbox.topics import topic_named
from runtime.adapters.state.tables import outbox


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of one topic that wait. ``last_error``: why one of them was not taken when it was sent last."""

    kind: str
    sub: str
    waiting: int
    oldest: dt.datetime
    last_error: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that the control plane refused for good. ``why``: its word."""

    id: str
    kind: str
    sub: str
    run_id: str | None
    created_at: dt.datetime
    refused_at: dt.datetime
    why: str


def waiting_rows(connection: Connection) -> list[Waiting]:
    """By topic, the oldest first."""
    query = (
        select(
            outbox.c.kind,
            func.count().label("number"),
            func.min(outbox.c.created_at).label("oldest"),
            func.max(outbox.c.last_error).label("last_error"),
        )
        .where(outbox.c.dead_at.is_(None))
        .group_by(outbox.c.kind)
    )
    found = []
    for row in connection.execute(query):
        topic = topic_named(row.kind)
        found.append(Waiting(topic.kind, topic.sub, row.number, row.oldest, row.last_error))
    return sorted(found, key=lambda one: one.oldest)


def dead_letters(connection: Connection, most: int) -> list[DeadLetter]:
    """The newest first."""
    query = (
        select(outbox).where(outbox.c.dead_at.is_not(None)).order_by(outbox.c.dead_at.desc(), outbox.c.id).limit(most)
    )
    return [
        DeadLetter(
            row.id,
            topic_named(row.kind).kind,
            topic_named(row.kind).sub,
            row.run_id,
            row.created_at,
            row.dead_at,
            row.last_error or "",
        )
        for row in connection.execute(query)
    ]


def dead_ids(connection: Connection, beginning: str) -> Sequence[str]:
    """Ids of dead letters that begin so; an empty beginning means all."""
    dead = select(outbox.c.id).where(outbox.c.dead_at.is_not(None), outbox.c.id.startswith(beginning, autoescape=True))
    return connection.scalars(dead.order_by(outbox.c.id)).all()
