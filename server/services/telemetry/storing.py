"""Stores a batch, each envelope once, and writes the fleet's ledger from what is new, in one transaction. Called by
:mod:`server.api.ingest`, which answers after the commit.

Every statement is one for the whole batch. Rows go in the order of their keys, so that two batches of one agent wait for each
other instead of locking each other out.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw
from sqlalchemy import case
from sqlalchemy.orm import Session

from contracts.bodies import HostOutcome, RunFinished, RunStarted
from contracts.envelope import today
from contracts.ingest import Failed, Ingested
from server.services.runs.recording import Told, ledger, record
from server.services.telemetry.arrivals import note_arrival
from server.services.telemetry.reading import Item, Sender, read_item
from server.storage.bulk import Bulk, Row, together
from server.storage.models import Envelope, Stream
from server.storage.session import Database
from server.storage.upserts import insert_for
from server.version import VERSION

_EACH = (
    "day",
    "envelope_id",
    "kind",
    "sub",
    "schema_version",
    "ts_unix_ms",
    "correlation_id",
    "stream",
    "seq",
    "meta",
    "body",
)
_ID = _EACH.index("envelope_id")
_ENVELOPES = Bulk(Envelope, shared=("agent", "received_at"), each=_EACH)


def take_batch(database: Database, sender: Sender, batch: Sequence[Raw], now: dt.datetime) -> Ingested:
    """Read and store; the answer is true when this returns. Raises what the database raises: then nothing was stored."""
    day = today(now)
    read = [read_item(index, raw, sender, day) for index, raw in enumerate(batch)]
    failed = [one for one in read if isinstance(one, Failed)]
    items = [one for one in read if isinstance(one, Item)]
    if items:
        with database.writing() as session:
            new = store(session, sender, items, now)
        failed += [Failed(one.index, one.envelope.envelope_id, "duplicate") for one in items if one.index not in new]
        failed.sort(key=lambda one: one.index)
    return Ingested(len(batch), len(batch) - len(failed), failed, VERSION)


def store(session: Session, sender: Sender, items: Sequence[Item], now: dt.datetime) -> frozenset[int]:
    """The places in the batch of those that are new. An id that comes twice in one batch is new once."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.id, item)
    rows = [_row(first[found]) for found in sorted(first)]
    connection = session.connection()
    with _ENVELOPES.inserting(connection, (sender.agent, now), rows) as new:
        told = ledger(_told(first[row[_ID]] for row in rows))  # nearly always all are new
    if len(new.rows) < len(rows):
        told = ledger(_told(first[row[_ID]] for row in new.rows))
    with together(connection):
        _note_streams(session, sender, items, now)
        record(session, sender.agent, sender.network_id, told, now)
        if new.rows:
            note_arrival(connection, sender.agent, now)
    return frozenset([first[row[_ID]].index for row in new.rows])


def _row(item: Item) -> Row:
    """The columns of ``_EACH``."""
    envelope = item.envelope
    return (
        item.day,
        item.id,
        envelope.kind,
        envelope.sub,
        envelope.schema_version,
        envelope.ts_unix_ms,
        envelope.correlation_id,
        _digits(envelope.stream) if envelope.stream else None,
        envelope.seq,
        msgspec.json.encode(envelope.meta).decode() if envelope.meta else None,
        item.text,
    )


def _digits(uuid: str) -> str:
    return uuid.replace("-", "").lower()


def _note_streams(session: Session, sender: Sender, items: Iterable[Item], now: dt.datetime) -> None:
    by_text: dict[str, int] = {}
    for item in items:
        stream, seq = item.envelope.stream, item.envelope.seq
        if stream is not None and seq is not None and seq >= by_text.get(stream, 0):
            by_text[stream] = seq
    highest: dict[uuid.UUID, int] = {}
    for text, seq in by_text.items():  # the same id may be written in two ways
        key = uuid.UUID(text)
        highest[key] = max(seq, highest.get(key, 0))
    if highest:
        rows = [
            {"agent": sender.agent, "stream": key, "highest_seq": highest[key], "seen_at": now}
            for key in sorted(highest)
        ]
        session.execute(_stream_upsert(session.get_bind().dialect.name), rows)


@cache
def _stream_upsert(dialect: str) -> Any:
    insert = insert_for(dialect, Stream)
    known, given = insert.table.c.highest_seq, insert.excluded.highest_seq
    return insert.on_conflict_do_update(
        index_elements=["agent", "stream"],
        set_={"highest_seq": case((given > known, given), else_=known), "seen_at": insert.excluded.seen_at},
    )


def _told(items: Iterable[Item]) -> list[Told]:
    return [
        Told(item.id, item.envelope.correlation_id, item.body)
        for item in items
        if isinstance(item.body, HostOutcome | RunStarted | RunFinished)
    ]
