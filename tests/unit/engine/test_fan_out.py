"""Many hosts at once: one slow host delays nobody, a stop starts nobody, the grace time is kept, every host has a result."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.domain.model import Host, HostResult, Outcome, Reason
from runtime.engine.run import FanOut
from runtime.engine.stop import Stop
from runtime.process_one import process_one
from tests.unit.engine import in_memory
from tests.unit.engine.in_memory import Terminal, World


def fleet(count: int) -> list[Host]:
    return [in_memory.host(200 + number) for number in range(count)]


def drive(
    one: World, hosts: list[Host], during: Any = None, *, grace: float = 0.1, deadline: float = 60.0
) -> list[HostResult]:
    async def go() -> list[HostResult]:
        context = one.context()
        recorded: list[HostResult] = []

        async def record(result: HostResult) -> None:
            recorded.append(result)

        if during is not None:
            asyncio.get_running_loop().call_later(0.05, during, context.stop)
        fan_out = FanOut(hosts, lambda host: process_one(host, context), record, context.stop)
        async with fan_out.limited(grace, deadline, "the run's deadline is over"), asyncio.TaskGroup() as group:
            for _ in range(min(4, len(hosts))):
                group.create_task(fan_out.worker())
        results = list(fan_out.results())
        assert sorted(r.host.name for r in recorded) == sorted(r.host.name for r in results)
        return results

    return asyncio.run(go())


def test_every_host_has_one_result_in_the_order_of_selection() -> None:
    hosts = fleet(50)
    results = drive(World({host.name: Terminal() for host in hosts}), hosts)
    assert [result.host.name for result in results] == [host.name for host in hosts]
    assert {result.outcome for result in results} == {Outcome.CHANGED}


def test_hanging_hosts_hold_only_their_own_places() -> None:
    hosts = fleet(12)
    terminals = {host.name: Terminal(hang=number < 3) for number, host in enumerate(hosts)}
    results = drive(World(terminals, host_deadline=1), hosts)
    assert [result.outcome for result in results] == [Outcome.FAILED] * 3 + [Outcome.CHANGED] * 9


def cancel(stop: Stop) -> None:
    stop.request(Reason.OPERATOR, "cancelled by ana")


def test_a_stop_cuts_hosts_at_work_after_the_grace_time_and_starts_no_other() -> None:
    hosts = fleet(10)
    results = drive(World({host.name: Terminal(hang=True) for host in hosts}), hosts, during=cancel)
    assert {(result.outcome, result.reason) for result in results} == {(Outcome.CANCELLED, Reason.OPERATOR)}
    assert [result.message.startswith("nothing was changed, then cut") for result in results] == [True] * 4 + [
        False
    ] * 6


def test_a_host_that_finishes_within_the_grace_time_is_not_cut() -> None:
    hosts = fleet(1)
    one = World({hosts[0].name: Terminal(slow=0.2)})
    results = drive(one, hosts, during=cancel, grace=20.0)
    assert results[0].outcome in (Outcome.CHANGED, Outcome.CANCELLED)
    assert "cut" not in results[0].message


def test_a_host_cut_in_the_middle_of_a_stage_is_unknown_and_never_ok() -> None:
    hosts = fleet(1)
    one = World({hosts[0].name: Terminal(hang_on_step=True)})
    results = drive(one, hosts, during=cancel)
    assert (results[0].outcome, results[0].reason, results[0].detail) == (Outcome.UNKNOWN, Reason.KILLED, "set")


def test_the_runs_deadline_ends_it_with_a_result_for_every_host() -> None:
    hosts = fleet(8)
    results = drive(World({host.name: Terminal(hang=True) for host in hosts}), hosts, deadline=0.05)
    assert len(results) == 8
    assert {result.reason for result in results} == {Reason.DEADLINE}


def test_a_second_interrupt_ends_the_grace_time() -> None:
    def twice(stop: Stop) -> None:
        cancel(stop)
        stop.hurry()

    hosts = fleet(2)
    results = drive(World({host.name: Terminal(hang=True) for host in hosts}), hosts, during=twice, grace=3600.0)
    assert {result.outcome for result in results} == {Outcome.CANCELLED}
