"""Small facts about this proxy: its identity, when jobs last fired, what the daemon is doing. Called by the composition roots."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.ids import uuid7
from runtime.adapters.state import recovery_log
from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import daemon_status, job_fires, meta

_DAEMON = 1


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What the daemon last said of itself. ``refresh`` is the last configuration refresh, as plain JSON values."""

    pid: int | None
    started_at: dt.datetime | None
    heartbeat_at: dt.datetime | None
    refreshed_at: dt.datetime | None
    refresh: Mapping[str, Any]


def agent_id(state: State, given: str = "") -> str:
    """``given`` (FLAGEEMONITOR_AGENT_ID) when there is one; else the UUIDv7 made at the first call and kept ever since."""
    if given:
        return given
    wanted = select(meta.c.value).where(meta.c.key == "agent_id")
    with state.read() as connection:
        kept = connection.scalar(wanted)
    return kept if kept is not None else state.write(_make_agent_id)


def _make_agent_id(connection: Connection) -> str:
    made = uuid7()
    if connection.execute(upsert(meta).on_conflict_do_nothing(), {"key": "agent_id", "value": made}).rowcount:
        recovery_log.append(connection, "agent_id", agent_id=made)
        return made
    return str(connection.scalar(select(meta.c.value).where(meta.c.key == "agent_id")))


def probe_write(state: State, now: dt.datetime) -> None:
    """Commit something, so that a disk that takes nothing is seen. Raises StateUnavailable."""
    note = upsert(meta).values(key="probe", value=now.isoformat())
    state.write(
        lambda connection: connection.execute(
            note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": note.excluded.value})
        )
    )


def job_fires_seen(state: State) -> dict[str, dt.datetime]:
    """The last planned instant of each job that was started or knowingly passed over."""
    with state.read() as connection:
        return {row.job_id: row.planned_at for row in connection.execute(select(job_fires))}


def note_job_fire(state: State, job_id: str, planned: dt.datetime) -> bool:
    """True for the one caller that notes this instant first: it alone may start the job. Blocks until it is durable, so that
    a killed daemon never fires the same instant twice."""
    return state.write(lambda connection: fire_noted(connection, job_id, planned))


def fire_noted(connection: Connection, job_id: str, planned: dt.datetime) -> bool:
    """The same inside a transaction."""
    insert = upsert(job_fires).values(job_id=job_id, planned_at=planned)
    newer = insert.on_conflict_do_update(
        index_elements=[job_fires.c.job_id],
        set_={"planned_at": insert.excluded.planned_at},
        where=job_fires.c.planned_at < insert.excluded.planned_at,
    )
    return connection.execute(newer).rowcount > 0


def reset_job_fire(state: State, job_id: str, instant: dt.datetime) -> None:
    """Put the note back: it was made by a clock that ran ahead."""
    statement = update(job_fires).where(job_fires.c.job_id == job_id).values(planned_at=instant)
    state.write(lambda connection: connection.execute(statement))


def note_heartbeat(state: State, *, pid: int, started_at: dt.datetime, now: dt.datetime) -> None:
    _note(state, pid=pid, started_at=started_at, heartbeat_at=now)


def note_refresh(state: State, refresh: object, now: dt.datetime) -> None:
    """``refresh``: any dataclass or mapping of plain values; RefreshResult is one."""
    state.write(lambda connection: refresh_noted(connection, refresh, now))


def refresh_noted(connection: Connection, refresh: object, now: dt.datetime) -> None:
    """The same inside a transaction."""
    connection.execute(_status(refreshed_at=now, refresh=dumps(refresh)))


def read_daemon_status(state: State) -> DaemonStatus | None:
    """None when no daemon has ever run on this state."""
    with state.read() as connection:
        row = connection.execute(select(daemon_status).where(daemon_status.c.id == _DAEMON)).one_or_none()
    if row is None:
        return None
    return DaemonStatus(row.pid, row.started_at, row.heartbeat_at, row.refreshed_at, loads(row.refresh) or {})


def _note(state: State, **columns: Any) -> None:
    statement = _status(**columns)
    state.write(lambda connection: connection.execute(statement))


def _status(**columns: Any) -> Insert:
    insert = upsert(daemon_status).values(id=_DAEMON, **columns)
    return insert.on_conflict_do_update(
        index_elements=[daemon_status.c.id], set_={name: insert.excluded[name] for name in columns}
    )
