"""The run registry within one process; tests/integration/test_state_processes.py has the rest."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import signal
from pathlib import Path

import pytest

from runtime.adapters.state import runs
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.history import find_run
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.reading import ReadOnlyState, UnreadableState
from runtime.adapters.state.store import State
from runtime.domain.model import RunInfo
from tests.unit.state.support import NOON, StillClock, make_hosts, make_info, make_result, outbox_rows

LATER = NOON + dt.timedelta(hours=1)


async def _half_a_run(state: State, info: RunInfo) -> None:
    """One host at work, one done, one pending."""
    hosts = make_hosts(3)
    ledger = SqlLedger(state, StillClock())
    await ledger.begin(info, hosts)
    await ledger.at_work(info.run_id, hosts[0], "set zone")
    await ledger.record(info.run_id, make_result(hosts[1]))


def test_a_run_is_live_while_it_is_registered(state: State) -> None:
    older, newer = make_info(), make_info(started_at=LATER)
    with runs.register(state.folder, newer), runs.register(state.folder, older):
        live = runs.live_runs(state.folder)
        assert [run.run_id for run in live] == [older.run_id, newer.run_id]
        assert (live[0].pid, live[0].action, live[0].origin) == (os.getpid(), older.action, "manual")
    assert runs.live_runs(state.folder) == ()
    assert list((state.folder / "runs").iterdir()) == []


def test_a_live_run_is_not_reaped(state: State) -> None:
    info = make_info()
    with runs.register(state.folder, info):
        asyncio.run(_half_a_run(state, info))
        assert runs.reap(state, LATER) == {}
    assert runs.reap(state, LATER) == {info.run_id: 2}


def test_a_dead_run_is_closed_once_with_one_outcome_for_each_host(state: State) -> None:
    info = make_info()
    asyncio.run(_half_a_run(state, info))
    assert runs.reap(state, LATER) == {info.run_id: 2}
    assert runs.reap(state, LATER) == {}

    run, hosts = find_run(state, info.run_id) or pytest.fail("the run is not there")
    assert (run.state, run.exit_code, run.finished_at, run.open) == ("finished", 1, LATER, 0)
    assert [(host.outcome, host.reason) for host in hosts] == [
        ("unknown", "killed"),
        ("changed", "confirmed"),
        ("cancelled", "not_started"),
    ]
    assert hosts[0].result["host"]["id"] == "10000"
    assert sorted(row["outcome"] for row in outbox_rows(state, "host_result")) == ["cancelled", "changed", "unknown"]
    [finished] = outbox_rows(state, "run_finished")
    assert finished["summary"] == {"cancelled": 1, "changed": 1, "unknown": 1}


def test_a_run_that_was_killed_before_it_touched_a_host_counts_as_cancelled(state: State) -> None:
    info = make_info()
    asyncio.run(SqlLedger(state, StillClock()).begin(info, make_hosts(2)))
    runs.reap(state, LATER)
    run, _ = find_run(state, info.run_id) or pytest.fail("the run is not there")
    assert run.exit_code == 130


def test_the_lock_file_of_a_dead_process_is_removed(state: State) -> None:
    left = state.folder / "runs" / "0190.lock"
    left.parent.mkdir()
    left.write_text('{"pid": 1}')
    runs.reap(state, LATER)
    assert not left.exists()


def test_cancelling_a_run_that_cannot_be_signalled_leaves_a_note(state: State) -> None:
    """As from another container: the pid that the file names is not that of the holder."""
    info = make_info(origin="schedule:night")
    with runs.register(state.folder, info):
        path = state.folder / "runs" / f"{info.run_id}.lock"
        path.write_text(path.read_text().replace(f'"pid":{os.getpid()}', f'"pid":{os.getppid()}'))
        asyncio.run(_half_a_run(state, info))
        assert runs.cancel_requested(state, info.run_id) is None
        assert runs.cancel(state, info.run_id, by="ana") is runs.Cancelled.NOTED
        assert runs.cancel(state, info.run_id, by="rui") is runs.Cancelled.NOTED
        assert runs.cancel_requested(state, info.run_id) == "ana"


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_is_over_cannot_be_cancelled(state: State, begun: bool) -> None:
    info = make_info()
    if begun:
        asyncio.run(_half_a_run(state, info))
        runs.reap(state, LATER)
    assert runs.cancel(state, info.run_id, by="ana") is runs.Cancelled.NOT_RUNNING


def test_a_pid_that_does_not_hold_the_lock_is_never_signalled(state: State) -> None:
    """The content may name a pid that now belongs to another process."""
    info = make_info()
    with runs.register(state.folder, info):
        [run] = runs.live_runs(state.folder)
        for pid in (os.getppid(), 2**22 - 1):
            assert runs.signal_run(state.folder, dataclasses.replace(run, pid=pid)) is False


FULL = StateUnavailable("state_full", "the volume is full", "free space")


def take_the_note_s_place(folder: Path, run_id: str) -> None:
    """Nothing can be written beside the lock, as on a full disk."""
    (folder / "runs" / f"{run_id}.cancel").mkdir()


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("made", [ReadOnlyState, UnreadableState])
def test_a_run_is_stopped_where_the_database_takes_no_note(
    state: State, beside: bool, made: type[ReadOnlyState | UnreadableState]
) -> None:
    info, heard = make_info(), list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with runs.register(state.folder, info), made(state.folder, FULL) as full:
            full.trouble = StateUnavailable("state_failed", "of before", "")
            if not beside:
                take_the_note_s_place(state.folder, info.run_id)
            result = runs.cancel(full, info.run_id, by="ana")
            assert result is (runs.Cancelled.SIGNALLED if beside else runs.Cancelled.SIGNALLED_UNNOTED)
            assert heard == [signal.SIGTERM]
            assert full.trouble is FULL
            if beside:
                assert runs.cancel_requested(full, info.run_id) == "ana"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_who_asked_is_not_known_where_neither_database_nor_note_can_be_read(state: State) -> None:
    with UnreadableState(state.folder, FULL) as unreadable, pytest.raises(StateUnavailable, match="full"):
        runs.cancel_requested(unreadable, make_info().run_id)


def test_a_cancel_that_reaches_a_run_in_no_way_is_an_error(state: State) -> None:
    info = make_info()
    with runs.register(state.folder, info), ReadOnlyState(state.folder, FULL) as full:
        take_the_note_s_place(state.folder, info.run_id)
        path = state.folder / "runs" / f"{info.run_id}.lock"
        path.write_text(path.read_text().replace(f'"pid":{os.getpid()}', f'"pid":{os.getppid()}'))
        with pytest.raises(StateUnavailable, match="full"):
            runs.cancel(full, info.run_id, by="ana")
