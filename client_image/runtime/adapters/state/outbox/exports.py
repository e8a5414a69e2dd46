"""Business events and figures for StatsD and OTLP, where a setting asks for them: a copy of their rows, one for each sink.

``put`` writes them in the transaction of the outbox row, so a run by itself sends nothing and waits for nobody. The daemon takes
them from here. What no sink takes is bounded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from runtime.adapters.state.outbox.topics import Topic, topic_named
from runtime.adapters.state.tables import exports, meta

MOST = 5000
_SINKS = "export_sinks"


@dataclass(frozen=True, slots=True)
class Exported:
    """``number``: in the order of arrival. ``body``: JSON text."""

    number: int
    topic: Topic
    body: str
    correlation_id: str
    created_at: dt.datetime


def choose_sinks(connection: Connection, sinks: Sequence[str]) -> None:
    """From now on these are given each business event; what waits for another one goes."""
    connection.execute(delete(exports).where(exports.c.sink.not_in(sinks)))
    note = upsert(meta).values(key=_SINKS, value=",".join(sinks))
    connection.execute(note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": note.excluded.value}))


def chosen_sinks(connection: Connection) -> list[str]:
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _SINKS))
    return found.split(",") if found else []


def copy_for_sinks(connection: Connection, rows: Sequence[tuple[Topic, str, str, dt.datetime]]) -> None:
    """``rows``: topic, body, correlation id, time of each."""
    values = [
        {"sink": sink, "kind": topic.name, "payload": body, "correlation_id": correlation, "created_at": at}
        for sink in chosen_sinks(connection)
        for topic, body, correlation, at in rows
    ]
    if values:
        connection.execute(insert(exports), values)


def waiting_for(connection: Connection, sink: str, most: int) -> list[Exported]:
    """The oldest first."""
    query = select(exports).where(exports.c.sink == sink).order_by(exports.c.id).limit(most)
    return [
        Exported(row.id, topic_named(row.kind), row.payload, row.correlation_id, row.created_at)
        for row in connection.execute(query)
    ]


def exported(connection: Connection, sink: str, upto: int) -> None:
    """The sink has these, or will never have them."""
    connection.execute(delete(exports).where(exports.c.sink == sink, exports.c.id <= upto))


def shorten(connection: Connection, sink: str) -> int:
    """Drop the oldest rows above MOST. Returns how many."""
    keep = select(exports.c.id).where(exports.c.sink == sink).order_by(exports.c.id.desc()).limit(1).offset(MOST)
    limit = connection.scalar(keep)
    if limit is None:
        return 0
    return connection.execute(delete(exports).where(exports.c.sink == sink, exports.c.id <= limit)).rowcount
