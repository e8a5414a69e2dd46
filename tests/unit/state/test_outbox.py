"""The outbox: rows are leased to one sender at a time, none is lost in silence, and rows of older releases are delivered."""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine, select

import runtime
from contracts.ids import uuid7
from runtime.adapters.state.history import count
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.migrations.upgrade import upgrade
from runtime.adapters.state.outbox import limits
from runtime.adapters.state.outbox.delivery import (
    LONGEST_LEASE,
    LONGEST_PAUSE,
    Lease,
    acknowledge,
    dead_letter,
    lease,
    put_back,
    revive,
    stream_of,
)
from runtime.adapters.state.outbox.limits import MOST_RANGES, shed
from runtime.adapters.state.outbox.put import Message, event, put
from runtime.adapters.state.outbox.topics import (
    DEPLOYMENT,
    HOST_RESULT,
    JOB_MISSED,
    LOST,
    MEASURED,
    RESULT,
    UNCHANGED_RESULT,
    Topic,
    importance_of,
    topic_named,
)
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import outbox
from runtime.domain.model import Outcome, Reason
from tests.unit.state.support import (
    NOON,
    StillClock,
    complete_run,
    make_hosts,
    make_info,
    make_result,
    open_state,
    outbox_rows,
)

SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)


def _result(text: str = "{}", importance: int | None = None, at: dt.datetime = NOON) -> Message:
    return Message(HOST_RESULT, text, uuid7(), at, "run", importance)


def _fill(state: State, *messages: Message) -> list[str]:
    state.write(lambda connection: put(connection, messages))
    return [message.id for message in messages]


def _lease(state: State, now: dt.datetime = NOON, most: int = 100, most_bytes: int = 1 << 20, **more: Any) -> Lease:
    asked: dict[str, Any] = {"lasts": MINUTE, **more}
    return state.write(lambda connection: lease(connection, now=now, most=most, most_bytes=most_bytes, **asked))


def _ids(held: Lease) -> list[str]:
    return [row.id for row in held.rows]


def _acknowledge(state: State, ids: list[str]) -> int:
    return state.write(lambda connection: acknowledge(connection, ids))


def _shed(state: State, limit: int, now: dt.datetime = NOON) -> int:
    return state.write(lambda connection: shed(connection, limit=limit, now=now))


def _seqs(state: State) -> list[int | None]:
    with state.read() as connection:
        return list(connection.scalars(select(outbox.c.seq).order_by(outbox.c.seq)))


# --- putting


def test_a_message_that_is_put_again_is_the_same_row(state: State) -> None:
    message = _result()
    _fill(state, message)
    _fill(state, message, _result())
    assert _seqs(state) == [1, 2]


def test_a_row_exists_exactly_when_its_result_is_recorded(state: State) -> None:
    class Failure(Exception):
        pass

    def work(connection: Any) -> None:
        put(connection, [_result()])
        raise Failure

    with pytest.raises(Failure):
        state.write(work)
    _fill(state, _result())
    assert _seqs(state) == [1]


def test_numbers_of_the_stream_go_on_after_rows_were_delivered(state: State) -> None:
    _acknowledge(state, _fill(state, _result(), _result()))
    _fill(state, _result())
    assert _seqs(state) == [3]


def test_every_topic_is_found_by_its_stored_name_and_an_unknown_one_is_an_event() -> None:
    assert topic_named("host_result") is HOST_RESULT
    assert topic_named("holiday") == Topic("holiday", "event", "holiday")


@pytest.mark.parametrize(
    ("outcome", "reason", "more", "expected"),
    [
        (Outcome.OK, Reason.DONE, {}, UNCHANGED_RESULT),
        (Outcome.SKIPPED, Reason.FROZEN, {}, UNCHANGED_RESULT),
        (Outcome.CHANGED, Reason.CONFIRMED, {}, RESULT),
        (Outcome.UNKNOWN, Reason.KILLED, {}, RESULT),
    ],
)
def test_a_result_that_changed_nothing_is_less_important(
    outcome: Outcome, reason: Reason, more: dict[str, Any], expected: int
) -> None:
    [host] = make_hosts(1)
    assert importance_of(make_result(host, outcome, reason, **more)) == expected


def test_only_the_outbox_uses_its_tables() -> None:
    root = Path(runtime.__path__[0])
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "runtime.adapters.state.tables"
        and {alias.name for alias in node.names} & {"outbox", "outbox_stream"}
    }
    assert {str(Path(user).parent) for user in users} == {"adapters/state/outbox"}


# --- leasing


def test_two_senders_get_disjoint_rows(state: State) -> None:
    ids = _fill(state, *(_result() for _ in range(10)))
    first, second, third = _lease(state, most=6), _lease(state, most=6), _lease(state)
    assert _ids(first) + _ids(second) == ids
    assert third.rows == ()


def test_the_newest_rows_can_go_first_whatever_the_clock_did(state: State) -> None:
    ids = _fill(state, _result(at=NOON), _result(at=NOON - 9 * MINUTE), _result(at=NOON + MINUTE))
    assert _ids(_lease(state, most=2, newest_first=True)) == ids[:0:-1]
    assert _ids(_lease(state)) == ids[:1]


def test_a_batch_is_limited_by_size_but_never_empty(state: State) -> None:
    ids = _fill(state, *(_result("x" * 100) for _ in range(4)))
    assert _ids(_lease(state, most_bytes=50)) == ids[:1]
    assert _ids(_lease(state, most_bytes=200)) == ids[1:3]


def test_a_leased_row_has_what_its_envelope_needs(state: State) -> None:
    message = _result('{"a":1}')
    _fill(state, message)
    held = _lease(state)
    [row] = held.rows
    assert (row.id, row.kind, row.sub, row.body) == (message.id, "result", "host", '{"a":1}')
    assert (row.run_id, row.correlation_id, row.created_at) == ("run", message.correlation_id, NOON)
    assert (row.seq, row.attempts) == (1, 1)
    with state.read() as connection:
        assert held.stream == stream_of(connection)


def test_an_expired_lease_is_given_again_and_its_former_holder_cannot_change_it(state: State) -> None:
    ids = _fill(state, _result())
    first = _lease(state)
    assert _lease(state, NOON + MINUTE - SECOND).rows == ()
    second = _lease(state, NOON + MINUTE)
    assert _ids(second) == ids
    assert second.rows[0].attempts == 2
    given = state.write(lambda connection: put_back(connection, first, "timeout", next_attempt_at=None, ids=ids))
    assert given == 0
    assert _lease(state, NOON + MINUTE).rows == ()


def test_no_lease_is_longer_than_the_longest(state: State) -> None:
    _fill(state, _result())
    assert _lease(state, lasts=dt.timedelta(days=1)).until == NOON + LONGEST_LEASE


def test_a_clock_that_ran_ahead_blocks_no_row_permanently(state: State) -> None:
    ids = _fill(state, _result())
    assert _ids(_lease(state, NOON + dt.timedelta(days=9000))) == ids
    assert _ids(_lease(state)) == ids


def test_a_row_that_is_put_back_waits_for_its_next_attempt_and_keeps_the_error(state: State) -> None:
    ids = _fill(state, _result())
    held = _lease(state)
    state.write(lambda c: put_back(c, held, "503\nfrom the server", next_attempt_at=NOON + MINUTE, ids=ids))
    assert _lease(state, NOON + MINUTE - SECOND).rows == ()
    with state.read() as connection:
        assert "503" in str(connection.scalar(select(outbox.c.last_error)))
    assert _ids(_lease(state, NOON + MINUTE)) == ids


def test_an_attempt_further_away_than_any_pause_is_made_at_once(state: State) -> None:
    ids = _fill(state, _result())
    held = _lease(state)
    state.write(lambda c: put_back(c, held, "503", next_attempt_at=NOON + LONGEST_PAUSE + SECOND, ids=ids))
    assert _ids(_lease(state)) == ids


# --- what the control plane answered


def test_an_acknowledgement_is_counted_once(state: State) -> None:
    ids = _fill(state, _result(), _result())
    assert (_acknowledge(state, ids[:1]), _acknowledge(state, ids), _acknowledge(state, ids)) == (1, 1, 0)
    assert (count(state).outbox.delivered, count(state).outbox.waiting) == (2, 0)


def test_an_acknowledgement_that_comes_after_the_lease_counts(state: State) -> None:
    ids = _fill(state, _result())
    _lease(state)
    _lease(state, NOON + 2 * MINUTE)
    assert _acknowledge(state, ids) == 1


def test_a_dead_letter_keeps_its_reason_and_is_sent_again_only_on_request(state: State) -> None:
    ids = _fill(state, _result(), _result())
    _lease(state)
    assert state.write(lambda c: dead_letter(c, ids[:1], "too_large", now=NOON)) == 1
    assert state.write(lambda c: dead_letter(c, ids[:1], "another", now=NOON)) == 0
    assert _ids(_lease(state, NOON + 2 * MINUTE)) == ids[1:]
    counts = count(state).outbox
    assert (counts.waiting, counts.dead) == (1, 1)
    with state.read() as connection:
        assert connection.scalar(select(outbox.c.last_error).where(outbox.c.id == ids[0])) == "too_large"
    assert state.write(lambda c: revive(c, ids)) == 1
    assert _ids(_lease(state, NOON + 2 * MINUTE)) == ids[:1]


# --- limits


def test_figures_go_first_then_events_then_results_and_business_events_last(state: State) -> None:
    changed, unchanged, told = _result(), _result(importance=UNCHANGED_RESULT), event(DEPLOYMENT, {}, NOON)
    business, figures = event(JOB_MISSED, {}, NOON), event(MEASURED, {}, NOON)
    _fill(state, business, changed, unchanged, told, figures)
    in_order = [business, changed, unchanged, told]
    for kept in (in_order[:number] for number in (4, 3, 2, 1)):
        _shed(state, len(kept))
        assert {row.id for row in _rows(state) if row.kind != LOST.name} == {message.id for message in kept}


def _rows(state: State) -> list[Any]:
    with state.read() as connection:
        return list(connection.execute(select(outbox)))


def test_a_tombstone_says_what_was_lost(state: State) -> None:
    _fill(state, *(_result(at=NOON + number * SECOND) for number in range(5)), event(DEPLOYMENT, {}, NOON + 9 * SECOND))
    assert _shed(state, 2, NOON + MINUTE) == 4
    [tombstone] = outbox_rows(state, LOST.name)
    with state.read() as connection:
        stream = stream_of(connection)
    assert tombstone == {
        "stream": stream,
        "cause": "limit",
        "dropped": 4,
        "kinds": {"host_result": 3, "deployment": 1},
        "first_at": NOON.isoformat(),
        "last_at": (NOON + 9 * SECOND).isoformat(),
        "ranges": [[1, 3], [6, 6]],
        "beyond": 0,
        "at": (NOON + MINUTE).isoformat(),
    }
    assert count(state).outbox.dropped == 4


def test_a_tombstone_takes_in_the_next_loss_until_it_may_have_been_sent(state: State) -> None:
    _fill(state, *(_result() for _ in range(6)))
    _shed(state, 5)
    _shed(state, 4)
    assert [row["ranges"] for row in outbox_rows(state, LOST.name)] == [[[1, 2]]]
    held = _lease(state)
    _shed(state, 4)
    state.write(lambda c: put_back(c, held, "timeout", next_attempt_at=None, ids=_ids(held)))
    _shed(state, 3)
    assert [row["ranges"] for row in outbox_rows(state, LOST.name)] == [[[1, 2]], [[3, 3]]]
    assert count(state).outbox.dropped == 3


def test_a_tombstone_of_many_holes_names_the_first_and_counts_the_rest(state: State) -> None:
    many = [_result(importance=UNCHANGED_RESULT if number % 2 else RESULT) for number in range(2 * MOST_RANGES + 20)]
    _fill(state, *many)
    _shed(state, len(many) // 2)
    [tombstone] = outbox_rows(state, LOST.name)
    assert len(tombstone["ranges"]) == MOST_RANGES
    assert tombstone["beyond"] == 10


def test_leased_rows_and_tombstones_are_never_shed(state: State) -> None:
    ids = _fill(state, *(_result() for _ in range(3)))
    held = _lease(state, most=2)
    assert (_shed(state, 0), _shed(state, 0)) == (1, 0)
    assert {row.id for row in _rows(state) if row.kind != LOST.name} == set(_ids(held)) == set(ids[:2])


def test_dead_letters_have_a_limit_of_their_own(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DEAD_LETTERS", 1)
    ids = _fill(state, _result(), _result(), _result())
    state.write(lambda c: dead_letter(c, ids[:2], "invalid", now=NOON))
    assert _shed(state, 1) == 1
    [tombstone] = outbox_rows(state, LOST.name)
    assert (tombstone["cause"], tombstone["ranges"]) == ("dead_letters", [[1, 1]])


# --- older releases

_OLD_ROW = "INSERT INTO outbox (id, kind, run_id, correlation_id, payload, created_at) VALUES (?, ?, 'r', 'c', '{}', ?)"


def test_rows_of_the_first_release_are_delivered_also_those_that_it_writes_after_a_rollback(tmp_path: Path) -> None:
    kinds = ["run_started", "host_result", "run_finished"]
    old = [(uuid7(), kind, NOON.isoformat(timespec="microseconds")) for kind in kinds]
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.begin() as connection:
        upgrade(connection, "0006")
        for row in old[:2]:
            connection.exec_driver_sql(_OLD_ROW, row)
    engine.dispose()
    with open_state(tmp_path) as state:
        state.write(lambda connection: connection.exec_driver_sql(_OLD_ROW, old[2]))
        new = _fill(state, _result())
        rows = _lease(state).rows
    assert [(row.id, row.sub, row.seq) for row in rows] == [
        (old[0][0], "run.started", 1),
        (old[1][0], "host", 2),
        (old[2][0], "run.finished", 3),
        (new[0], "host", 4),
    ]


def test_a_new_database_is_a_new_stream(tmp_path: Path) -> None:
    streams = set()
    for name in ("one", "two"):
        with open_state(tmp_path / name) as state, state.read() as connection:
            streams.add(stream_of(connection))
    assert len(streams) == 2


def test_a_run_leaves_rows_for_its_start_its_hosts_and_its_end(state: State) -> None:
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(2)]))
    subs = [row.sub for row in _lease(state).rows]
    assert (subs[0], subs[-1]) == ("run.started", "run.finished")
    assert sorted(subs[1:-1]) == ["host", "host", "host.changed", "host.changed"]


def test_a_host_that_is_recorded_twice_is_delivered_once(state: State) -> None:
    [host] = make_hosts(1)
    ledger, info = SqlLedger(state, StillClock()), make_info()

    async def work() -> None:
        await ledger.begin(info, [host])
        await ledger.record(info.run_id, make_result(host))
        await ledger.record(info.run_id, make_result(host, Outcome.FAILED, Reason.DEADLINE))

    asyncio.run(work())
    assert [row.sub for row in _lease(state).rows] == ["run.started", "host", "host.changed"]


# --- the whole, in any order


class OutboxStory(RuleBasedStateMachine):
    """Any order of events on a real database: a message is always exactly one of here, acknowledged, named by a tombstone."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(_blank(), self.folder / "data")
        self.state = State(self.folder / "data", now=NOON)
        self.now = NOON
        self.put: dict[str, int] = {}  # id -> seq
        self.acknowledged: set[str] = set()
        self.dead: set[str] = set()
        self.held: dict[str, dt.datetime] = {}
        self.leases: list[Lease] = []

    @rule(importances=st.lists(st.sampled_from([UNCHANGED_RESULT, RESULT]), min_size=1, max_size=4))
    def put_some(self, importances: list[int]) -> None:
        ids = _fill(self.state, *(_result("x" * 10, importance) for importance in importances))
        numbers = {row.id: row.seq for row in _rows(self.state)}
        self.put.update({each: numbers[each] for each in ids})

    @rule(most=st.integers(1, 5), newest=st.booleans(), seconds=st.integers(1, 90))
    def lease_some(self, most: int, newest: bool, seconds: int) -> None:
        held = _lease(self.state, self.now, most, newest_first=newest, lasts=seconds * SECOND)
        for each in _ids(held):
            assert self.held.get(each, self.now) <= self.now, "leased twice at once"
            assert each not in self.acknowledged | self.dead
            self.held[each] = held.until
        self.leases.append(held)

    @rule(seconds=st.integers(0, 120))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(data=st.data())
    def hear_of_a_batch(self, data: st.DataObject) -> None:
        """What the control plane says of rows, in time or late, and again."""
        if not self.leases:
            return
        held = data.draw(st.sampled_from(self.leases))
        ids = [each for each in _ids(held) if each in self.put]
        answer = data.draw(st.sampled_from(["stored", "refused", "later"]))
        there = {row.id for row in _rows(self.state)}
        if answer == "stored":
            assert _acknowledge(self.state, ids) == len(there & set(ids))
            self.acknowledged |= there & set(ids)
            self.dead -= set(ids)
        elif answer == "refused":
            self.state.write(lambda c: dead_letter(c, ids, "invalid", now=self.now))
            self.dead |= there & set(ids)
        else:
            mine = {row.id for row in _rows(self.state) if row.leased_by == held.id}
            wait = self.now + data.draw(st.integers(0, 60)) * SECOND
            self.state.write(lambda c: put_back(c, held, "503", next_attempt_at=wait, ids=ids))
            ids = [each for each in ids if each in mine]
        for each in ids:
            self.held.pop(each, None)

    @rule()
    def revive_all(self) -> None:
        assert self.state.write(lambda c: revive(c, sorted(self.dead))) == len(self.dead)
        self.dead.clear()

    @rule(limit=st.integers(0, 10))
    def shed_some(self, limit: int) -> None:
        before = {row.id for row in _rows(self.state)}
        leased = {each for each, until in self.held.items() if until > self.now}
        _shed(self.state, limit, self.now)
        gone = before - {row.id for row in _rows(self.state)}
        assert not gone & leased

    @rule()
    def restart(self) -> None:
        self.state.close()
        self.state = State(self.folder / "data", now=NOON)

    @invariant()
    def nothing_is_lost_in_silence(self) -> None:
        rows = _rows(self.state)
        here = {row.id for row in rows}
        buried: set[int] = set()
        for row in rows:
            if row.kind == LOST.name:
                for first, last in json.loads(row.payload)["ranges"]:
                    assert not buried & set(range(first, last + 1)), "buried twice"
                    buried |= set(range(first, last + 1))
        for each, seq in self.put.items():
            assert (each in here) + (each in self.acknowledged) + (seq in buried) == 1
        assert {row.id for row in rows if row.dead_at is not None} == self.dead
        assert len({row.seq for row in rows}) == len(rows)

    def teardown(self) -> None:
        self.state.close()
        shutil.rmtree(self.folder)


_made: list[Path] = []


def _blank() -> Path:
    """A database that was made once."""
    if not _made:
        folder = Path(tempfile.mkdtemp()) / "data"
        open_state(folder).close()
        _made.append(folder)
    return _made[0]


TestOutboxStory = OutboxStory.TestCase
TestOutboxStory.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
