"""What the daemon keeps going: a service that fails says so, is tried again, and stops nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.meta import read_daemon_status
from runtime.services.heartbeat import ClockWatch, Heartbeat
from runtime.services.service import Periodic
from tests.unit.state.support import StillClock, open_state


def test_work_that_fails_is_repeated_and_reported_until_it_succeeds() -> None:
    told: list[str] = []

    async def story() -> str:
        async def work() -> None:
            told.append(service.health())
            if len(told) == 1:
                raise OSError("the disk is full")
            if len(told) == 3:
                enough.set()

        enough = asyncio.Event()
        service = Periodic("maintenance", 0.0, work)
        await service.start()
        await enough.wait()
        await service.stop()
        return service.health()

    assert asyncio.run(story()) == ""
    assert told[:3] == ["", "OSError: the disk is full", ""]


def test_the_work_decides_when_it_runs_next() -> None:
    async def story() -> int:
        count, enough = 0, asyncio.Event()

        async def work() -> float:
            nonlocal count
            count += 1
            if count == 3:
                enough.set()
            return 0.0

        service = Periodic("config_refresh", 3600.0, work)
        await service.start()
        await asyncio.wait_for(enough.wait(), 30)
        await service.stop()
        return count

    assert asyncio.run(story()) >= 3


def test_nothing_is_at_work_after_a_service_stopped() -> None:
    async def story() -> None:
        begun, count = asyncio.Event(), 0

        async def work() -> None:
            nonlocal count
            begun.set()
            await asyncio.sleep(0)
            count += 1

        service = Periodic("maintenance", 0.0, work)
        await service.start()
        await begun.wait()
        await service.stop()
        before = count
        for _ in range(20):
            await asyncio.sleep(0)
        assert count == before

    asyncio.run(story())


def test_there_is_no_heartbeat_while_the_scheduler_does_not_run(tmp_path: Path) -> None:
    trouble = ["the scheduler does not run"]

    async def beat(heartbeat: Heartbeat) -> str:
        try:
            await heartbeat.beat()
        except RuntimeError as error:
            return str(error)
        return ""

    with open_state(tmp_path) as state:
        clock = StillClock()
        heartbeat = Heartbeat(state, clock, ClockWatch(ClockJudge(state, clock), state, clock), lambda: trouble[0])
        assert asyncio.run(beat(heartbeat)) == "the scheduler does not run"
        assert read_daemon_status(state) is None
        trouble[0] = ""
        assert asyncio.run(beat(heartbeat)) == ""
        status = read_daemon_status(state)
    assert status is not None
    assert status.heartbeat_at is not None
