"""Several processes on one local state: killed at any moment, reaped, cancelled, kept apart by locks."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime as dt
import random
import signal
import time
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from contracts.ids import uuid7
from runtime.adapters.state import runs
from runtime.adapters.state.history import find_run
from runtime.adapters.state.locks import FileLocks
from runtime.adapters.state.outbox.delivery import lease
from runtime.adapters.state.store import State
from tests.unit.state import workers
from tests.unit.state.support import NOON, StillClock, make_hosts, open_state, outbox_rows

KILLS = 48
BATCHES = 4


def _rest(pipe: Connection) -> list[tuple[str, str]]:
    """The output of the process before it ended."""
    said = []
    with contextlib.suppress(EOFError):
        while True:
            said.append(pipe.recv())
    return said


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _killed_run(folder: Path, chance: random.Random) -> tuple[str, dict[str, set[str]]]:
    """A run whose process was killed at a random point: run id, and what had been acknowledged by then."""
    run_id = uuid7()
    process, pipe = workers.start(workers.run_without_end, folder, run_id)
    said = [pipe.recv() for _ in range(chance.randint(1, 2 * workers.HOSTS + 1))]
    time.sleep(chance.random() / 500)
    _kill(process)
    acknowledged: dict[str, set[str]] = collections.defaultdict(set)
    for what, which in said + _rest(pipe):
        acknowledged[what].add(which)
    return run_id, acknowledged


@pytest.mark.parametrize("seed", range(BATCHES))
def test_a_kill_at_any_moment_loses_nothing_acknowledged_and_every_host_gets_one_outcome(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    killed = [_killed_run(tmp_path, chance) for _ in range(KILLS // BATCHES)]
    with open_state(tmp_path) as state:
        runs.reap(state, NOON)
        sent = collections.Counter((row["run_id"], row["host"]["id"]) for row in outbox_rows(state, "host_result"))
        ended = collections.Counter(row["run_id"] for row in outbox_rows(state, "run_finished"))
        for run_id, acknowledged in killed:
            _check(state, run_id, acknowledged)
            assert {host.id: sent[run_id, host.id] for host in make_hosts(workers.HOSTS)} == dict.fromkeys(
                (host.id for host in make_hosts(workers.HOSTS)), 1
            )
            assert ended[run_id] == 1
        assert runs.live_runs(tmp_path) == ()
        assert list((tmp_path / "runs").iterdir()) == []


def test_a_sender_that_is_killed_leaves_every_row_for_the_next_one(tmp_path: Path) -> None:
    chance = random.Random(7)
    told: dict[str, set[str]] = {"put": set(), "stored": set(), "acknowledged": set()}
    for _ in range(KILLS // BATCHES):
        process, pipe = workers.start(workers.send_without_end, tmp_path)
        said = [pipe.recv() for _ in range(chance.randint(1, 12))]
        time.sleep(chance.random() / 500)
        _kill(process)
        for what, ids in said + _rest(pipe):
            told[what].update(ids)
    with open_state(tmp_path) as state:
        later = dt.datetime.now(dt.UTC) + workers.SENDING
        held = state.write(partial(lease, now=later, lasts=workers.SENDING, most=10_000, most_bytes=1 << 30))
    here = {row.id for row in held.rows}
    assert not here & told["acknowledged"]
    assert told["put"] - told["stored"] <= here
    assert told["put"] <= here | told["stored"]


def _check(state: State, run_id: str, acknowledged: dict[str, set[str]]) -> None:
    run, hosts = find_run(state, run_id) or pytest.fail("a run that had begun is not there")
    assert (run.state, run.open, sum(run.outcomes.values())) == ("finished", 0, workers.HOSTS)
    for host in hosts:
        host_id = host.result["host"]["id"]
        if host_id in acknowledged["done"]:
            assert host.outcome == "changed"
        elif host_id in acknowledged["at_work"]:
            assert host.outcome in ("unknown", "changed"), "changed: committed, and killed before it could say so"
        else:
            assert host.outcome in ("cancelled", "unknown", "changed")
    if acknowledged["finished"]:
        assert run.exit_code == 0


def test_many_processes_that_reap_at_once_close_each_run_once(tmp_path: Path) -> None:
    chance = random.Random(7)
    run_ids = {_killed_run(tmp_path, chance)[0] for _ in range(3)}
    with open_state(tmp_path) as state:
        running = {run_id for run_id in run_ids if (found := find_run(state, run_id)) and found[0].state == "running"}
    reapers = [workers.start(workers.reap, tmp_path) for _ in range(4)]
    for _, pipe in reapers:
        pipe.send("go")
    closed = [run_id for _, pipe in reapers for run_id in pipe.recv()]
    for process, _ in reapers:
        process.join()
    assert collections.Counter(closed) == dict.fromkeys(running, 1)
    with open_state(tmp_path) as state:
        assert len(outbox_rows(state, "host_result")) == len(run_ids) * workers.HOSTS
        assert len(outbox_rows(state, "run_finished")) == len(run_ids)


@pytest.fixture
def held_run(tmp_path: Path) -> tuple[BaseProcess, Connection, str]:
    open_state(tmp_path).close()
    run_id = uuid7()
    process, pipe = workers.start(workers.hold_run, tmp_path, run_id)
    assert pipe.recv() == "registered"
    return process, pipe, run_id


def test_cancel_signals_the_process_of_the_run(tmp_path: Path, held_run: tuple[BaseProcess, Connection, str]) -> None:
    process, pipe, run_id = held_run
    [live] = runs.live_runs(tmp_path)
    assert (live.run_id, live.pid) == (run_id, process.pid)
    with open_state(tmp_path) as state:
        assert runs.cancel(state, run_id, by="ana") is runs.Cancelled.SIGNALLED
        assert pipe.recv() == "terminated"
        process.join()
        assert process.exitcode == 0
        assert runs.live_runs(tmp_path) == ()
        assert runs.cancel(state, run_id, by="ana") is runs.Cancelled.NOT_RUNNING


def test_a_recycled_pid_is_not_signalled(tmp_path: Path, held_run: tuple[BaseProcess, Connection, str]) -> None:
    """The lock is held, but the file names a living process that does not hold it."""
    process, _, run_id = held_run
    path = tmp_path / "runs" / f"{run_id}.lock"
    bystander, bystander_pipe = workers.start(workers.hold_run, tmp_path / "elsewhere", uuid7())
    assert bystander_pipe.recv() == "registered"
    path.write_text(path.read_text().replace(f'"pid":{process.pid}', f'"pid":{bystander.pid}'))
    [live] = runs.live_runs(tmp_path)
    assert live.pid == bystander.pid
    assert runs.signal_run(tmp_path, live, signal.SIGKILL) is False
    assert bystander.is_alive()
    for each in (process, bystander):
        _kill(each)


def test_a_killed_process_leaves_no_live_run(tmp_path: Path, held_run: tuple[BaseProcess, Connection, str]) -> None:
    process, _, run_id = held_run
    _kill(process)
    assert (tmp_path / "runs" / f"{run_id}.lock").exists()
    assert runs.live_runs(tmp_path) == ()


async def _try(folder: Path) -> str | None:
    async with FileLocks(folder, StillClock()).try_lock(make_hosts(1)[0], "run B") as holder:
        return holder


def test_a_host_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    process, pipe = workers.start(workers.hold_host, tmp_path)
    assert pipe.recv() is None
    assert (asyncio.run(_try(tmp_path)) or "").startswith(f"locked by run A, pid {process.pid}, since 2026-03-14")
    _kill(process)
    assert asyncio.run(_try(tmp_path)) is None


def test_processes_that_fight_for_a_host_never_hold_it_together(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    rounds = 200
    fighters = [workers.start(workers.count_up_lock, tmp_path, rounds) for _ in range(3)]
    assert [pipe.recv() for _, pipe in fighters] == [rounds] * 3
    for process, _ in fighters:
        process.join()
    assert int((tmp_path / "number").read_text()) == 3 * rounds
