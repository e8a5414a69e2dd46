"""What the control plane said of this agent's schedule, in one row of ``meta``.

Written by the daemon with each answer; read by the runs that it starts, before every stage, and by `doctor` and `schedule`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta
from runtime.domain.schedule_lease import UNASKED, Standing

KEY = "schedule_lease"


def note_standing(state: State, standing: Standing) -> None:
    """Blocks until it is durable."""
    text = dumps(dataclasses.asdict(standing))
    note = upsert(meta).values(key=KEY, value=text)
    state.write(
        lambda connection: connection.execute(
            note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": text})
        )
    )


def read_standing(state: State) -> Standing | None:
    """None where no daemon has ever asked; a row that cannot be read counts as one that has no answer yet."""
    with state.read() as connection:
        text = connection.scalar(select(meta.c.value).where(meta.c.key == KEY))
    return None if text is None else _parsed(loads(text))


def _parsed(value: Any) -> Standing:
    try:
        return Standing(
            "alone" if value["basis"] == "alone" else "lease",
            until=_number(value["until"]),
            boot=str(value["boot"]),
            since=_instant(value["since"]),
            why=value["why"] if value["why"] in ("held", "unconfirmed", "unasked") else "",
            agent=str(value["agent"]),
            hostname=str(value["hostname"]),
            doubled=str(value["doubled"]),
            told_at=_instant(value["told_at"]),
        )
    except (TypeError, KeyError, ValueError):
        return UNASKED


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError
    return value


def _instant(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)
