"""Leases rows to a sender, and records what the control plane answered. Every function runs inside a write transaction.

The service that delivers calls these; several processes may. A lease is a promise with an end: when its holder is killed, its
rows are leased again. A row may so be sent twice, and the control plane stores it once, by its id.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import ColumnElement, Connection, Row, delete, func, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.ids import uuid7
from contracts.visible import visible
from runtime.adapters.state.outbox.topics import BUSINESS, topic_named
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta, outbox, outbox_stream

LONGEST_LEASE = dt.timedelta(minutes=10)
# Retry-After is obeyed up to this; a later instant was written by a clock that ran ahead.
LONGEST_PAUSE = dt.timedelta(hours=1)
_ERROR_CHARACTERS = 500
UNKNOWN_KIND = "unknown_kind"  # how the error of what the server does not know yet begins
_SERVER = "server_version"
# SQLite numbers rows in the order in which they came, which no clock can change, and needs no index of ours for that.
ARRIVAL: ColumnElement[int] = literal_column("outbox.rowid")
# Read in that order without an index: the plus sign keeps SQLite from sorting all rows of one.
ALIVE: ColumnElement[bool] = literal_column("+outbox.dead_at").is_(None)


@dataclass(frozen=True, slots=True)
class Leased:
    """One row as an envelope has it. ``body``: JSON text. ``attempts``: leases so far, this one included. ``seq``: its place in
    the stream. ``topic``: name of its topic."""

    id: str
    kind: str
    sub: str
    body: str
    run_id: str | None
    correlation_id: str
    created_at: dt.datetime
    seq: int | None
    attempts: int
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """Rows for one batch, nobody else's until ``until``. ``stream``: id of this outbox. No rows: nothing is due."""

    id: str
    until: dt.datetime
    stream: str
    rows: tuple[Leased, ...]


def lease(
    connection: Connection,
    *,
    now: dt.datetime,
    lasts: dt.timedelta,
    most: int,
    most_bytes: int,
    newest_first: bool = False,
) -> Lease:
    """Take up to ``most`` rows that are due, of about ``most_bytes`` characters together, at least one where one is due.

    ``lasts``: how long the batch may take, at most LONGEST_LEASE. ``newest_first``: after business events, which go before all.
    """
    free = select(outbox).where(~is_leased(now), _is_due(now))
    ordered = [free.where(ALIVE).order_by(ARRIVAL.desc() if newest_first else ARRIVAL).limit(most)]
    if newest_first:  # these by index
        business = free.where(outbox.c.dead_at.is_(None), outbox.c.importance == BUSINESS)
        ordered.insert(0, business.order_by(ARRIVAL.desc()).limit(most))
    chosen: dict[str, Row[tuple[object, ...]]] = {}
    size = 0
    for row in chain.from_iterable(connection.execute(query) for query in ordered):
        if len(chosen) == most:
            break
        if row.id in chosen:
            continue
        size += len(row.payload)
        if chosen and size > most_bytes:
            break
        chosen[row.id] = row
    rows = tuple(map(_leased, chosen.values()))
    held = Lease(uuid7(), now + min(lasts, LONGEST_LEASE), stream_of(connection), rows)
    if chosen:
        taken = update(outbox).where(outbox.c.id.in_([row.id for row in held.rows]))
        values = {"leased_by": held.id, "leased_until": held.until, "attempts": outbox.c.attempts + 1}
        connection.execute(taken.values(values))
    return held


def due(state: State, now: dt.datetime, most: int) -> int:
    """How many rows could be leased now; ``most`` stands for more too. Counting all would read a long outbox whole, bodies
    included, for each of its batches."""
    rows = select(ARRIVAL).select_from(outbox).where(ALIVE, ~is_leased(now), _is_due(now)).limit(most)
    with state.read() as connection:
        return connection.scalar(select(func.count()).select_from(rows.subquery())) or 0


def acknowledge(connection: Connection, ids: Sequence[str]) -> int:
    """The control plane has these: they are deleted and counted, also while another process holds them. Returns how many
    were still there."""
    deleted = connection.execute(delete(outbox).where(outbox.c.id.in_(ids))).rowcount
    if deleted:
        connection.execute(update(outbox_stream).values(delivered=outbox_stream.c.delivered + deleted))
    return deleted


def put_back(
    connection: Connection, held: Lease, error: str, *, next_attempt_at: dt.datetime | None, ids: Sequence[str]
) -> int:
    """End the lease of these rows, which were not accepted this time, and say why. Returns how many were still held by it: what
    expired meanwhile, and was leased again, belongs to the other holder."""
    mine = update(outbox).where(outbox.c.id.in_(ids), outbox.c.leased_by == held.id)
    return connection.execute(mine.values(**_FREE, next_attempt_at=next_attempt_at, last_error=_short(error))).rowcount


def note_server(connection: Connection, version: str) -> None:
    """The version that answered. When it is another than before, what it did not know is due at once."""
    known = connection.scalar(select(meta.c.value).where(meta.c.key == _SERVER))
    if known == version:
        return
    note = upsert(meta).values(key=_SERVER, value=version)
    connection.execute(note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": version}))
    unknown = outbox.c.last_error.startswith(UNKNOWN_KIND)
    connection.execute(update(outbox).where(unknown, outbox.c.dead_at.is_(None)).values(next_attempt_at=None))


def dead_letter(connection: Connection, ids: Sequence[str], reason: str, *, now: dt.datetime) -> int:
    """The control plane will never take these: they stay, with the reason, and are not sent again. Returns how many."""
    refused = update(outbox).where(outbox.c.id.in_(ids), outbox.c.dead_at.is_(None))
    return connection.execute(refused.values(**_FREE, dead_at=now, last_error=_short(reason))).rowcount


def revive(connection: Connection, ids: Sequence[str]) -> int:
    """Dead letters that are to be sent again, by an operator's word. Returns how many of these were dead."""
    dead = update(outbox).where(outbox.c.id.in_(ids), outbox.c.dead_at.is_not(None))
    return connection.execute(dead.values(dead_at=None, next_attempt_at=None)).rowcount


def begin_stream(connection: Connection) -> str:
    """A new stream for what comes from now on: the numbers of the old one were given before, by a folder that was restored."""
    stream = uuid7()
    connection.execute(update(outbox_stream).values(stream=stream))
    return stream


def last_seq(connection: Connection) -> int:
    """The number that was given last."""
    return connection.scalar(select(outbox_stream.c.last_seq)) or 0


def stream_of(connection: Connection) -> str:
    """The id of this outbox; a new database has a new one."""
    return str(connection.scalar(select(outbox_stream.c.stream)))


def is_leased(now: dt.datetime) -> ColumnElement[bool]:
    """Somebody holds the row. An end that no lease can have was written by a clock that ran ahead, and does not count."""
    return outbox.c.leased_until.is_not(None) & outbox.c.leased_until.between(
        now + dt.timedelta(microseconds=1), now + LONGEST_LEASE
    )


def _is_due(now: dt.datetime) -> ColumnElement[bool]:
    waits_until = outbox.c.next_attempt_at
    return or_(waits_until.is_(None), waits_until <= now, waits_until > now + LONGEST_PAUSE)


_FREE = {"leased_by": None, "leased_until": None}


def _leased(row: Row[tuple[object, ...]]) -> Leased:
    topic = topic_named(row.kind)
    return Leased(
        id=row.id,
        kind=topic.kind,
        sub=topic.sub,
        body=row.payload,
        run_id=row.run_id,
        correlation_id=row.correlation_id,
        created_at=row.created_at,
        seq=row.seq,
        attempts=row.attempts + 1,
        topic=row.kind,
    )


def _short(text: str) -> str:
    return visible(text)[:_ERROR_CHARACTERS]
