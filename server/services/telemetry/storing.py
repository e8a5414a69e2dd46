"""Stores a batch, each envelope once, and writes the fleet's ledger from what is new, in one transaction. Called by
:mod:`server.api.ingest`, which answers after the commit.

Every statement is one for the whole batch. Rows go in the order of their keys, so that two batches of one agent wait for each
other instead of locking each other out.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw
from sqlalchemy import case
from sqlalchemy.orm import Session

from contracts.bodies import HostOutcome, RunFinished, RunStarted
from contracts.envelope import day_of, today
from contracts.ingest import Failed, Ingested
from server.services.runs.recording import Told, record
from server.services.telemetry.reading import Item, Sender, read_item
from server.storage.models import Envelope, Stream
from server.storage.session import Database
from server.storage.upserts import insert_into
from server.version import VERSION


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
    first: dict[uuid.UUID, Item] = {}
    for item in items:
        first.setdefault(item.id, item)
    rows = [_row(sender, first[found], now) for found in sorted(first)]
    insert = insert_into(session, Envelope)
    stored = session.scalars(insert.on_conflict_do_nothing().returning(insert.table.c.envelope_id), rows).all()
    new = [first[found] for found in stored]
    _note_streams(session, sender, items, now)
    record(session, sender.agent, sender.network_id, _told(new), now)
    return frozenset(item.index for item in new)


def _row(sender: Sender, item: Item, now: dt.datetime) -> dict[str, Any]:
    envelope = item.envelope
    return {
        "agent": sender.agent,
        "day": day_of(item.id),
        "envelope_id": item.id,
        "kind": envelope.kind,
        "sub": envelope.sub,
        "schema_version": envelope.schema_version,
        "ts_unix_ms": envelope.ts_unix_ms,
        "correlation_id": envelope.correlation_id,
        "stream": uuid.UUID(envelope.stream) if envelope.stream else None,
        "seq": envelope.seq,
        "meta": msgspec.json.encode(envelope.meta).decode() if envelope.meta else None,
        "body": item.text,
        "received_at": now,
    }


def _note_streams(session: Session, sender: Sender, items: Iterable[Item], now: dt.datetime) -> None:
    highest: dict[uuid.UUID, int] = {}
    for item in items:
        stream, seq = item.envelope.stream, item.envelope.seq
        if stream is not None and seq is not None:
            key = uuid.UUID(stream)
            highest[key] = max(seq, highest.get(key, 0))
    if not highest:
        return
    insert = insert_into(session, Stream)
    known, given = insert.table.c.highest_seq, insert.excluded.highest_seq
    rows = [
        {"agent": sender.agent, "stream": key, "highest_seq": highest[key], "seen_at": now} for key in sorted(highest)
    ]
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["agent", "stream"],
            set_={"highest_seq": case((given > known, given), else_=known), "seen_at": insert.excluded.seen_at},
        ),
        rows,
    )


def _told(items: Iterable[Item]) -> list[Told]:
    return [
        Told(item.id, item.envelope.correlation_id, item.body)
        for item in items
        if isinstance(item.body, HostOutcome | RunStarted | RunFinished)
    ]
