"""One run from a job to its report: inventory, selection, ledger, fan-out. Called by main; effects arrive as arguments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from contracts.config import NetworkConfig
from runtime.core import wire
from runtime.core.background import in_background
from runtime.core.errors import NoHostMatched, RunCancelled, RunError
from runtime.core.fan_out import fan_out
from runtime.core.model import Host, HostResult, Listing, Reason, RunReport, Selector
from runtime.core.pipeline import Job
from runtime.core.ports import Inventory
from runtime.core.selection import select
from runtime.core.stop import Stop
from runtime.core.witnesses import Neighbours, places
from runtime.process_one import Context, process_one

GRACE_S = 120.0
Found = tuple[list[Host], Listing]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who watches a run: told how many hosts there are, then each result as it comes."""

    selected: Callable[[Job, list[Host]], None]
    result: Callable[[HostResult], None]


async def find_hosts(inventory: Inventory, selector: Selector, network: str) -> Found:
    """The hosts a selector means, and all that the inventory lists. Raises InventoryUnavailable, or NoHostMatched with what was
    asked."""
    listing = await in_background(partial(inventory.read, selector))
    hosts = select(listing, selector)
    if not hosts:
        asked = ", ".join(f"{name}={value}" for name, value in wire.selector_json(selector).items()) or "every host"
        raise NoHostMatched(
            "no_host_matched",
            f"no host of {network} matches {asked}",
            "`flageemonitor-run hosts` shows which hosts this network has, by their exact names",
        )
    return hosts, listing


async def _unless_stopped(finding: Coroutine[Any, Any, Found], stop: Stop) -> Found:
    """An inventory may take minutes to answer, or never do. Raises RunCancelled, and whatever comes then is not waited for."""
    found, stopped = asyncio.create_task(finding), asyncio.create_task(stop.wait())
    await asyncio.wait({found, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if stop.requested:
        found.cancel()
        await asyncio.gather(found, return_exceptions=True)
        raise RunCancelled("cancelled", f"{stop.text}, while the inventory was being read: no host was touched")
    return await found


async def execute(
    job: Job, context: Context, inventory: Inventory, config: NetworkConfig, listener: Listener, grace: float = GRACE_S
) -> tuple[RunReport, RunError | None]:
    """Run the job on every selected host. Each has one result when this returns, recorded unless ``trouble`` says otherwise.

    When the local state fails (a full disk), the run stops: no further host is started, those at work may finish, and their
    results are still shown. A run that finds no host leaves in the ledger why, and raises it.
    """
    try:
        hosts, listing = await _unless_stopped(find_hosts(inventory, job.info.selector, config.network), context.stop)
    except RunError as error:
        with contextlib.suppress(RunError):  # its caller must hear what stopped the run, not that it went unrecorded
            await context.ledger.refuse(job.info, error)
        raise
    context = replace(context, listing=listing)
    if job.effect == "disrupt":
        leaving = {host.address for host in hosts}
        context = replace(context, neighbours=Neighbours(places(config), listing.entries, leaving))
    trouble: list[RunError] = []

    def tell(told: Callable[[], None]) -> None:
        """What a person sees must never be what stops the work: a full disk behind a redirection, a character it cannot show."""
        try:
            told()
        except Exception as error:
            if not trouble:
                advice = f"the results are in the local state: flageemonitor-run runs {job.info.run_id}"
                trouble.append(RunError("output_failed", f"the output could not be written: {error}", advice))

    tell(lambda: listener.selected(job, hosts))
    await context.ledger.begin(job.info, hosts)

    async def work(host: Host) -> HostResult:
        return await process_one(host, context)

    unrecorded: list[HostResult] = []

    async def record(result: HostResult) -> None:
        try:
            await context.ledger.record(job.info.run_id, result)
        except RunError as error:
            unrecorded.append(result)
            trouble.append(error)
            context.stop.request(Reason.STOPPED, f"results cannot be recorded: {error.message}")
        tell(lambda: listener.result(result))

    limits = config.ssh
    results = await fan_out(
        hosts, work, record, parallel=limits.parallel, stop=context.stop, grace=grace, deadline=limits.run_deadline
    )
    report = RunReport(job.info, tuple(results), context.clock.now())
    try:
        for result in unrecorded:  # the disk may be back, and the ledger should say what was shown
            await context.ledger.record(job.info.run_id, result)
        await context.ledger.finish(job.info.run_id, report.exit_code)
    except RunError as error:
        trouble.append(error)
    return report, trouble[0] if trouble else None
