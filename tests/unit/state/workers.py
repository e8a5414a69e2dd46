"""What the tests of the local state do in processes of their own. Each is started fresh, and may be killed at any moment."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from contracts.ids import uuid7
from runtime.adapters.state import runs
from runtime.adapters.state.history import count
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.locks import FileLocks
from runtime.adapters.state.outbox.delivery import acknowledge, lease
from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import JOB_MISSED
from tests.unit.state.support import NOON, StillClock, make_hosts, make_info, make_result, open_state

HOSTS = 40
SENDING = dt.timedelta(minutes=1)

# One server process imports everything once and forks from there: a fresh process in milliseconds, and no state inherited.
_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])


def start(work: Callable[..., None], folder: Path, *more: object) -> tuple[BaseProcess, Connection]:
    """A process that runs ``work(folder, pipe, *more)``, and our end of the pipe."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=work, args=(folder, theirs, *more), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def open_and_count(folder: Path, pipe: Connection) -> None:
    """Wait for a word, then open the state."""
    pipe.recv()
    with open_state(folder) as state:
        pipe.send(count(state).runs)


def run_without_end(folder: Path, pipe: Connection, run_id: str) -> None:
    """A run on HOSTS hosts, four at a time; says what was acknowledged, as soon as it was."""

    async def work() -> None:
        with open_state(folder) as state:
            info, ledger, hosts = make_info(run_id), SqlLedger(state, StillClock()), make_hosts(HOSTS)
            with runs.register(folder, info):
                await ledger.begin(info, hosts)
                pipe.send(("begun", os.getpid()))
                todo = iter(hosts)

                async def worker() -> None:
                    for host in todo:
                        await ledger.at_work(run_id, host, "set zone")
                        pipe.send(("at_work", host.id))
                        await ledger.record(run_id, make_result(host))
                        pipe.send(("done", host.id))

                await asyncio.gather(*(worker() for _ in range(4)))
                await ledger.finish(run_id, 0)
                pipe.send(("finished", run_id))

    asyncio.run(work())


def hold_run(folder: Path, pipe: Connection, run_id: str, lasts: float | None = None) -> None:
    """Register a run and wait; on SIGTERM say so and leave in order. ``lasts``: seconds in which it should have ended."""

    def stop(*_: object) -> None:
        pipe.send("terminated")
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    with runs.register(folder, dataclasses.replace(make_info(run_id), origin="manual"), lasts):
        pipe.send("registered")
        time.sleep(600)


def hold_host(folder: Path, pipe: Connection) -> None:
    """Take the lock on the first host and wait."""

    async def hold() -> None:
        async with FileLocks(folder, StillClock()).try_lock(make_hosts(1)[0], "run A") as holder:
            pipe.send(holder)
            await asyncio.sleep(600)

    asyncio.run(hold())


def reap(folder: Path, pipe: Connection) -> None:
    """Wait for a word, then reap."""
    pipe.recv()
    with open_state(folder) as state:
        pipe.send(runs.reap(state, NOON))


def count_up_lock(folder: Path, pipe: Connection, rounds: int) -> None:
    """Take the lock on one host again and again; inside it, read a number from a file and write the next."""

    async def work() -> int:
        locks, host, number = FileLocks(folder, StillClock()), make_hosts(1)[0], folder / "number"
        taken = 0
        while taken < rounds:
            async with locks.try_lock(host, f"run {uuid7()}") as holder:
                if holder is None:
                    number.write_text(str(int(number.read_text()) + 1))
                    taken += 1
            await asyncio.sleep(0)
        return taken

    pipe.send(asyncio.run(work()))


def send_without_end(folder: Path, pipe: Connection) -> None:
    """Put rows, lease them, have them acknowledged; says each as soon as it is committed, and what is stored before that."""
    with open_state(folder) as state:
        while True:
            messages = [event(JOB_MISSED, {}, NOON) for _ in range(3)]
            state.write(partial(put, messages=messages))
            pipe.send(("put", [message.id for message in messages]))
            now = dt.datetime.now(dt.UTC)
            held = state.write(partial(lease, now=now, lasts=SENDING, most=2, most_bytes=1 << 20))
            ids = [row.id for row in held.rows]
            pipe.send(("stored", ids))
            state.write(partial(acknowledge, ids=ids))
            pipe.send(("acknowledged", ids))
