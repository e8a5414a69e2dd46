"""The configuration's schedule as live jobs: fired, judged when late, handed over to be started, wound down. For the daemon."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from dataclasses import replace
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from contracts.config import Effect, Job, NetworkConfig
from contracts.schedule import Plan, plan_of
from contracts.stop_times import GRACE_S, LAST_WORDS_S
from runtime.adapters.memory import simultaneous_runs
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.meta import job_fires_seen, note_job_fire, reset_job_fire
from runtime.adapters.state.outbox.events import post_event_once
from runtime.adapters.state.outbox.topics import JOB_NOT_STARTED
from runtime.adapters.state.run_barrier import closed_until
from runtime.adapters.state.starts import Claim, claim, started
from runtime.adapters.state.store import State
from runtime.domain.catalogue import Catalogue
from runtime.domain.config_check import problems
from runtime.domain.errors import RunError
from runtime.domain.model import Selector
from runtime.domain.pipeline import Request, resolve
from runtime.domain.ports import Clock
from runtime.domain.schedule_lease import Lease, NeedsNoLease
from runtime.domain.time.lateness import Drop
from runtime.services.run_launcher import Launch, RunLauncher, launch_run
from runtime.services.triggers import LOOK_BACK, PlanTrigger
from runtime.services.waiting_jobs import CLOCK_BACK, Active

log = structlog.get_logger("jobs")


class Scheduler:
    """What is scheduled, and which child processes run. Lives on the daemon's event loop.

    ``lease``: whether jobs that change anything are this agent's. ``paused``: everything is scheduled and nothing is ever
    started, as for an image on trial. ``grace``: seconds for runs at work when it stops; ``killed`` says afterwards how many of
    them had to be killed.
    """

    name = "scheduler"

    def __init__(
        self,
        state: State,
        clock: Clock,
        known: Catalogue,
        judge: ClockJudge,
        *,
        agent_id: str,
        launch: Launch = launch_run,
        paused: bool = False,
        grace: float = GRACE_S,
        lease: Lease | None = None,
    ) -> None:
        self._paused, self._grace = paused, grace
        self.killed = 0
        self._state, self._clock, self._known, self._agent_id = state, clock, known, agent_id
        self._runs = RunLauncher(state, clock, judge, launch, lease or NeedsNoLease())
        # UTC: APScheduler compares instants of one zone wrongly in a repeated hour; the zones are in the plans.
        self._scheduler = AsyncIOScheduler(timezone=dt.UTC)
        self._active: dict[str, Active] = {}
        self._settling: set[str] = set()  # jobs whose past is being put in order: not yet for `start_due_jobs`
        self._first = True
        self._firing = 0  # fires that are just being noted: whose turn is first is decided when all of them are

    async def start(self) -> None:
        self._scheduler.start(paused=self._paused)

    async def stop(self) -> None:
        self.killed = await self.stop_all(self._grace)

    def health(self) -> str:
        return "" if self._scheduler.running else "the scheduler does not run"

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
                self._runs.spawn(job_id, self._settle(before, active))
        for job in config.schedule:
            if job.id not in wanted:
                self._runs.spawn(job.id, self._begin(job.id))
        self._active, self._first = wanted, False
        self._runs.jobs = wanted
        self._runs.run_deadline = config.ssh.run_deadline
        self._runs.limit = simultaneous_runs(config.runs_at_once)
        return tuple(sorted(wanted))

    async def start_due_jobs(self) -> None:
        """Start what is due and was not started: missed while no daemon was there, or while the clock or the disk were wrong.

        The scheduler only makes fires punctual. It sleeps on the monotonic clock, so it is also woken here.
        """
        if self._first:
            return  # no configuration yet: what waits is not known to be unwanted
        await self._runs.find_waiting()
        seen = await asyncio.to_thread(job_fires_seen, self._state)
        fired = False
        now = self._clock.now()
        for job_id, active in tuple(self._active.items()):
            noted = seen.get(job_id)
            if job_id in self._settling:
                continue
            if noted is None:
                await self._begin(job_id)
            elif noted > now + CLOCK_BACK:
                log.warning("clock_went_back", job=job_id, noted=noted.isoformat(), now=now.isoformat())
                await asyncio.to_thread(reset_job_fire, self._state, job_id, now)
                self._schedule(active)
            elif self._last_due(active.plan, noted) is not None:
                self._runs.spawn(job_id, self._fire(active))
                fired = True
        if not fired:  # else the last of them does it, so that the first in order comes first
            self._runs.spawn("turns", self._runs.serve())
        self._scheduler.wakeup()

    def hold(self, why: str) -> None:
        """Start no job while there is a reason, empty for none. Callable from any thread; jobs at work go on."""
        if bool(why) != self._runs.held:
            log.warning("schedule_held" if why else "schedule_released", message=why or "jobs start again")
        self._runs.held = bool(why)

    async def end_stuck(self) -> None:
        """End runs that hang beyond their deadline."""
        await self._runs.end_stuck()

    async def stop_all(self, grace: float, last_words: float = LAST_WORDS_S) -> int:
        """Start nothing more, signal every registered run of any origin, wait, kill what is left of ours. How many were."""
        self._runs.closed = True
        self._scheduler.pause()
        killed = await self._runs.stop_all(grace, last_words)
        self._scheduler.shutdown(wait=False)
        return killed

    def _wanted(self, config: NetworkConfig) -> dict[str, Active]:
        found = list(problems(config, self._known, self._clock.now()))
        bad = {finding.job: finding.text for finding in found if finding.stops}
        for finding in found:
            if not finding.stops:
                say = log.error if finding.level == "error" else log.warning
                say("configuration_problem", path=finding.path, problem=finding.text)
        wanted: dict[str, Active] = {}
        for place, job in enumerate(config.schedule):
            trouble = bad.get(job.id)
            if trouble is not None:
                log.warning("job_not_started", job=job.id, why=trouble)
                self._runs.spawn(job.id, self._tell_not_started(job, trouble))
            elif job.enabled:
                zone = ZoneInfo(config.timezone)
                plan = plan_of(job, zone, self._agent_id)
                wanted[job.id] = Active(job, plan, self._effect(config, job), place)
        return wanted

    async def _tell_not_started(self, job: Job, why: str) -> None:
        """Once for each reason: a job that stops running, after an update for example, must not do so in silence."""
        told = {"job": job.id, "action": job.action, "reason": "job_not_started", "message": why}
        now = self._clock.now()
        await asyncio.to_thread(post_event_once, self._state, JOB_NOT_STARTED, why, told, now, about=job.id)

    def _effect(self, config: NetworkConfig, job: Job) -> Effect:
        """The strongest that the job can have; which hosts it means does not matter here."""
        request = Request(job.action, provider=job.selector.provider, params=job.params, selector=Selector(all=True))
        return resolve(request, config, self._known, agent_id="", now=self._clock.now()).effect

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
        due = active.plan.next(self._clock.now())
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
        await asyncio.to_thread(note_job_fire, self._state, job_id, self._clock.now())

    def _last_due(self, plan: Plan, seen: dt.datetime) -> dt.datetime | None:
        now = self._clock.now()
        return next(iter(deque(plan.between(max(seen, now - LOOK_BACK), now), maxlen=1)), None)

    async def _fire(self, active: Active) -> None:
        """Have the job wait for its turn for its last planned instant, or say why not. Only the caller that notes the instant
        first does either."""
        self._firing += 1
        try:
            await self._note(active)
        except RunError as error:
            # Nothing may run that cannot be noted; `look` tries again while the fire is due.
            log.error(
                "job_not_noted", job=active.job.id, reason=error.reason, message=error.message, advice=error.advice
            )
        finally:
            self._firing -= 1
        if not self._firing:
            await self._runs.serve()

    async def _note(self, active: Active) -> None:
        job, state, now = active.job, self._state, self._clock.now()
        seen = (await asyncio.to_thread(job_fires_seen, state)).get(job.id)
        planned = self._last_due(active.plan, seen) if seen is not None else None
        if closed_until(self._state.folder, now):
            return  # an update is coming: `start_due_jobs` starts it when the barrier is open, or the next container's does
        if planned is None or self._runs.closed:
            return
        verdict = active.verdict(planned, now)
        if isinstance(verdict, Drop) and not await asyncio.to_thread(started, state, job.id, planned):
            if await asyncio.to_thread(note_job_fire, state, job.id, planned):
                await self._runs.missed(job, verdict.reason, verdict.message)
            return
        became = await asyncio.to_thread(claim, state, job.id, planned, active.effect, now)
        if became is Claim.WAITS:
            self._runs.queue(active, planned)
        elif became is Claim.STARTED_BEFORE:
            local = planned.astimezone(active.plan.zone)
            text = (
                f"planned for {local:%Y-%m-%d %H:%M:%S %Z}, for which it was started already; the clock went back since"
            )
            await self._runs.missed(job, "started_before", text)
