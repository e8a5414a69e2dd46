"""How delivery goes, in one row of ``meta``: written by the service when it changes, read by doctor, heartbeat and health."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta

KEY = "delivery"


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """``state``: ok; waiting, where it is a matter of time; refused, where somebody has to act. ``since``: of the state."""

    state: str
    message: str
    advice: str
    since: dt.datetime
    breaker: str


def note_status(state: State, status: DeliveryStatus) -> None:
    text = dumps(dataclasses.asdict(status))
    note = upsert(meta).values(key=KEY, value=text)
    state.write(
        lambda connection: connection.execute(
            note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": text})
        )
    )


def read_status(connection: Connection) -> DeliveryStatus | None:
    """None before the first batch, and for a row that cannot be read."""
    return parse_status(loads(connection.scalar(select(meta.c.value).where(meta.c.key == KEY))))


def parse_status(value: Any) -> DeliveryStatus | None:
    try:
        state, message, advice, breaker = (str(value[name]) for name in ("state", "message", "advice", "breaker"))
        return DeliveryStatus(state, message, advice, dt.datetime.fromisoformat(value["since"]), breaker)
    except (TypeError, KeyError, ValueError):
        return None
