"""What goes and what stays when the state is swept."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from sqlalchemy import select

from runtime.adapters.state.history import count, list_runs
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.outbox.delivery import acknowledge
from runtime.adapters.state.retention import LEAST_ROWS, Maintained, maintain, make_room
from runtime.adapters.state.room import SCARCE, Room
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import outbox
from runtime.domain.model import Outcome, Reason
from runtime.domain.time.clock_trust import Trusted
from tests.unit.state.support import NOON, StillClock, complete_run, make_hosts, make_info, make_result, outbox_rows

UNLIMITED = 10**9


def _deliver(state: State, number: int) -> None:
    """Have the oldest rows acknowledged."""
    ids = select(outbox.c.id).order_by(outbox.c.id).limit(number)
    state.write(lambda connection: acknowledge(connection, connection.scalars(ids).all()))


def _fill(state: State, hosts: int, started_at: dt.datetime = NOON) -> str:
    info = make_info(started_at=started_at)
    asyncio.run(complete_run(state, info, [make_result(host, Outcome.OK, Reason.DONE) for host in make_hosts(hosts)]))
    return info.run_id


def test_results_go_after_keep_days_and_undelivered_rows_stay(state: State) -> None:
    _fill(state, 1200)
    young = _fill(state, 3, NOON + dt.timedelta(days=9))
    done = maintain(state, keep_days=5, outbox_limit=UNLIMITED, trust=Trusted(NOON + dt.timedelta(days=10), "a test"))
    assert done == Maintained(results=1200, runs=1, dropped=0)
    assert [run.run_id for run in list_runs(state)] == [young]
    counts = count(state)
    assert (counts.results, counts.outbox.waiting) == (3, 1202 + 5)


def test_removed_results_give_their_space_back(state: State) -> None:
    _fill(state, 2000)
    _deliver(state, 2002)
    full = _pages(state)
    maintain(state, keep_days=5, outbox_limit=UNLIMITED, trust=Trusted(NOON + dt.timedelta(days=10), "a test"))
    assert _pages(state) < full / 4


def _pages(state: State) -> int:
    with state.read() as connection:
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar() or 0)


def test_a_run_at_work_is_never_removed(state: State) -> None:
    info = make_info()
    asyncio.run(SqlLedger(state, StillClock()).begin(info, make_hosts(2)))
    assert (
        maintain(state, keep_days=1, outbox_limit=UNLIMITED, trust=Trusted(NOON + dt.timedelta(days=99), "a test")).runs
        == 0
    )
    assert [run.run_id for run in list_runs(state)] == [info.run_id]


@pytest.mark.parametrize(
    ("rows", "delivered", "limit", "dropped"), [(1000, 0, 1000, 0), (1200, 200, 1000, 0), (1200, 0, 700, 500)]
)
def test_the_outbox_drops_only_what_is_above_its_limit(
    state: State, rows: int, delivered: int, limit: int, dropped: int
) -> None:
    _fill(state, rows - 2)
    _deliver(state, delivered)
    assert maintain(state, keep_days=5, outbox_limit=limit, trust=Trusted(NOON, "a test")).dropped == dropped
    counts = count(state).outbox
    assert (counts.dropped, counts.delivered) == (dropped, delivered)
    assert len(outbox_rows(state)) == min(rows - delivered, limit) + (dropped > 0)


@pytest.mark.parametrize(
    ("free", "left"), [(SCARCE, 3000), (SCARCE // 2, 2000), (SCARCE // 100, LEAST_ROWS), (0, LEAST_ROWS)]
)
def test_the_outbox_gets_smaller_with_the_free_space_of_the_disk_and_says_why(
    state: State, free: int, left: int
) -> None:
    _fill(state, 2998)
    room = Room(state.folder, 10 * SCARCE, free, None, None)
    assert make_room(state, outbox_limit=4000, now=NOON, room=room) == 3000 - left
    assert len(outbox_rows(state)) == left + (left < 3000)
    assert [one["cause"] for one in outbox_rows(state, "outbox_dropped")] == ["disk"] * (left < 3000)


def test_a_disk_with_room_costs_no_row(state: State) -> None:
    _fill(state, 10)
    assert make_room(state, outbox_limit=1, now=NOON, room=Room(state.folder, 10 * SCARCE, 9 * SCARCE, None, None)) == 0


def test_what_was_not_delivered_within_thirty_days_goes_and_leaves_one_tombstone(state: State) -> None:
    _fill(state, 1200)
    _fill(state, 3, NOON + dt.timedelta(days=9))
    now = NOON + dt.timedelta(days=31)
    assert maintain(state, keep_days=90, outbox_limit=UNLIMITED, trust=Trusted(now, "a test")).dropped == 1202
    [tombstone] = outbox_rows(state, "outbox_dropped")
    assert (tombstone["dropped"], tombstone["ranges"], tombstone["cause"]) == (1202, [[1, 1202]], "age")
    later = Trusted(now + dt.timedelta(days=60), "a test")
    assert maintain(state, keep_days=90, outbox_limit=UNLIMITED, trust=later).dropped == 5
    [tombstone] = outbox_rows(state, "outbox_dropped")  # exempt, and taking in what goes later
    assert (tombstone["dropped"], tombstone["ranges"]) == (1207, [[1, 1207]])
