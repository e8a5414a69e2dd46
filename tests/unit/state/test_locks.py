"""Locks within one process; tests/integration/test_state_processes.py has those across processes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from runtime.adapters.state.locks import FileLocks
from runtime.domain.machines import grouped
from runtime.domain.model import Listing
from tests.unit.state.support import StillClock, make_hosts


def test_each_host_has_one_lock_holder_and_the_second_gets_its_name(tmp_path: Path) -> None:
    async def two() -> None:
        locks = FileLocks(tmp_path, StillClock())
        async with locks.try_lock(host, "run A (shutdown_endpoint)") as first:
            assert first is None
            async with locks.try_lock(dataclasses.replace(host, address="10.9.9.9"), "run B") as second:
                assert second == (
                    f"locked by run A (shutdown_endpoint), pid {os.getpid()}, since 2026-03-14 12:00:00 UTC"
                )
            async with locks.try_lock(neighbour, "run B") as other:
                assert other is None
        async with locks.try_lock(host, "run B") as free:
            assert free is None

    host, neighbour = make_hosts(2)
    asyncio.run(two())


def test_one_lock_holds_for_every_entry_of_a_machine_and_for_where_it_is_reached(tmp_path: Path) -> None:
    async def take_all() -> dict[str, bool]:
        locks, free = FileLocks(tmp_path, StillClock()), {}
        async with locks.try_lock(one, "run A") as first:
            assert first is None
            for name, host in others.items():
                async with locks.try_lock(host, "run B") as holder:
                    free[name] = holder is None
        async with locks.try_lock(twin, "run B") as holder:
            assert holder is None
        return free

    plain, neighbour, third = make_hosts(3)
    copy = dataclasses.replace(third, address=plain.address)
    one, neighbour, twin = grouped(Listing((plain, neighbour), (copy,))).entries
    others = {
        "its other entry": twin,
        "its other entry, by a run that does not know that": third,
        "an entry that was renamed": dataclasses.replace(plain, name="renamed"),
        "its neighbour": neighbour,
    }
    assert asyncio.run(take_all()) == {name: name == "its neighbour" for name in others}


def test_a_holder_that_fails_releases_its_locks(tmp_path: Path) -> None:
    async def fail_then_take() -> str | None:
        locks = FileLocks(tmp_path, StillClock())
        with pytest.raises(ZeroDivisionError):
            async with locks.try_lock(host, "run A"):
                _ = 1 / 0
        async with locks.try_lock(host, "run B") as holder:
            return holder

    [host] = make_hosts(1)
    assert asyncio.run(fail_then_take()) is None


def test_a_job_waits_for_its_previous_run_or_is_refused_with_its_id(tmp_path: Path) -> None:
    async def overlap() -> list[str]:
        locks, order = FileLocks(tmp_path, StillClock()), []

        async def waiting() -> None:
            async with locks.job("night", "second", wait=True) as holder:
                assert holder is None
                order.append("second")

        async with locks.job("night", "first") as holder:
            assert holder is None
            task = asyncio.create_task(waiting())
            await asyncio.sleep(0.05)
            async with locks.job("night", "third") as told:
                order.append(told or "")
            async with locks.job("noon", "other job") as other:
                assert other is None
            order.append("first over")
        await task
        return order

    told, *rest = asyncio.run(overlap())
    assert told.startswith("locked by first, pid ")
    assert rest == ["first over", "second"]


def test_lock_files_are_private(tmp_path: Path) -> None:
    async def lock() -> None:
        async with FileLocks(tmp_path, StillClock()).try_lock(host, "run A"):
            modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "locks").iterdir()}
            assert modes == {0o600}

    [host] = make_hosts(1)
    asyncio.run(lock())
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
