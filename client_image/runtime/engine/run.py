"""One run from a job to its report: inventory, selection, ledger, all subjects at once. Called by main; effects arrive as
arguments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from contracts.config import NetworkConfig
from contracts.stop_times import GRACE_S
from contracts.text import Text, plural, say
from runtime.domain.background import in_background
from runtime.domain.errors import InventoryUnavailable, RunCancelled, RunError
from runtime.domain.identity import entry_index
from runtime.domain.model import Host, HostResult, Listing, Missing, Reason, RunReport
from runtime.domain.pipeline import RunPlan
from runtime.domain.ports import Inventory
from runtime.domain.selection import select
from runtime.domain.targets import missing, require_found
from runtime.domain.witnesses import Neighbours, places
from runtime.engine.run_context import RunContext
from runtime.engine.stop import Stop
from runtime.process_one import process_one

NOTICES = 5  # shown at the start of a run
# After its deadline a run takes its grace time and records its results; one that is still there then hangs.
SURELY_ENDED_S = GRACE_S + 75.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Who watches a run: told what of the network could not be read, how many hosts there are, then each result as it comes."""

    selected: Callable[[RunPlan, list[Host]], None]
    result: Callable[[HostResult], None]
    started: Callable[[Host], None] = lambda host: None
    notice: Callable[[str], None] = lambda text: None


Confirm = Callable[[RunPlan, list[Host]], Coroutine[Any, Any, None]]
"""Asked once with the hosts that the run would consider, and no others; raises RunError when the run may not go on."""


async def no_question(job: RunPlan, hosts: list[Host]) -> None:
    """For runs that nobody sits in front of."""


@dataclass(frozen=True, slots=True)
class Found:
    """The subjects of a run, the values of its filters that match no host, and all that the inventory lists.

    ``members``: the hosts that are meant, where the network is the subject.
    """

    subjects: list[Host]
    missing: tuple[Missing, ...]
    listing: Listing
    members: Sequence[Host] = ()


async def find_subjects(job: RunPlan, inventory: Inventory, config: NetworkConfig) -> Found:
    """Raises InventoryUnavailable, or NoHostMatched with what was asked. The configuration alone says which concentrators there
    are; a network that has no host yet is a subject all the same."""
    info = job.info
    if job.target == "concentrator":
        from runtime.domain.subjects import concentrators

        listing = concentrators(config)
    else:
        listing = await in_background(partial(inventory.read, info.selector))
    chosen = select(listing, replace(info.selector, limit=None))
    unmatched = missing(info.selector, listing.entries, chosen)
    hosts = chosen[: info.selector.limit]
    if job.target != "network" or unmatched:
        require_found(info, unmatched, chosen)
    if job.target == "network":
        from runtime.domain.subjects import network_subject

        return Found([network_subject(config)], unmatched, listing, hosts)
    return Found(hosts, unmatched, listing)


T = TypeVar("T")


async def _in_time(waiting: Coroutine[Any, Any, T], stop: Stop, left: float, during: Text, late: RunError) -> T:
    """An inventory or a person may take minutes to answer, or never do. Raises RunCancelled, or ``late`` when the run's time is
    over; an answer that comes then is dropped."""
    found, stopped = asyncio.create_task(waiting), asyncio.create_task(stop.wait())
    await asyncio.wait({found, stopped}, return_when=asyncio.FIRST_COMPLETED, timeout=left)
    stopped.cancel()
    if found.done() and not stop.requested:
        return await found
    found.cancel()
    await asyncio.gather(found, return_exceptions=True)
    if stop.requested:
        raise RunCancelled("cancelled", say("{why}, {during}: no host was touched", why=stop.text, during=during))
    raise late


async def _agreed(
    job: RunPlan,
    inventory: Inventory,
    config: NetworkConfig,
    stop: Stop,
    confirm: Confirm,
    left: Callable[[], float],
    over: str,
) -> tuple[RunPlan, Found]:
    """The hosts of the run, which somebody has agreed to where that is asked. Raises RunError; then no host was touched."""
    no_inventory = InventoryUnavailable(
        "deadline",
        say("{late}, and the inventory has not answered: no host was touched", late=over),
        say("`flageemonitor-run doctor` shows whether the inventory answers"),
    )
    reading = find_subjects(job, inventory, config)
    found = await _in_time(reading, stop, left(), say("while the inventory was being read"), no_inventory)
    job = replace(job, info=replace(job.info, missing=found.missing))
    no_word = RunCancelled("deadline", say("{late}, and nobody has confirmed the run: no host was touched", late=over))
    await _in_time(confirm(job, found.subjects), stop, left(), say("before the run was confirmed"), no_word)
    return job, found


def _first_notices(listing: Listing) -> list[str]:
    """A few of the inventory's notices, and how many more there are."""
    rest = len(listing.notices) - NOTICES
    if rest <= 0:
        return list(listing.notices)
    more = plural(
        "{n} more notice about the inventory: flageemonitor-run doctor",
        "{n} more notices about the inventory: flageemonitor-run doctor",
        rest,
    )
    return [*listing.notices[:NOTICES], more]


class FanOut:
    """Many hosts at once on one event loop, as many as there are workers. One slow host holds one place, never the others."""

    def __init__(
        self,
        hosts: Sequence[Host],
        work: Callable[[Host], Coroutine[Any, Any, HostResult]],
        record: Callable[[HostResult], Awaitable[None]],
        stop: Stop,
    ) -> None:
        self._hosts, self._work, self._record, self._stop = hosts, work, record, stop
        self._queue = iter(enumerate(hosts))
        self._at_work: set[asyncio.Task[HostResult]] = set()
        self._results: dict[int, HostResult] = {}

    @property
    def waiting(self) -> int:
        """Hosts that were not begun yet."""
        return len(self._hosts) - len(self._results) - len(self._at_work)

    async def worker(self) -> None:
        """Process hosts until none is left. After a stop no host is begun: ``work`` sees the stop and says so."""
        for number, host in self._queue:
            # A task of its own for each host: the cut after the grace time hits the work, never the recording of a result.
            task = asyncio.create_task(self._work(host))
            self._at_work.add(task)
            try:
                self._results[number] = await task
            finally:
                self._at_work.discard(task)
            await self._record(self._results[number])

    @contextlib.asynccontextmanager
    async def limited(self, grace: float, deadline: float, over: str) -> AsyncIterator[None]:
        """Stop the run after ``deadline`` seconds, with the sentence ``over``. After any stop hosts at work get ``grace``
        seconds, then are cut."""
        watch = asyncio.create_task(self._watch(grace, deadline, over))
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    def results(self) -> tuple[HostResult, ...]:
        """In the order of the hosts. Raises RuntimeError when a host has none: a mistake of ours that must not stay silent."""
        if len(self._results) != len(self._hosts):
            raise RuntimeError(f"{len(self._hosts) - len(self._results)} hosts have no result")
        return tuple(self._results[number] for number in sorted(self._results))

    async def _watch(self, grace: float, deadline: float, over: str) -> None:
        try:
            async with asyncio.timeout(deadline):
                await self._stop.wait()
        except TimeoutError:
            self._stop.request(Reason.DEADLINE, over)
        await self._stop.hurried(grace)
        for task in tuple(self._at_work):
            task.cancel()


async def execute(
    job: RunPlan,
    context: RunContext,
    inventory: Inventory,
    config: NetworkConfig,
    listener: Listener,
    grace: float = GRACE_S,
    confirm: Confirm = no_question,
    *,
    began: float | None = None,
) -> tuple[RunReport, RunError | None]:
    """Run the job on every selected host. Each has one result when this returns, recorded unless ``trouble`` says otherwise.

    ``began``: when the run began, by the monotonic clock; its deadline counts from there and covers the inventory as well.

    When the local state fails (a full disk), the run stops: no further host is started, those at work may finish, and their
    results are still shown. A run that finds no host, or is not confirmed, leaves in the ledger why, and raises it.
    """
    limits = config.ssh
    ends = limits.run_deadline + (context.clock.monotonic() if began is None else began)

    over = say("the run's deadline of {seconds} s (ssh.run_deadline) is over", seconds=f"{limits.run_deadline:g}")

    def left() -> float:
        return max(0.0, ends - context.clock.monotonic())

    try:
        job, found = await _agreed(job, inventory, config, context.stop, confirm, left, over)
        hosts, entries = found.subjects, found.listing.entries
    except RunError as error:
        with contextlib.suppress(RunError):  # its caller must hear what stopped the run, not that it went unrecorded
            await context.ledger.refuse(job.info, error)
        raise
    context = replace(
        context,
        entries=entry_index(entries),
        members=found.members,
        spare=lambda: 0.0 if fan_out.waiting else left(),
    )
    if job.effect == "disrupt":
        leaving = {host.address for host in hosts}
        context = replace(context, neighbours=Neighbours(places(config), entries, leaving))
    trouble: list[RunError] = []

    def tell(told: Callable[[], None]) -> None:
        """What a person sees must never be what stops the work: a full disk behind a redirection, a character it cannot show."""
        try:
            told()
        except Exception as error:
            if not trouble:
                text = say("the output could not be written: {error}", error=str(error))
                advice = say("the results are in the local state: flageemonitor-run runs {run}", run=job.info.run_id)
                trouble.append(RunError("output_failed", text, advice))

    for notice in _first_notices(found.listing):
        tell(partial(listener.notice, notice))
    tell(lambda: listener.selected(job, hosts))
    await context.ledger.begin(job.info, hosts)

    def work(host: Host) -> Coroutine[Any, Any, HostResult]:
        tell(lambda: listener.started(host))
        return process_one(host, context)

    unrecorded: list[HostResult] = []

    async def record(result: HostResult) -> None:
        try:
            await context.ledger.record(job.info.run_id, result)
        except RunError as error:
            unrecorded.append(result)
            trouble.append(error)
            context.stop.request(Reason.STOPPED, say("results cannot be recorded: {why}", why=error.message))
        tell(lambda: listener.result(result))

    fan_out = FanOut(hosts, work, record, context.stop)
    async with fan_out.limited(grace, left(), over), asyncio.TaskGroup() as group:
        for _ in range(min(limits.parallel, len(hosts))):
            group.create_task(fan_out.worker())
    report = RunReport(job.info, fan_out.results(), context.clock.now())
    try:
        for result in unrecorded:  # the disk may be back, and the ledger should say what was shown
            await context.ledger.record(job.info.run_id, result)
        await context.ledger.finish(job.info.run_id, report.exit_code)
    except RunError as error:
        trouble.append(error)
    return report, trouble[0] if trouble else None
