"""One run asked for by a person, a schedule or a command: from a request to an exit code. Called by main."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
from dataclasses import dataclass, replace

from contracts.config import NetworkConfig
from runtime.adapters.state.locks import FileLocks
from runtime.adapters.state.runs import cancel_requested, register
from runtime.console.output import Out
from runtime.console.run_view import RunView
from runtime.core.errors import JobStillRunning, RunError, UsageFault
from runtime.core.model import Reason, RunReport, Selector
from runtime.core.pipeline import Job, Request, resolve
from runtime.core.stop import Stop
from runtime.execution import GRACE_S, Listener, execute
from runtime.wiring import Installation

CANCEL_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A run on behalf of a job of the schedule, for one planned instant (aware)."""

    job_id: str
    planned: dt.datetime


def run(installation: Installation, request: Request, out: Out, scheduled: Scheduled | None = None) -> int:
    """Run and show it; returns the exit code. Raises RunError when no host was considered."""
    stored = installation.store.load()
    for warning in stored.warnings:  # above all, that an older document had to do
        out.say(f"warning: {warning}", "yellow")
    config = stored.document.config
    wait = False
    if scheduled is not None:
        request, wait = from_schedule(config, scheduled, installation.agent_id, request)
    job = resolve(request, config, installation.known, agent_id=installation.agent_id, now=installation.clock.now())
    view = RunView(out)
    try:
        report, trouble = asyncio.run(_run(installation, job, config, view, scheduled, wait=wait))
    finally:
        view.close()
    return view.report(report, trouble)


def from_schedule(config: NetworkConfig, scheduled: Scheduled, agent: str, base: Request) -> tuple[Request, bool]:
    """The job as a request, and whether it waits for its previous run. Raises UsageFault when the document has no such job."""
    from zoneinfo import ZoneInfo

    from runtime.core.schedule import plan_of

    job = next((job for job in config.schedule if job.id == scheduled.job_id), None)
    if job is None:
        raise UsageFault(
            "unknown_job", f"the configuration has no job {scheduled.job_id!r}", "see `flageemonitor-run schedule`"
        )
    asked = job.selector
    selector = Selector(
        stores=asked.stores,
        terminals=asked.terminals,
        addresses=asked.addresses,
        names=asked.hosts,
        groups=asked.groups,
        tags=tuple(sorted(asked.tags.items())),
        agent_status=asked.agent_status,
        provider=asked.provider,
        all=asked.all,
    )
    request = replace(
        base,
        action=job.action,
        provider=asked.provider,
        selector=selector,
        params=job.params,
        dry_run=job.dry_run,
        origin=f"schedule:{job.id}",
        not_after=plan_of(job, ZoneInfo(config.timezone), agent).deadline(scheduled.planned),
    )
    return request, job.overlap == "wait"


async def _run(
    installation: Installation,
    job: Job,
    config: NetworkConfig,
    view: RunView,
    scheduled: Scheduled | None,
    *,
    wait: bool,
) -> tuple[RunReport, RunError | None]:
    stop = Stop()
    _listen_to_signals(installation, job, stop, view)
    watch = asyncio.create_task(_watch_for_cancel(installation, job, stop, view))
    context = installation.context(job, config, stop)
    listener = Listener(selected=view.selected, result=view.result)
    inventory = installation.inventory(config)
    try:
        with register(installation.settings.data_path, job.info):
            if scheduled is None:
                return await execute(job, context, inventory, config, listener)
            locks = FileLocks(installation.settings.data_path, installation.clock)
            async with locks.job(scheduled.job_id, f"run {job.info.run_id}", wait=wait) as holder:
                if holder is not None:
                    raise JobStillRunning("job_still_running", f"job {scheduled.job_id} is still running: {holder}")
                return await execute(job, context, inventory, config, listener)
    finally:
        watch.cancel()


async def _watch_for_cancel(installation: Installation, job: Job, stop: Stop, view: RunView) -> None:
    """A cancel from another pid namespace leaves only a note: nobody there can signal us."""
    while not stop.requested:
        await asyncio.sleep(CANCEL_POLL_S)
        who = await asyncio.to_thread(cancel_requested, installation.state, job.info.run_id)
        if who:
            _request(stop, view, Reason.OPERATOR, f"cancelled by {who}")


def _listen_to_signals(installation: Installation, job: Job, stop: Stop, view: RunView) -> None:
    """Ctrl-C and SIGTERM ask the run to stop; the second Ctrl-C gives up the grace time."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.requested:
            stop.hurry()
        _request(stop, view, Reason.OPERATOR, "interrupted from the keyboard")

    def terminated() -> None:
        who = cancel_requested(installation.state, job.info.run_id)
        if who:
            _request(stop, view, Reason.OPERATOR, f"cancelled by {who}")
        else:
            _request(stop, view, Reason.STOPPED, "the proxy is being stopped")

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, terminated)


def _request(stop: Stop, view: RunView, reason: Reason, text: str) -> None:
    if not stop.requested:
        view.stopping(text, GRACE_S)
    stop.request(reason, text)
