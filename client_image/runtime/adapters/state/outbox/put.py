"""Writing to the outbox, inside the transaction that records what the row tells of: both are there, or neither."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, select
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.ids import uuid7
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.outbox.exports import copy_for_sinks
from runtime.adapters.state.outbox.topics import Topic
from runtime.adapters.state.prepared import PreparedInsert
from runtime.adapters.state.tables import outbox

_PUT = PreparedInsert(upsert(outbox).on_conflict_do_nothing(index_elements=[outbox.c.id]))


@dataclass(frozen=True, slots=True)
class Message:
    """One envelope to be. ``body``: JSON text. ``id``: the envelope's (UUIDv7), made with the message, so that a message that is
    put again is the same row. ``importance``: the topic's when None."""

    topic: Topic
    body: str
    correlation_id: str
    created_at: dt.datetime
    run_id: str | None = None
    importance: int | None = None
    id: str = field(default_factory=uuid7)


def event(topic: Topic, payload: Mapping[str, Any], now: dt.datetime) -> Message:
    """A message about something that is no run; ``at`` is added to its body."""
    return Message(topic, dumps({**payload, "at": now}), uuid7(), now)


def put(connection: Connection, messages: Sequence[Message]) -> None:
    """Put the messages into the outbox; those that are there already stay as they are. A trigger gives each row its ``seq``."""
    if messages:
        _PUT.execute(connection, [_row(message) for message in messages])
        told = [one for one in messages if one.topic.for_sinks]
        if told:
            copy_for_sinks(connection, [(one.topic, one.body, one.correlation_id, one.created_at) for one in told])


def newest_row() -> Select[tuple[dt.datetime]]:
    """When the newest row that is still here was made."""
    return select(outbox.c.created_at).order_by(outbox.c.id.desc()).limit(1)


def _row(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "kind": message.topic.name,
        "run_id": message.run_id,
        "correlation_id": message.correlation_id,
        "payload": message.body,
        "created_at": message.created_at,
        "importance": message.topic.importance if message.importance is None else message.importance,
    }
