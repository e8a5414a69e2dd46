"""Many hosts at once on one event loop, bounded. One slow host holds one place, never the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from runtime.domain.model import Host, HostResult, Reason
from runtime.engine.stop import Stop

Work = Callable[[Host], Coroutine[None, None, HostResult]]
Record = Callable[[HostResult], Awaitable[None]]


async def fan_out(
    hosts: Sequence[Host],
    work: Work,
    record: Record,
    *,
    parallel: int,
    stop: Stop,
    grace: float,
    deadline: float,
    over: str = "the run's deadline is over",
) -> list[HostResult]:
    """Process every host; results in the order of ``hosts``. ``deadline``: seconds that are left; then it is stopped,
    with the sentence ``over``.

    After a stop no host is started (``work`` sees the stop and says so) and hosts at work get ``grace`` seconds, then are cut.
    """
    results: dict[int, HostResult] = {}
    queue = iter(enumerate(hosts))
    at_work: set[asyncio.Task[HostResult]] = set()

    async def worker() -> None:
        for number, host in queue:
            # A task of its own for each host: the cut after the grace time hits the work, never the recording of a result.
            task = asyncio.create_task(work(host))
            at_work.add(task)
            try:
                results[number] = await task
            finally:
                at_work.discard(task)
            await record(results[number])

    watch = asyncio.create_task(_watch(at_work, stop, grace, deadline, over))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parallel, len(hosts))):
                group.create_task(worker())
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    if len(results) != len(hosts):
        raise RuntimeError(
            f"{len(hosts) - len(results)} hosts have no result"
        )  # a mistake of ours that must not stay silent
    return [results[number] for number in sorted(results)]


async def _watch(at_work: set[asyncio.Task[HostResult]], stop: Stop, grace: float, deadline: float, over: str) -> None:
    try:
        async with asyncio.timeout(deadline):
            await stop.wait()
    except TimeoutError:
        stop.request(Reason.DEADLINE, over)
    await stop.hurried(grace)
    for task in tuple(at_work):
        task.cancel()
