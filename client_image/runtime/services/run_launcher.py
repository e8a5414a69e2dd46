"""Scheduled runs as processes: they wait for their turn, are started once, watched, and ended. For the daemon's jobs.

A planned instant waits in the local state, not only in memory: what a killed daemon had noted and not started is found by the
next one, which judges it by the time that it is then.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import structlog

from contracts.config import Job
from contracts.ids import uuid7
from contracts.text import say
from runtime.adapters.memory import go_first, kills
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.history import find_run
from runtime.adapters.state.meta import note_job_fire
from runtime.adapters.state.outbox.events import post_event
from runtime.adapters.state.outbox.topics import JOB_MISSED, JOB_WITHOUT_RUN
from runtime.adapters.state.run_barrier import closed_until
from runtime.adapters.state.runs import end_overdue, live_runs, reap, signal_run
from runtime.adapters.state.starts import begin, drop, give_back, show_older_releases, waiting
from runtime.adapters.state.store import State
from runtime.domain.errors import RunError, Updating
from runtime.domain.model import Deny
from runtime.domain.ports import Clock
from runtime.domain.schedule_lease import Lease
from runtime.domain.time.clock_trust import Suspect
from runtime.domain.time.turns import Turn, Turns
from runtime.engine.run import SURELY_ENDED_S
from runtime.services.waiting_jobs import Active, unwanted

log = structlog.get_logger("jobs")


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
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runtime.main", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C at the daemon must reach runs through the registry, in order
    )
    go_first(pid=child.pid)  # a run says so itself, but on a busy machine that takes it most of a minute
    return child


class RunLauncher:
    """Lives on the daemon's event loop. ``jobs``: those in force, by id; ``limit``: how many runs may go on at once; ``held``: no
    turn begins meanwhile, and what comes too late is dropped as ever."""

    def __init__(self, state: State, clock: Clock, judge: ClockJudge, launch: Launch, lease: Lease) -> None:
        self._state, self._clock, self._judge, self._launch, self._lease = state, clock, judge, launch, lease
        self.jobs: Mapping[str, Active] = {}
        self.limit = 1
        self.closed = self.held = False
        self._turns = Turns()
        self._begun: list[str] = []  # jobs of our runs: being made, or at work
        self._children: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = asyncio.Lock()
        self._told: set[Turn] = set()
        self.run_deadline = 3600.0  # seconds, as the document says
        self._stuck: set[str] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that the stop waits for."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def queue(self, active: Active, planned: dt.datetime) -> None:
        """It has been claimed, and waits from now on."""
        self._turns.add(Turn(planned, active.place, active.job.id))

    async def find_waiting(self) -> None:
        """What waited when a daemon ended, or was given back, waits again."""
        for job_id, planned in await asyncio.to_thread(waiting, self._state):
            active = self.jobs.get(job_id)
            if active is not None and not self._turns.holds(job_id, planned):
                # The mark was put before it for an older release; here its row alone tells that it is due.
                await asyncio.to_thread(note_job_fire, self._state, job_id, planned)
                self.queue(active, planned)
            elif active is None and await asyncio.to_thread(drop, self._state, job_id, planned):
                log.info("job_dropped", job=job_id, planned=planned.isoformat(), why="no such job is in force any more")

    async def serve(self) -> None:
        """Start those whose turn it is, drop those for whom it comes too late. Called when one comes or ends, as time passes."""
        async with self._serving:
            await self._drop_late()
            data = self._state.folder
            while not (self.closed or self.held) and not closed_until(data, self._clock.now()):
                turn = self._turns.next(self._clock.now(), self._held())
                if turn is None or not await self._has_place(turn):
                    return
                await self._admit(turn)

    async def missed(self, job: Job, reason: str, message: str) -> None:
        """Not started, and never will be for this instant: in the log, and told to the control plane."""
        log.warning("job_missed", job=job.id, reason=reason, message=message)
        told = {"job": job.id, "action": job.action, "reason": reason, "message": message}
        await asyncio.to_thread(post_event, self._state, JOB_MISSED, told, self._clock.now())

    async def stop_all(self, grace: float, last_words: float) -> int:
        """Start nothing more, signal every registered run of any origin, wait, kill what is left of ours. How many were."""
        self.closed = True
        folder = self._state.folder
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
        with contextlib.suppress(RunError):  # a full disk must not keep the daemon from ending; the rows are there
            await asyncio.to_thread(show_older_releases, self._state)
        return len(left)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job_failed", job=task.get_name(), error=f"{type(error).__name__}: {error}")

    def _held(self) -> set[str]:
        """Jobs that wait for their own last run, where a process would only wait and take the place of another job; and, without
        the lease of the schedule, those that change anything."""
        active = (self.jobs.get(job_id) for job_id in self._begun)
        held = {one.job.id for one in active if one is not None and one.job.overlap == "wait"}
        if isinstance(self._lease.verdict(), Deny):
            held |= {job_id for job_id, one in self.jobs.items() if one.needs_lease}
        return held

    async def _has_place(self, turn: Turn) -> bool:
        """Runs by hand are never held back, but they need memory too: the schedule leaves them room, all but one place."""
        if not self._begun:
            return True
        pids = {child.pid for child in self._children}
        live = await asyncio.to_thread(live_runs, self._state.folder)
        others = sum(run.pid not in pids for run in live)
        if len(self._begun) < max(1, self.limit - others):
            return True
        if turn not in self._told:
            self._told = {other for other in self._told if self._turns.holds(other.job_id, other.planned)} | {turn}
            numbers = {"at_work": len(self._begun), "by_hand": others, "limit": self.limit}
            log.info("job_waits", job=turn.job_id, planned=turn.planned.isoformat(), **numbers)
        return False

    async def _drop_late(self) -> None:
        for turn in self._turns.all():
            active = self.jobs.get(turn.job_id)
            found = unwanted(active, turn, self._turns, self._clock.now(), self._lease, self.limit)
            if found is None:
                continue
            self._turns.remove(turn)
            if not await asyncio.to_thread(drop, self._state, turn.job_id, turn.planned):
                continue  # it was started after all, by another daemon
            if active is not None and found.reason:
                await self.missed(active.job, found.reason, found.why)
            else:
                log.info("job_dropped", job=turn.job_id, planned=turn.planned.isoformat(), why=found.why)

    async def _admit(self, turn: Turn) -> None:
        """Take the turn from those that wait, and start it unless the clock is not to be trusted with it."""
        state, now, active = self._state, self._clock.now(), self.jobs.get(turn.job_id)
        if active is None:
            return  # a new document came in between; the next look drops the turn and says so
        self._turns.remove(turn)
        if active.effect == "disrupt" and not active.job.dry_run:
            trust = await asyncio.to_thread(self._judge.judge)
            if isinstance(trust, Suspect):
                if await asyncio.to_thread(drop, state, turn.job_id, turn.planned):
                    await self.missed(active.job, "clock_suspect", say("{why}; no host was touched", why=trust.why))
                return
        run_id = uuid7()
        if not await asyncio.to_thread(begin, state, turn.job_id, turn.planned, run_id, now):
            return  # another daemon was faster
        self._begun.append(turn.job_id)
        # A task of ours: the scheduler cancels its own when it is shut down.
        self.spawn(turn.job_id, self._start(active.job, turn, run_id))

    async def _start(self, job: Job, turn: Turn, run_id: str) -> None:
        try:
            await self._run(job, turn, run_id)
        finally:
            self._begun.remove(job.id)
            self.spawn(job.id, self.serve())

    async def _run(self, job: Job, turn: Turn, run_id: str) -> None:
        planned, clock = turn.planned, self._clock
        if self.closed:
            await self._postpone(turn, run_id, "the proxy is being stopped")
            return
        killed = kills()
        words = ("run", job.action, "--output", "ndjson", "--job", job.id, "--planned", planned.isoformat())
        try:
            process = await self._launch((*words, "--run-id", run_id))
        except OSError:
            await self._postpone(turn, run_id, "no process could be made")
            raise
        self._children.add(process)
        if self.closed:
            process.terminate()  # the stop came between the decision and the process
        late = max(0.0, (clock.now() - planned).total_seconds())
        started = {"job": job.id, "run_id": run_id, "pid": process.pid, "planned": planned.isoformat()}
        log.info("job_started", **started, late=round(late, 1))
        try:
            code = await self._end_of(process, run_id)
        finally:
            self._children.discard(process)
        if code == Updating.exit_code:
            await self._postpone(turn, run_id, "an update is about to replace this container")
            return
        why = "" if self.closed else _violent_end(code, killed, kills(), stuck=run_id in self._stuck)
        self._stuck.discard(run_id)
        if why:
            await asyncio.to_thread(reap, self._state, clock.now())
        found = await asyncio.to_thread(find_run, self._state, run_id)
        level = log.info if code == 0 else log.warning
        ended = {"job": job.id, "run_id": run_id, "exit_code": code, **({"why": why} if why else {})}
        level("job_ended", **ended, outcomes=dict(found[0].outcomes) if found else {})
        if found is None:
            # It ended before it was a run (usage, configuration, still running), so the ledger knows nothing of it.
            told = {**ended, "action": job.action}
            await asyncio.to_thread(post_event, self._state, JOB_WITHOUT_RUN, told, clock.now())

    async def end_stuck(self) -> None:
        """Kill registered runs that are past their deadline, of any origin: they would hold their hosts and an update."""
        folder = self._state.folder
        for run, killed in await asyncio.to_thread(end_overdue, folder):
            self._stuck.add(run.run_id)
            text = "it is past its deadline and did not end by itself; its hosts at work become unknown"
            log.error("run_stuck", run_id=run.run_id, action=run.action, origin=run.origin, killed=killed, message=text)

    async def _end_of(self, process: Child, run_id: str) -> int:
        """Its exit code. One that hangs before it has even registered is seen here alone."""
        try:
            async with asyncio.timeout(self.run_deadline + SURELY_ENDED_S):
                return await process.wait()
        except TimeoutError:
            self._stuck.add(run_id)
            process.kill()
            return await process.wait()

    async def _postpone(self, turn: Turn, run_id: str, why: str) -> None:
        """As if it had never had its turn: this daemon or the next one gives it another, as long as that is not too late."""
        now = self._clock.now()
        await asyncio.to_thread(give_back, self._state, turn.job_id, turn.planned, run_id, now)
        log.info("job_postponed", job=turn.job_id, run_id=run_id, why=why)


def _violent_end(code: int, before: int | None, after: int | None, *, stuck: bool) -> str:
    """What ended a run that did not end by itself; empty for every other."""
    if code != -signal.SIGKILL:
        return ""
    if stuck:
        return "it was past its deadline, did not end by itself, and was killed; its hosts at work are unknown"
    if before is not None and after is not None and after > before:
        return "killed by the kernel: the container was out of memory; its hosts at work are unknown"
    return "killed, probably by the kernel because memory ran out; its hosts at work are unknown"
