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

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.bounded import whole
from contracts.ids import uuid7
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.ledger import FINISHED
from runtime.adapters.state.starts import shorten
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta, outbox, run_hosts, runs
from runtime.domain.time.clock_trust import Trust, Trusted

BATCH = 500
VACUUM_PAGES = 10_000
DROPPED = "outbox_dropped"


@dataclass(frozen=True, slots=True)
class Maintained:
    """Rows removed. ``dropped``: outbox rows that had not been delivered; more than none is worth an alarm. ``kept``: why nothing
    was removed by age."""

    results: int
    runs: int
    delivered: int
    dropped: int
    kept: str = ""


def maintain(state: State, *, keep_days: int, outbox_limit: int, trust: Trust) -> Maintained:
    """Blocks for as long as there is something to remove: call it in a thread. Raises StateUnavailable.

    The outbox gives up delivered rows first, the oldest before the newer. Only when the undelivered ones alone are above the
    limit, the oldest of them go as well: a bounded loss that is counted for ever, told to the control plane by a row of kind
    ``outbox_dropped``, and still there as results for ``keep_days``. The other choice is a full disk, which stops all work.
    """
    results = removed_runs = delivered = 0
    kept = trust.why
    if isinstance(trust, Trusted) and trust.deletes:
        before = trust.now - dt.timedelta(days=keep_days)
        results = _until_none(state, partial(_delete_results, before))
        removed_runs = _until_none(state, partial(_delete_runs, before))
        delivered = _until_none(state, partial(_delete_aged, before))
    delivered += _until_none(state, partial(_delete_excess, outbox_limit))
    dropped = _until_none(state, partial(_drop_waiting, outbox_limit, trust.now))
    state.write(shorten)
    state.write(_give_space_back)
    return Maintained(results, removed_runs, delivered, dropped, kept)


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


def _delete_aged(before: dt.datetime, connection: Connection) -> int:
    aged = select(outbox.c.id).where(outbox.c.delivered_at.is_not(None), outbox.c.delivered_at < before)
    return _delete(connection, outbox, outbox.c.id, aged)


def _delete_excess(limit: int, connection: Connection) -> int:
    delivered = select(outbox.c.id).where(outbox.c.delivered_at.is_not(None)).order_by(outbox.c.id)
    return _delete(connection, outbox, outbox.c.id, delivered, most=_excess(connection, limit))


def _drop_waiting(limit: int, now: dt.datetime, connection: Connection) -> int:
    oldest = select(outbox.c.id).where(outbox.c.kind != DROPPED).order_by(outbox.c.id)
    dropped = _delete(connection, outbox, outbox.c.id, oldest, most=_excess(connection, limit))
    if dropped:
        total = dropped + (whole(connection.scalar(select(meta.c.value).where(meta.c.key == DROPPED))) or 0)
        counter = upsert(meta).values(key=DROPPED, value=str(total))
        connection.execute(counter.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": str(total)}))
        # One row that waits is enough: it carries the sum.
        connection.execute(delete(outbox).where(outbox.c.kind == DROPPED, outbox.c.delivered_at.is_(None)))
        row = {"id": uuid7(), "kind": DROPPED, "correlation_id": uuid7(), "payload": dumps({"dropped": total})}
        connection.execute(insert(outbox), {**row, "created_at": now})
    return dropped


def _give_space_back(connection: Connection) -> None:
    free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0)
    for _ in range(min(free, VACUUM_PAGES)):
        connection.exec_driver_sql(
            "PRAGMA incremental_vacuum(1)"
        )  # Python's driver stops after one page, whatever is asked


def _over(before: dt.datetime) -> ColumnElement[bool]:
    return and_(runs.c.state == FINISHED, runs.c.finished_at < before)


def _delete(connection: Connection, table: Table, key: Column[Any], chosen: Select[Any], *, most: int = BATCH) -> int:
    batch = chosen.limit(min(BATCH, most))
    return connection.execute(delete(table).where(key.in_(batch))).rowcount


def _excess(connection: Connection, limit: int) -> int:
    counted = select(func.count()).select_from(outbox).where(outbox.c.kind != DROPPED)
    return max(0, int(connection.scalar(counted) or 0) - limit)
