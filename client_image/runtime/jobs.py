"""The configuration's schedule as live jobs: fired, judged when late, started as processes, wound down. For the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from contracts.config import Effect, Job, NetworkConfig
from contracts.ids import uuid7
from contracts.schedule import Plan, plan_of
from runtime.adapters.state.door import closed_until
from runtime.adapters.state.history import find_run
from runtime.adapters.state.ledger import post_event
from runtime.adapters.state.meta import job_fires_seen, note_job_fire, reset_job_fire
from runtime.adapters.state.runs import live_runs, signal_run
from runtime.adapters.triggers import LOOK_BACK, PlanTrigger
from runtime.console.configuration import problems
from runtime.core.errors import RunError, Updating
from runtime.core.lateness import Drop, judge
from runtime.core.model import Selector
from runtime.core.pipeline import Request, resolve
from runtime.wiring import Installation

# What a run needs to record its results after its own grace time is over.
LAST_WORDS_S = 15.0
# How far ahead of the clock a noted fire may lie: more, and it was noted by a clock that ran ahead.
CLOCK_BACK = dt.timedelta(minutes=10)

log = structlog.get_logger("jobs")


@dataclass(frozen=True, slots=True)
class Active:
    """A job of the configuration as it is scheduled. Equality tells whether a new configuration changed it."""

    job: Job
    plan: Plan
    effect: Effect


class Child(Protocol):
    """A run that was started; asyncio's Process is one."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


Launch = Callable[[Sequence[str]], Awaitable[Child]]


async def launch_run(arguments: Sequence[str]) -> Child:
    """`flageemonitor-run ARGUMENTS` as a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runtime.main", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C at the daemon must reach runs through the registry, in order
    )


class Jobs:
    """What is scheduled, and which child processes run. Lives on the daemon's event loop."""

    def __init__(self, installation: Installation, launch: Launch = launch_run) -> None:
        self._installation = installation
        self._launch = launch
        # UTC: APScheduler compares instants of one zone wrongly in a repeated hour; the zones are in the plans.
        self._scheduler = AsyncIOScheduler(timezone=dt.UTC)
        self._active: dict[str, Active] = {}
        self._children: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: set[str] = set()  # jobs whose past is being put in order: not yet for `look`
        self._closed = False
        self._first = True

    def start(self, *, paused: bool = False) -> None:
        """``paused``: everything is scheduled and nothing is ever started, as for an image on trial."""
        self._scheduler.start(paused=paused)

    def alive(self) -> bool:
        """Whether the scheduler still runs."""
        return bool(self._scheduler.running)

    def take(self, config: NetworkConfig) -> tuple[str, ...]:
        """Schedule what the document says; the ids of the jobs in force. Only jobs that changed are touched: replacing one that
        is due would lose its fire."""
        wanted = self._wanted(config)
        for job_id in self._active.keys() - wanted.keys():
            self._scheduler.remove_job(job_id)
            log.info("job_removed", job=job_id)
        for job_id, active in wanted.items():
            before = self._active.get(job_id)
            if before == active:
                continue
            self._schedule(active)
            if before is not None or not self._first:
                self._settling.add(job_id)
                self._spawn(job_id, self._settle(before, active))
        for job in config.schedule:
            if job.id not in wanted:
                self._spawn(job.id, self._begin(job.id))
        self._active, self._first = wanted, False
        return tuple(sorted(wanted))

    async def look(self) -> None:
        """Start what is due and was not started: missed while no daemon was there, or while the clock or the disk were wrong.

        The scheduler only makes fires punctual. It sleeps on the monotonic clock, so it is also woken here.
        """
        seen = await asyncio.to_thread(job_fires_seen, self._installation.state)
        now = self._installation.clock.now()
        for job_id, active in tuple(self._active.items()):
            noted = seen.get(job_id)
            if job_id in self._settling:
                continue
            if noted is None:
                await self._begin(job_id)
            elif noted > now + CLOCK_BACK:
                log.warning("clock_went_back", job=job_id, noted=noted.isoformat(), now=now.isoformat())
                await asyncio.to_thread(reset_job_fire, self._installation.state, job_id, now)
                self._schedule(active)
            elif self._last_due(active.plan, noted) is not None:
                self._spawn(job_id, self._fire(active))
        self._scheduler.wakeup()

    async def wind_down(self, grace: float, last_words: float = LAST_WORDS_S) -> int:
        """Start nothing more, signal every registered run, whoever started it, wait, kill what is left of ours. How many were."""
        self._closed = True
        self._scheduler.pause()
        folder = self._installation.settings.data_path
        for run in live_runs(folder):
            log.info("stopping_run", run_id=run.run_id, action=run.action, signalled=signal_run(folder, run))
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()  # also those that have not registered yet
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace + last_words
        # A poll, because runs of other processes raise no event here.
        while (self._tasks or live_runs(folder)) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        left = tuple(self._children)
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=last_words)
        self._scheduler.shutdown(wait=False)
        return len(left)

    def _wanted(self, config: NetworkConfig) -> dict[str, Active]:
        found = list(problems(self._installation, config))
        bad = {finding.job: finding.text for finding in found if finding.stops}
        for finding in found:
            if not finding.stops:
                say = log.error if finding.level == "error" else log.warning
                say("configuration_problem", path=finding.path, problem=finding.text)
        wanted: dict[str, Active] = {}
        for job in config.schedule:
            trouble = bad.get(job.id)
            if trouble is not None:
                log.warning("job_not_started", job=job.id, why=trouble)
            elif job.enabled:
                zone = ZoneInfo(config.timezone)
                plan = plan_of(job, zone, self._installation.agent_id)
                wanted[job.id] = Active(job, plan, self._effect(config, job))
        return wanted

    def _effect(self, config: NetworkConfig, job: Job) -> Effect:
        """The strongest that the job can have; which hosts it means does not matter here."""
        request = Request(job.action, provider=job.selector.provider, params=job.params, selector=Selector(all=True))
        installation = self._installation
        return resolve(request, config, installation.known, agent_id="", now=installation.clock.now()).effect

    def _schedule(self, active: Active) -> None:
        # No misfire grace of the library's: a late fire reaches _fire, which judges it and says so.
        self._scheduler.add_job(
            self._fire,
            PlanTrigger(active.plan),
            args=(active,),
            id=active.job.id,
            replace_existing=True,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1000,
        )
        due = active.plan.next(self._installation.clock.now())
        log.info("job_scheduled", job=active.job.id, action=active.job.action, next=due.isoformat() if due else None)

    async def _settle(self, before: Active | None, active: Active) -> None:
        """For a job that came or changed while we were there: what was due by its old times is not lost, no more was missed."""
        try:
            if before is not None:
                await self._fire(replace(active, plan=before.plan))
            await self._begin(active.job.id)
        finally:
            self._settling.discard(active.job.id)

    async def _begin(self, job_id: str) -> None:
        """From now on: nothing before this moment was missed."""
        await asyncio.to_thread(note_job_fire, self._installation.state, job_id, self._installation.clock.now())

    def _last_due(self, plan: Plan, seen: dt.datetime) -> dt.datetime | None:
        now = self._installation.clock.now()
        return next(iter(deque(plan.between(max(seen, now - LOOK_BACK), now), maxlen=1)), None)

    async def _fire(self, active: Active) -> None:
        """Start the job for its last planned instant, or say why not. Only the caller that notes the instant first goes on."""
        job, state, clock = active.job, self._installation.state, self._installation.clock
        try:
            seen = (await asyncio.to_thread(job_fires_seen, state)).get(job.id)
            planned = self._last_due(active.plan, seen) if seen is not None else None
            if closed_until(self._installation.settings.data_path, clock.now()):
                return  # an update is coming: `look` starts it when the door is open, or the next container's does
            if planned is None or self._closed or not await asyncio.to_thread(note_job_fire, state, job.id, planned):
                return
        except RunError as error:
            # Nothing may run that cannot be noted; `look` tries again while the fire is due.
            log.error("job_not_noted", job=job.id, reason=error.reason, message=error.message, advice=error.advice)
            return
        local = planned.astimezone(active.plan.zone)
        verdict = judge(job, active.effect, local, clock.now(), not_after=active.plan.deadline(planned))
        if isinstance(verdict, Drop):
            await self._missed(job, verdict.reason, verdict.message)
            return
        # A task of ours: the scheduler cancels its own when it is shut down.
        self._spawn(job.id, self._start(job, planned, verdict.late))

    async def _missed(self, job: Job, reason: str, message: str) -> None:
        log.warning("job_missed", job=job.id, reason=reason, message=message)
        told = {"job": job.id, "action": job.action, "reason": reason, "message": message}
        await asyncio.to_thread(
            post_event, self._installation.state, "job_missed", told, self._installation.clock.now()
        )

    def _spawn(self, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=job_id)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job_failed", job=task.get_name(), error=f"{type(error).__name__}: {error}")

    async def _start(self, job: Job, planned: dt.datetime, late: float) -> None:
        if self._closed:
            await self._missed(
                job, "stopping", f"planned for {planned:%Y-%m-%d %H:%M:%S %Z}, when the proxy was stopped"
            )
            return
        run_id = uuid7()
        words = ("run", job.action, "--output", "ndjson", "--job", job.id, "--planned", planned.isoformat())
        process = await self._launch((*words, "--run-id", run_id))
        self._children.add(process)
        if self._closed:
            process.terminate()  # the stop came between the decision and the process
        log.info(
            "job_started", job=job.id, run_id=run_id, pid=process.pid, planned=planned.isoformat(), late=round(late, 1)
        )
        try:
            code = await process.wait()
        finally:
            self._children.discard(process)
        if code == Updating.exit_code:
            # The door was closed between the note and the run: as if it had never been due, so that it is found due again.
            await asyncio.to_thread(
                reset_job_fire, self._installation.state, job.id, planned - dt.timedelta(microseconds=1)
            )
            log.info("job_postponed", job=job.id, run_id=run_id, why="an update is about to replace this container")
            return
        found = await asyncio.to_thread(find_run, self._installation.state, run_id)
        level = log.info if code == 0 else log.warning
        level("job_ended", job=job.id, run_id=run_id, exit_code=code, outcomes=dict(found[0].outcomes) if found else {})
        if found is None:
            # It ended before it was a run (usage, configuration, still running), so none in the ledger tells of it.
            told = {"job": job.id, "action": job.action, "run_id": run_id, "exit_code": code}
            await asyncio.to_thread(
                post_event, self._installation.state, "job_without_run", told, self._installation.clock.now()
            )
