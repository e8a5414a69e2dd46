"""Events that are put on their own, in a transaction of their own. Called by the daemon's services, in a thread: both block."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import Topic
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta


def post_event(state: State, topic: Topic, payload: Mapping[str, Any], now: dt.datetime) -> None:
    """Tell the control plane of something that is no run: a job that was missed, or that never came to a host."""
    message = event(topic, payload, now)
    state.write(lambda connection: put(connection, [message]))


def post_event_once(
    state: State,
    topic: Topic,
    mark: str,
    payload: Mapping[str, Any],
    now: dt.datetime,
    *,
    about: str = "",
    usual: str | None = None,
    also: Topic | None = None,
) -> bool:
    """The same, unless the last event of this topic had the same mark; whether it was posted. ``about``: which of several
    things of one topic it is, each with a mark of its own. ``usual``: the mark that needs no telling before any other was told.
    ``also``: a second topic with the same payload. Mark and events are one transaction: a kill repeats nothing."""
    return state.write(
        lambda connection: put_once(connection, topic, mark, payload, now, about=about, usual=usual, also=also)
    )


def put_once(
    connection: Connection,
    topic: Topic,
    mark: str,
    payload: Mapping[str, Any],
    now: dt.datetime,
    *,
    about: str = "",
    usual: str | None = None,
    also: Topic | None = None,
) -> bool:
    """The same inside a transaction."""
    key = _key(topic, about)
    if (connection.scalar(select(meta.c.value).where(meta.c.key == key)) or usual) == mark:
        return False
    note = upsert(meta).values(key=key, value=mark)
    connection.execute(note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": mark}))
    put(connection, [event(one, payload, now) for one in (topic, also) if one])
    return True


def forget_mark(connection: Connection, topic: Topic) -> None:
    """What was told is over: when it comes again, it is told again."""
    connection.execute(delete(meta).where(meta.c.key == _key(topic, "")))


def _key(topic: Topic, about: str) -> str:
    return f"told:{topic.name}:{about}" if about else f"told:{topic.name}"
