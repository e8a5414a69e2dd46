"""Batches in the order in which they can be shown to who looks on live: each once, and none before it.

On PostgreSQL a batch is shown when no older transaction is open: what is committed later can then only come after it. Noted by
``storing``; read by ``live``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, insert, select, tuple_
from sqlalchemy.orm import Session

from contracts.bounded import MOST
from server.storage.models import Arrival, Envelope
from server.storage.session import Reader

KEPT: Final = dt.timedelta(days=1)


class Mark(NamedTuple):
    """A place in the order."""

    txid: int
    position: int


class Batch(NamedTuple):
    """``agent``: id of the agent's row."""

    mark: Mark
    agent: str
    received_at: dt.datetime


def note_arrival(connection: Connection, agent: str, now: dt.datetime) -> None:
    """For a batch with something new, in its transaction."""
    connection.execute(_NOTE, {"agent": agent, "received_at": now})


def newest(reader: Reader) -> Mark:
    """Behind everything that can be shown now."""
    if _by_transaction(reader):
        oldest_open = reader.scalar(select(_OLDEST_OPEN))
        return Mark((oldest_open or 1) - 1, MOST)
    return Mark(0, reader.scalar(select(func.max(Arrival.position))) or 0)


def batches_after(reader: Reader, mark: Mark, most: int) -> Sequence[Batch]:
    """The next ones that can be shown."""
    query: Any = (
        select(Arrival.txid, Arrival.position, Arrival.agent, Arrival.received_at)
        .where(tuple_(Arrival.txid, Arrival.position) > tuple_(*mark))
        .order_by(Arrival.txid, Arrival.position)
        .limit(most)
    )
    if _by_transaction(reader):
        query = query.where(Arrival.txid < _OLDEST_OPEN)
    return [Batch(Mark(row.txid, row.position), row.agent, row.received_at) for row in reader.execute(query)]


def batch_at(reader: Reader, mark: Mark) -> Batch | None:
    """The batch at this very place."""
    row = reader.execute(select(Arrival.agent, Arrival.received_at).where(Arrival.position == mark.position)).first()
    return Batch(mark, row.agent, row.received_at) if row else None


def rows_of(reader: Reader, batch: Batch) -> Sequence[Any]:
    """The envelopes of a batch, in the order of their ids."""
    query = (
        select(*Envelope.__table__.columns)
        .where(Envelope.agent == batch.agent, Envelope.received_at == batch.received_at)
        .order_by(Envelope.envelope_id)
    )
    return reader.execute(query).all()


# Without its position, which nobody needs.
_NOTE = insert(Arrival.__table__).inline()  # type: ignore[arg-type]
_OLDEST_OPEN: Any = func.txid_snapshot_xmin(func.txid_current_snapshot())


def _by_transaction(reader: Reader) -> bool:
    bind = reader.get_bind() if isinstance(reader, Session) else reader
    return bind.dialect.name == "postgresql"
