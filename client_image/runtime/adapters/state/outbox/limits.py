"""Keeps the outbox bounded, and says what it holds. Whatever goes undelivered leaves a tombstone in the same transaction.

A tombstone is a row of its own topic: how many rows went, of which kinds, made between which instants, with which ``seq``, and
why. It is exempt from limits. One that was never leased takes in the next loss of the same cause.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.bounded import whole
from contracts.ids import uuid7
from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.outbox.delivery import ALIVE, ARRIVAL, Leased, is_leased, stream_of
from runtime.adapters.state.outbox.put import Message, put
from runtime.adapters.state.outbox.topics import EXEMPT, LOST
from runtime.adapters.state.tables import meta, outbox, outbox_stream

BATCH = 500
DEAD_LETTERS = 1000
MOST_RANGES = 64
_DROPPED = "outbox_dropped"  # the row of ``meta`` in which all releases count


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """``delivered`` and ``dropped`` (undelivered) since the state was made; ``waiting`` includes what is leased at the moment."""

    waiting: int
    dead: int
    delivered: int
    dropped: int
    oldest_waiting: dt.datetime | None


def count_outbox(connection: Connection) -> OutboxCounts:
    rows = select(func.count()).select_from(outbox)
    dropped = connection.scalar(select(meta.c.value).where(meta.c.key == _DROPPED))
    return OutboxCounts(
        waiting=connection.scalar(rows.where(outbox.c.dead_at.is_(None))) or 0,
        dead=connection.scalar(rows.where(outbox.c.dead_at.is_not(None))) or 0,
        delivered=connection.scalar(select(outbox_stream.c.delivered)) or 0,
        dropped=whole(dropped) or 0,
        oldest_waiting=connection.scalar(select(outbox.c.created_at).where(ALIVE).order_by(ARRIVAL).limit(1)),
    )


def shed(connection: Connection, *, limit: int, now: dt.datetime, cause: str = "limit") -> int:
    """Drop a batch of what is above the limits, the least important first, of these the oldest. Returns how many rows went.

    ``limit``: of rows that wait, leased ones included, tombstones not. Leased rows are never dropped: they may be stored at this
    moment. Dead letters have a limit of their own. To be called until nothing goes.
    """
    waiting = outbox.c.dead_at.is_(None) & (outbox.c.importance < EXEMPT)
    excess = _count(connection, waiting) - limit
    dead = _count(connection, outbox.c.dead_at.is_not(None)) - DEAD_LETTERS
    gone = 0
    if excess > 0:
        free = select(outbox.c.id).where(waiting, ~is_leased(now))
        least = free.order_by(outbox.c.importance, ARRIVAL).limit(min(excess, BATCH))
        gone += _drop(connection, least, cause, now)
    if dead > 0:
        oldest = select(outbox.c.id).where(outbox.c.dead_at.is_not(None)).order_by(ARRIVAL)
        gone += _drop(connection, oldest.limit(min(dead, BATCH)), "dead_letters", now)
    return gone


def shed_old(connection: Connection, *, before: dt.datetime, now: dt.datetime) -> int:
    """Drop a batch of what was made before that, dead letters too: the control plane does not take it any more. Returns how many
    rows went; to be called until none goes."""
    old = select(outbox.c.id).where(outbox.c.created_at < before, outbox.c.importance < EXEMPT, ~is_leased(now))
    return _drop(connection, old.limit(BATCH), "age", now)


def note_lost(connection: Connection, rows: Sequence[Leased], cause: str, now: dt.datetime) -> None:
    """Leave a tombstone for rows that stay here and will never be taken."""
    lost = [_Gone(row.topic, row.created_at, row.seq) for row in rows]
    _leave_tombstone(connection, lost, cause, now)


class _Gone(NamedTuple):
    """What a tombstone tells of a row. ``kind``: name of its topic."""

    kind: str
    created_at: dt.datetime
    seq: int | None


def _count(connection: Connection, where: Any) -> int:
    return connection.scalar(select(func.count()).select_from(outbox).where(where)) or 0


def _drop(connection: Connection, chosen: Select[tuple[str]], cause: str, now: dt.datetime) -> int:
    gone = delete(outbox).where(outbox.c.id.in_(chosen))
    rows = connection.execute(gone.returning(outbox.c.kind, outbox.c.created_at, outbox.c.seq)).all()
    if rows:
        _count_dropped(connection, len(rows))
        _leave_tombstone(connection, [_Gone(row.kind, row.created_at, row.seq) for row in rows], cause, now)
    return len(rows)


def _count_dropped(connection: Connection, number: int) -> None:
    total = number + (whole(connection.scalar(select(meta.c.value).where(meta.c.key == _DROPPED))) or 0)
    counter = upsert(meta).values(key=_DROPPED, value=str(total))
    connection.execute(counter.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": str(total)}))


def _leave_tombstone(connection: Connection, rows: Sequence[_Gone], cause: str, now: dt.datetime) -> None:
    unsent = select(outbox.c.id, outbox.c.payload).where(
        outbox.c.importance == EXEMPT, outbox.c.kind == LOST.name, outbox.c.attempts == 0
    )
    stream = stream_of(connection)
    for row in connection.execute(unsent):
        before = loads(row.payload)
        if isinstance(before, dict) and (before.get("stream"), before.get("cause")) == (stream, cause):
            text = dumps({**_tombstone(rows, before), "stream": stream, "cause": cause, "at": now})
            connection.execute(update(outbox).where(outbox.c.id == row.id).values(payload=text))
            return
    text = dumps({**_tombstone(rows, {}), "stream": stream, "cause": cause, "at": now})
    put(connection, [Message(LOST, text, uuid7(), now)])


def _tombstone(rows: Sequence[_Gone], before: Mapping[str, Any]) -> dict[str, Any]:
    """What went now and ``before``, as a tombstone of ours says it. ``beyond``: rows that no range names."""
    kinds = Counter(row.kind for row in rows)
    kinds.update(before.get("kinds", {}))
    made = [row.created_at.isoformat() for row in rows]
    ranges = _joined([*before.get("ranges", ()), *((row.seq, row.seq) for row in rows if row.seq is not None)])
    dropped = len(rows) + before.get("dropped", 0)
    named = ranges[:MOST_RANGES]
    return {
        "dropped": dropped,
        "kinds": dict(kinds),
        "first_at": min(filter(None, (*made, before.get("first_at")))),
        "last_at": max(filter(None, (*made, before.get("last_at")))),
        "ranges": named,
        "beyond": dropped - sum(last - first + 1 for first, last in named),
    }


def _joined(ranges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Ranges of whole numbers, both ends included, in order, neighbours made one."""
    found: list[list[int]] = []
    for first, last in sorted(map(tuple, ranges)):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return found
