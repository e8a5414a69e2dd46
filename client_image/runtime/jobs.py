"""The configuration's schedule as live jobs: fired, judged when late, started as processes, wound down. For the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from contracts.config import Effect, Job, NetworkConfig
from contracts.ids import uuid7
from runtime.adapters.state.history import find_run
from runtime.adapters.state.meta import job_fires_seen, note_job_fire
from runtime.adapters.state.runs import live_runs, signal_run
from runtime.adapters.triggers import PlanTrigger
from runtime.console.configuration import problems
from runtime.core.lateness import Drop, judge
from runtime.core.model import Selector
from runtime.core.pipeline import Request, resolve
from runtime.core.schedule import Plan, plan_of
from runtime.wiring import Installation

# What a run needs to record its results after its own grace time is over.
LAST_WORDS_S = 15.0
# How long ago a missed fire may lie and still be looked at, after the daemon was away.
LOOK_BACK = dt.timedelta(days=2)

log = structlog.get_logger("jobs")


@dataclass(frozen=True, slots=True)
class Active:
    """A job of the configuration as it is scheduled. Equality tells whether a new configuration changed it."""

    job: Job
    zone: str
    effect: Effect


class Jobs:
    """What is scheduled, and which child processes run. Lives on the daemon's event loop."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        # UTC: APScheduler compares instants of one zone wrongly in a repeated hour; the zones are in the plans.
        self._scheduler = AsyncIOScheduler(timezone=dt.UTC)
        self._active: dict[str, Active] = {}
        self._children: dict[asyncio.subprocess.Process, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        self._scheduler.start()

    def wake(self) -> None:
        """A wall clock that was set forward is noticed by nobody else: the scheduler sleeps on the monotonic one."""
        self._scheduler.wakeup()

    def take(self, config: NetworkConfig) -> tuple[str, ...]:
        """Schedule what the document says; the ids of the jobs in force. Only jobs that changed are touched: replacing one that
        is due would lose its fire."""
        wanted = self._wanted(config)
        for job_id in self._active.keys() - wanted.keys():
            self._scheduler.remove_job(job_id)
            log.info("job_removed", job=job_id)
        for job_id, active in wanted.items():
            if self._active.get(job_id) != active:
                self._schedule(active)
        self._active = wanted
        return tuple(sorted(wanted))

    async def wind_down(self, grace: float) -> int:
        """Start nothing more, signal every registered run, whoever started it, wait, kill what is left of ours. How many were."""
        self._closed = True
        self._scheduler.pause()
        folder = self._installation.settings.data_path
        for run in live_runs(folder):
            log.info("stopping_run", run_id=run.run_id, action=run.action, signalled=signal_run(folder, run))
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()  # also those that have not registered yet
        deadline = asyncio.get_running_loop().time() + grace + LAST_WORDS_S
        # A poll, because runs of other processes raise no event here.
        while (self._children or live_runs(folder)) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        left = tuple(self._children)
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        return len(left)

    def _wanted(self, config: NetworkConfig) -> dict[str, Active]:
        bad = {finding.path: finding.text for finding in problems(self._installation, config)}
        wanted: dict[str, Active] = {}
        for job in config.schedule:
            trouble = bad.get(f"schedule.{job.id}")
            if trouble is not None:
                log.warning("job_not_started", job=job.id, why=trouble)
            elif job.enabled:
                wanted[job.id] = Active(job, job.timezone or config.timezone, self._effect(config, job))
        return wanted

    def _effect(self, config: NetworkConfig, job: Job) -> Effect:
        """The strongest that the job can have; which hosts it means does not matter here."""
        request = Request(job.action, provider=job.selector.provider, params=job.params, selector=Selector(all=True))
        installation = self._installation
        return resolve(request, config, installation.known, agent_id="", now=installation.clock.now()).effect

    def _schedule(self, active: Active) -> None:
        plan = plan_of(active.job, ZoneInfo(active.zone), self._installation.agent_id)
        job_id = active.job.id
        # No misfire grace of the library's: a late fire reaches _fire, which judges it and says so.
        self._scheduler.add_job(
            self._fire,
            PlanTrigger(plan),
            args=(active, plan),
            id=job_id,
            replace_existing=True,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1000,
        )
        log.info(
            "job_scheduled", job=job_id, action=active.job.action, next=str(plan.next(self._installation.clock.now()))
        )
        if job_id not in self._active:
            self._catch_up(active, plan)

    def _catch_up(self, active: Active, plan: Plan) -> None:
        """A fire that came due while no daemon was there is judged as any other late one. A job never seen before missed none."""
        seen = job_fires_seen(self._installation.state).get(active.job.id)
        if seen is None:
            note_job_fire(self._installation.state, active.job.id, self._installation.clock.now())
            return
        if self._last_due(plan, seen) is not None:
            self._spawn(self._fire(active, plan))

    def _last_due(self, plan: Plan, seen: dt.datetime | None) -> dt.datetime | None:
        now = self._installation.clock.now()
        start = max(seen, now - LOOK_BACK) if seen else now - LOOK_BACK
        last = None
        for last in plan.between(start, now):  # noqa: B007  # the last one is what we want
            pass
        return last

    async def _fire(self, active: Active, plan: Plan) -> None:
        """Start the job for its last planned instant, or say why not. Noted first, so that nothing fires twice."""
        job, state = active.job, self._installation.state
        planned = self._last_due(plan, job_fires_seen(state).get(job.id))
        if planned is None or self._closed:
            return
        await asyncio.to_thread(note_job_fire, state, job.id, planned)
        zone = ZoneInfo(active.zone)
        verdict = judge(
            job,
            active.effect,
            planned.astimezone(zone),
            self._installation.clock.now(),
            not_after=plan.deadline(planned),
        )
        if isinstance(verdict, Drop):
            log.warning("job_missed", job=job.id, reason=verdict.reason, message=verdict.message)
            return
        # A task of ours: the scheduler cancels its own when it is shut down.
        self._spawn(self._start(job, planned, verdict.late))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job_not_started", error=f"{type(error).__name__}: {error}")

    async def _start(self, job: Job, planned: dt.datetime, late: float) -> None:
        run_id = uuid7()
        command = (sys.executable, "-m", "runtime.main", "run", job.action, "--output", "ndjson", "--job", job.id)
        process = await asyncio.create_subprocess_exec(
            *command,
            "--planned",
            planned.isoformat(),
            "--run-id",
            run_id,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the daemon must reach runs through the registry, in order
        )
        self._children[process] = job.id
        log.info(
            "job_started", job=job.id, run_id=run_id, pid=process.pid, planned=planned.isoformat(), late=round(late, 1)
        )
        try:
            code = await process.wait()
        finally:
            self._children.pop(process, None)
        found = await asyncio.to_thread(find_run, self._installation.state, run_id)
        level = log.info if code == 0 else log.warning
        outcomes = dict(found[0].outcomes) if found else {}  # none: it ended before it considered a host
        level("job_ended", job=job.id, run_id=run_id, exit_code=code, outcomes=outcomes)
