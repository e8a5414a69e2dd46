"""Keeps the local state bounded: old results go after ``keep_days``, the outbox stays below ``outbox_limit`` rows.

Called by the daemon every hour. Small batches, so that no run waits for it. What goes by age goes only by a clock that is
trusted; what goes by number does not depend on one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, delete, select

from contracts.envelope import OUTBOX_DAYS
from runtime.adapters.state.ledger import FINISHED
from runtime.adapters.state.outbox.limits import shed, shed_old
from runtime.adapters.state.room import SCARCE, Room, room_at
from runtime.adapters.state.starts import shorten
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import run_hosts, runs
from runtime.domain.time.clock_trust import Trust, Trusted

BATCH = 500
VACUUM_PAGES = 10_000
LEAST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Maintained:
    """Rows removed. ``dropped``: outbox rows that had not been delivered; one is worth an alarm. ``kept``: why nothing was
    removed by age."""

    results: int
    runs: int
    dropped: int
    kept: str = ""


def maintain(state: State, *, keep_days: int, outbox_limit: int, trust: Trust) -> Maintained:
    """Blocks for as long as there is something to remove: call it in a thread. Raises StateUnavailable.

    What the outbox drops above ``outbox_limit`` is a bounded loss, told to the control plane by a tombstone, and results are
    still there for ``keep_days``. The other choice is a full disk, which stops all work.
    """
    results = removed_runs = dropped = 0
    kept = trust.why
    if isinstance(trust, Trusted) and trust.deletes:
        before = trust.now - dt.timedelta(days=keep_days)
        results = _until_none(state, partial(_delete_results, before))
        removed_runs = _until_none(state, partial(_delete_runs, before))
        oldest = trust.now - dt.timedelta(days=OUTBOX_DAYS)
        dropped = _until_none(state, partial(shed_old, before=oldest, now=trust.now))
    dropped += _until_none(state, partial(shed, limit=outbox_limit, now=trust.now))
    state.write(shorten)
    state.write(_give_space_back)
    return Maintained(results, removed_runs, dropped, kept)


def make_room(state: State, *, outbox_limit: int, now: dt.datetime, room: Room | None = None) -> int:
    """Where the volume has little left, the outbox has less as well: its limit in proportion, at least LEAST_ROWS. The space of
    dropped rows is used for what comes next. Returns how many rows went."""
    found = room or room_at(state.folder)
    if found is None or not found.scarce:
        return 0
    limit = max(LEAST_ROWS, outbox_limit * min(found.free, SCARCE) // SCARCE)
    return _until_none(state, partial(shed, limit=limit, now=now, cause="disk"))


def _until_none(state: State, work: Callable[[Connection], int]) -> int:
    total = 0
    while removed := state.write(work):
        total += removed
    return total


def _delete_results(before: dt.datetime, connection: Connection) -> int:
    old = select(runs.c.run_id).where(_over(before))
    return _delete(connection, run_hosts, run_hosts.c.id, select(run_hosts.c.id).where(run_hosts.c.run_id.in_(old)))


def _delete_runs(before: dt.datetime, connection: Connection) -> int:
    hosts = select(run_hosts.c.id).where(run_hosts.c.run_id == runs.c.run_id)
    return _delete(connection, runs, runs.c.run_id, select(runs.c.run_id).where(_over(before), ~hosts.exists()))


def _give_space_back(connection: Connection) -> None:
    free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0)
    for _ in range(min(free, VACUUM_PAGES)):
        connection.exec_driver_sql(
            "PRAGMA incremental_vacuum(1)"
        )  # Python's driver stops after one page, whatever is asked


def _over(before: dt.datetime) -> ColumnElement[bool]:
    return and_(runs.c.state == FINISHED, runs.c.finished_at < before)


def _delete(connection: Connection, table: Table, key: Column[Any], chosen: Select[Any]) -> int:
    return connection.execute(delete(table).where(key.in_(chosen.limit(BATCH)))).rowcount
