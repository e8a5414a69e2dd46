"""Asking the witnesses of a store: as often as needed, and no oftener however many of its hosts are watched."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from runtime.adapters.presence.watch import NetworkWatch
from runtime.domain.departure import Sign
from runtime.domain.witnesses import Witness
from tests.unit.engine.in_memory import host

WITNESS = Witness("gateway", "10.0.0.254", (443,))
STRANGER = Witness("elsewhere", "203.0.113.9", (22,))


def test_a_store_s_witness_is_asked_once_for_all_hosts_that_are_watched() -> None:
    asked: Counter[str] = Counter()

    async def ask(address: str, ports: Sequence[int], ping: bool) -> Sign:
        asked[address] += 1
        await asyncio.sleep(0)
        return Sign.ECHO if address == WITNESS.address else Sign.SILENT

    async def scene() -> None:
        one = NetworkWatch(["10.0.0.0/8"], ask, interval=0.05, silence=0.4)
        hosts = [host(number, address=f"10.0.0.{number - 200}") for number in range(201, 231)]
        seen = await asyncio.gather(*(one.departure(each, [WITNESS, STRANGER], 1.0) for each in hosts))
        assert {departure.state for departure in seen} == {"gone"}

    asyncio.run(scene())
    assert asked[WITNESS.address] == 1
    assert asked[STRANGER.address] == 0, "outside the allowed networks nothing is asked"


def test_a_host_that_is_given_up_costs_the_others_no_answer() -> None:
    async def scene() -> None:
        go = asyncio.Event()

        async def ask(address: str, ports: Sequence[int], ping: bool) -> Sign:
            await go.wait()
            return Sign.ECHO

        one = NetworkWatch(["10.0.0.0/8"], ask)
        first = asyncio.create_task(one.answering([WITNESS]))
        second = asyncio.create_task(one.answering([WITNESS]))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        go.set()
        assert await second == (WITNESS,)

    asyncio.run(scene())


def test_behind_a_router_only_the_host_s_own_port_is_asked() -> None:
    asked: list[tuple[tuple[int, ...], bool]] = []

    async def ask(address: str, ports: Sequence[int], ping: bool) -> Sign:
        asked.append((tuple(ports), ping))
        return Sign.SILENT

    async def scene() -> None:
        one = NetworkWatch(["10.0.0.0/8"], ask, interval=0.05, silence=0.1)
        seen = await one.departure(host(201, port=22201), [], 1.0, own_address=False)
        assert seen.state == "no_witness"

    asyncio.run(scene())
    assert set(asked) == {((22201,), False)}
