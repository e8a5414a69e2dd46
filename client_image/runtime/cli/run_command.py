"""One run asked for by a person, a schedule or a command: from a request to an exit code. Called by main."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from contracts.config import NetworkConfig
from contracts.ids import uuid7
from contracts.stop_times import GRACE_S
from contracts.text import say
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.locks import FileLocks
from runtime.adapters.state.meta import agent_id
from runtime.adapters.state.run_barrier import closed_until
from runtime.adapters.state.runs import cancel_requested, register
from runtime.adapters.state.store import State
from runtime.cli.confirmation import Confirmation
from runtime.cli.output import Out
from runtime.cli.run_view import RunView
from runtime.domain.catalogue import Catalogue
from runtime.domain.errors import JobStillRunning, RunCancelled, RunError, Updating, UsageFault
from runtime.domain.model import Reason, RunReport, Selector
from runtime.domain.pipeline import Request, RunPlan, resolve
from runtime.domain.ports import Clock, OpenInventory
from runtime.domain.time.clock_trust import ADVICE, Suspect, Trust
from runtime.engine.gates import Policy
from runtime.engine.run import SURELY_ENDED_S, Confirm, Listener, execute
from runtime.engine.run_context import RunContext
from runtime.engine.stop import Stop
from runtime.settings import RuntimeSettings

CANCEL_POLL_S = 2.0
# New objects between two looks for garbage: about what ten hosts make. The interpreter's 700 costs a host 0.1 ms.
GARBAGE_OBJECTS = 10_000
Asking = Callable[[Policy, Callable[[], dt.datetime]], Confirm]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A run on behalf of a job of the schedule, for one planned instant (aware)."""

    job_id: str
    planned: dt.datetime


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run is made from. ``state``, ``judge``, ``context`` and ``inventory`` open something, once the configuration is
    known to be there; ``zone``: in which people read times."""

    clock: Clock
    settings: RuntimeSettings
    store: ConfigStore
    known: Catalogue
    state: Callable[[], State]
    judge: Callable[[], ClockJudge]
    context: Callable[[RunPlan, NetworkConfig, Stop], RunContext]
    inventory: OpenInventory
    zone: Callable[[], dt.tzinfo]


def run(parts: RunParts, request: Request, out: Out, scheduled: Scheduled | None = None, *, yes: bool = False) -> int:
    """Run and show it; returns the exit code. ``yes``: it is confirmed already. Raises RunError when no host was considered."""
    view = RunView(out)
    try:
        report, trouble = asyncio.run(_run(parts, request, view, scheduled, partial(Confirmation, out, yes=yes)))
    finally:
        view.close()
    return view.report(report, trouble)


def from_schedule(config: NetworkConfig, scheduled: Scheduled, agent: str, base: Request) -> Request:
    """The job as a request. Raises UsageFault when the document has no such job, or not any more.

    Besides the job nothing may be asked for: a filter or parameter that were silently ignored would widen the run.
    """
    from contracts.schedule import plan_of  # a run by hand loads nothing of the schedule
    from runtime.domain.scheduled import request_of

    job = next((job for job in config.schedule if job.id == scheduled.job_id), None)
    if job is None or not job.enabled:
        off = say("the job {job} is switched off in the configuration", job=scheduled.job_id)
        text = off if job else say("the configuration has no job {job}", job=scheduled.job_id)
        raise UsageFault("unknown_job", text, say("see `flageemonitor-run schedule`"))
    if base.action != job.action or base.params or base.selector != Selector() or base.provider:
        advice = say("the job {job} itself defines what runs where: {action}", job=job.id, action=job.action)
        text = say("--job takes the job's own action, and no other option of a run")
        raise UsageFault("beside_job", text, advice)
    return replace(
        request_of(job),
        run_id=base.run_id,
        correlation_id=base.correlation_id,
        compat_mode=base.compat_mode,
        network=base.network,
        dry_run=base.dry_run or job.dry_run,
        purpose=base.purpose,
        not_after=plan_of(job, ZoneInfo(config.timezone), agent).deadline(scheduled.planned),
    )


async def _run(
    parts: RunParts, request: Request, view: RunView, scheduled: Scheduled | None, asking: Asking
) -> tuple[RunReport, RunError | None]:
    began = parts.clock.monotonic()  # its deadline covers waiting for the previous run and the inventory too
    request = replace(request, run_id=request.run_id or uuid7())
    stop = Stop()
    _listen_to_signals(parts.state, request, stop, view)
    async with contextlib.AsyncExitStack() as stack:
        if scheduled is not None:
            await _take_turn(parts, request, scheduled, stop, stack)
        stored = parts.store.load()  # after the wait: what holds now is what counts
        for warning in stored.warnings:
            view.warn(warning)  # above all, that an older document had to do
        config = stored.document.config
        agent = agent_id(parts.state(), parts.settings.agent_id)
        if scheduled is not None:
            request = from_schedule(config, scheduled, agent, request)
        plan = resolve(request, config, parts.known, agent_id=agent, now=parts.clock.now())
        if scheduled is not None:
            _require_in_time(config, plan, scheduled, parts.clock.now())
        _require_right_clock(parts.judge().judge(), config, plan, view, by_hand=scheduled is None)
        watch = asyncio.create_task(_watch_for_cancel(parts.state, request, stop, view))
        stack.callback(watch.cancel)
        left = max(0.0, config.ssh.run_deadline - (parts.clock.monotonic() - began))
        stack.enter_context(register(parts.settings.data_path, plan.info, left + SURELY_ENDED_S))
        # After the registration: who closes the barrier looks for registered runs after that.
        _require_open_barrier(parts.settings.data_path, parts.clock.now(), parts.zone)
        context = parts.context(plan, config, stop)
        # A moment longer than the run itself waits, so that the run's own words tell what happened.
        inventory = parts.inventory(config, within=left + 1)
        listener = Listener(selected=view.selected, result=view.result, started=view.started, notice=view.warn)
        if scheduled is None:
            telling = asyncio.create_task(view.tell_calmly())
            stack.callback(telling.cancel)
        gc.freeze()  # all that is loaded by now stays; looking through it again and again would cost more than the hosts
        gc.set_threshold(GARBAGE_OBJECTS)
        gc.enable()
        confirm = asking(context.policy, parts.clock.now)
        return await execute(plan, context, inventory, config, listener, confirm=confirm, began=began)


async def _take_turn(
    parts: RunParts, request: Request, scheduled: Scheduled, stop: Stop, stack: contextlib.AsyncExitStack
) -> None:
    """Hold the job's lock until the stack ends. Raises JobStillRunning; RunCancelled when stopped while waiting."""
    config = parts.store.load().document.config
    wait = any(job.id == scheduled.job_id and job.overlap == "wait" for job in config.schedule)
    locks = FileLocks(parts.settings.data_path, parts.clock)
    lock = locks.job(scheduled.job_id, f"run {request.run_id}", wait=wait)
    turn = asyncio.create_task(stack.enter_async_context(lock))
    stopped = asyncio.create_task(stop.wait())
    deadline = config.ssh.run_deadline  # there would be no time left to do anything
    await asyncio.wait({turn, stopped}, return_when=asyncio.FIRST_COMPLETED, timeout=deadline)
    stopped.cancel()
    if not turn.done():
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        if not stop.requested:
            text = say(
                "the previous run of {job} is still at work; this one waited for its whole time, {seconds} s "
                "(ssh.run_deadline): no host was touched",
                job=scheduled.job_id,
                seconds=f"{deadline:g}",
            )
            raise JobStillRunning("job_still_running", text)
        text = say("{why}, while it waited for the previous run of {job}", why=stop.text, job=scheduled.job_id)
        raise RunCancelled("cancelled", text)
    holder = turn.result()
    if holder is not None:
        text = say("job {job} is still running: {holder}", job=scheduled.job_id, holder=holder)
        raise JobStillRunning("job_still_running", text)


def _require_open_barrier(data: Path, now: dt.datetime, zone: Callable[[], dt.tzinfo]) -> None:
    """Raises Updating."""
    until = closed_until(data, now)
    if until is not None:
        local = until.astimezone(zone())
        text = say(
            "an update is about to replace this container; no run starts before {time}", time=f"{local:%H:%M:%S %Z}"
        )
        raise Updating("updating", text, say("try again in a minute; nothing was touched"))


def _require_in_time(config: NetworkConfig, plan: RunPlan, scheduled: Scheduled, now: dt.datetime) -> None:
    """Once more, because the wait for the previous run may have taken long. Raises UsageFault for a run that came too late."""
    from runtime.domain.time.lateness import Drop, judge

    listed = next(one for one in config.schedule if one.id == scheduled.job_id)
    if listed.overlap == "wait":
        verdict = judge(listed, plan.effect, scheduled.planned, now, not_after=plan.not_after)
        if isinstance(verdict, Drop):
            raise UsageFault(verdict.reason, say("job {job} is not started: {why}", job=listed.id, why=verdict.message))


def _require_right_clock(trust: Trust, config: NetworkConfig, plan: RunPlan, view: RunView, *, by_hand: bool) -> None:
    """Windows, freezes and plans of a disruptive action mean nothing on a wrong clock, nor do freezes of any change. Raises
    UsageFault.

    A person who asks now has seen a clock: an unconfirmed clock is only a warning then; a contradicted one refuses.
    """
    by_time = plan.effect == "disrupt" or (plan.effect == "change" and bool(config.freeze))
    if not isinstance(trust, Suspect) or not by_time or plan.info.dry_run:
        return
    if by_hand and not trust.contradicted:
        view.warn(say("{why}. {advice}", why=trust.why, advice=ADVICE))
        return
    text = say("{action} is not started: {why}. No host was touched.", action=plan.info.action, why=trust.why)
    raise UsageFault("clock_suspect", text, ADVICE)


async def _watch_for_cancel(state: Callable[[], State], request: Request, stop: Stop, view: RunView) -> None:
    """A cancel from another pid namespace leaves only a note: nobody there can signal us."""
    while not stop.requested:
        await asyncio.sleep(CANCEL_POLL_S)
        who = await asyncio.to_thread(_cancelled_by, state, request)
        if who:
            _request(stop, view, Reason.OPERATOR, say("cancelled by {who}", who=who))


def _cancelled_by(state: Callable[[], State], request: Request) -> str | None:
    """None also for a note that cannot be read: a stop must not fail for it."""
    try:
        return cancel_requested(state(), request.run_id or "")
    except RunError:
        return None


def _listen_to_signals(state: Callable[[], State], request: Request, stop: Stop, view: RunView) -> None:
    """Ctrl-C, SIGTERM and a closed terminal ask the run to stop; the second Ctrl-C gives up the grace time."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.requested:
            stop.hurry()
        _request(stop, view, Reason.OPERATOR, say("interrupted from the keyboard"))

    def terminated() -> None:
        who = _cancelled_by(state, request)
        if who:
            _request(stop, view, Reason.OPERATOR, say("cancelled by {who}", who=who))
        else:
            _request(stop, view, Reason.STOPPED, say("the proxy is being stopped"))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, terminated)
    loop.add_signal_handler(signal.SIGHUP, lambda: _request(stop, view, Reason.STOPPED, say("its terminal was closed")))


def _request(stop: Stop, view: RunView, reason: Reason, text: str) -> None:
    first = not stop.requested
    stop.request(reason, text)
    if first:
        with contextlib.suppress(OSError, ValueError):  # its reader may be gone
            view.stopping(text, GRACE_S)
