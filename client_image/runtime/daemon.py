"""`flageemonitor-daemon`: runs the schedule, keeps the configuration current, says that it lives, and stops cleanly.

Every job runs as a process of its own (`python -m runtime.main run --job …`), through the very path of a run by hand: one that
crashes, leaks or is killed takes nothing else with it. Registry, locks and local state are shared with all other runs.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import structlog

from contracts import core_dumps
from contracts.document import Document
from contracts.visible import quoted
from runtime.adapters.config_store import StoredConfig
from runtime.adapters.deployment_notes import DeploymentNotes, LastDeploy, read_notes
from runtime.adapters.state.door import DEPLOY, closed_by, open_door
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.files import locked
from runtime.adapters.state.ledger import post_news
from runtime.adapters.state.meta import note_heartbeat, note_refresh
from runtime.adapters.state.retention import maintain
from runtime.adapters.state.runs import reap
from runtime.adapters.state.store import State
from runtime.domain.background import in_background
from runtime.domain.errors import RunError
from runtime.domain.time.clock_trust import ADVICE, Suspect, Trust, Trusted
from runtime.engine.run import GRACE_S
from runtime.logs import configure
from runtime.services.config_refresh import MAX_PAUSE_S, MIN_PAUSE_S, RefreshResult, next_pause, refresh
from runtime.services.scheduler import Jobs
from runtime.settings import read_settings
from runtime.wiring import Installation

HEARTBEAT_S = 15.0
DEPLOYMENT_S = 60.0
MAINTENANCE_S = 3600.0
FULL_DISK_S = 10.0

USAGE = """\
Usage: flageemonitor-daemon

Runs the schedule of the network's configuration, refreshes that configuration, and keeps the local state in order, until
SIGTERM; then runs at work get their grace time. One at a time on a data folder. Settings come from the environment, its log goes
to standard output.

Exit codes: 0 stopped, 2 bad setting, 3 no local state, 6 another daemon runs on the same data folder.

  flageemonitor-run schedule     what it will start
  flageemonitor-run doctor       whether it runs, and everything that it needs
"""

log = structlog.get_logger("daemon")


class Daemon:
    """One a process: what it does besides its jobs is to refresh, to say that it lives, and to stop."""

    def __init__(self, installation: Installation, *, grace: float = GRACE_S) -> None:
        self._installation = installation
        self._grace = grace
        self._jobs = Jobs(installation)
        self._in_force: Document | None = None
        self._stamp: object = None
        self._stopping = asyncio.Event()
        self._started_at = installation.clock.now()
        # An image on trial beside the running one: it takes everything up, on a copy of the state, and starts nothing.
        self._on_trial = installation.settings.run_mode == "candidate"
        self._warned: frozenset[str] = frozenset()
        self._clock_is: type[Trust] | None = None

    async def run(self) -> int:
        """Until SIGTERM or SIGINT. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        settings = self._installation.settings
        log.info("started", agent_id=self._installation.agent_id, data=str(settings.data_path), mode=settings.run_mode)
        for notice in self._installation.state.notices:
            log.warning("local_state", notice=notice)
        if not self._on_trial:
            self._open_door()
        self._take_configuration()
        self._jobs.start(paused=self._on_trial)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._every(HEARTBEAT_S, self._beat))]
            if not self._on_trial:
                tasks += [
                    group.create_task(self._every(HEARTBEAT_S, self._reap)),
                    group.create_task(self._every(HEARTBEAT_S, self._tend)),
                    group.create_task(self._every(MAINTENANCE_S, self._maintain)),
                    group.create_task(self._every(DEPLOYMENT_S, self._watch_deployment)),
                    group.create_task(self._refresh_forever()),
                ]
            await self._stopping.wait()
            for task in tasks:
                task.cancel()
        killed = await self._jobs.wind_down(self._grace)
        reap(self._installation.state, self._installation.clock.now())
        log.info("stopped", runs_killed=killed)
        return 1 if killed else 0

    def _open_door(self) -> None:
        """Whoever was to be replaced has been. Only `deploy` opens its own: it still has to judge this container."""
        data = self._installation.settings.data_path
        if closed_by(data, self._installation.clock.now()) != DEPLOY:
            open_door(data)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat, whatever happens: a full disk at noon must not be the end of the schedule at night."""
        while True:
            try:
                await work()
            except Exception as error:
                log.error("housekeeping_failed", work=work.__name__, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        if not self._jobs.alive():
            raise RuntimeError("the scheduler does not run")  # no heartbeat: the health check must see it
        await self._judge_clock()  # before the heartbeat: a row of a wrong clock must not become its witness
        now = self._installation.clock.now()
        state = self._installation.state
        await asyncio.to_thread(note_heartbeat, state, pid=os.getpid(), started_at=self._started_at, now=now)

    async def _judge_clock(self) -> Trust:
        """Say it when the judgement changes: nobody must find out by jobs that are missing."""
        trust = await asyncio.to_thread(self._installation.clock_trust)
        before, self._clock_is = self._clock_is, type(trust)
        if before is not type(trust) and isinstance(trust, Suspect):
            text = f"{trust.why}; until it is right nothing is deleted by age and no disruptive job starts"
            log.warning("clock_suspect", message=text, advice=ADVICE)
        elif before is Suspect and isinstance(trust, Trusted):
            log.info("clock_trusted", now=trust.now.isoformat(), by=trust.by)
        return trust

    async def _reap(self) -> None:
        await self._jobs.end_stuck()
        reaped = await asyncio.to_thread(reap, self._installation.state, self._installation.clock.now())
        for run_id, hosts in reaped.items():
            log.warning("run_died", run_id=run_id, open_hosts=hosts)

    async def _tend(self) -> None:
        if self._installation.store.stamp() != self._stamp:
            self._take_configuration()  # written by another process: `config refresh`, the installer
        await self._jobs.look()

    async def _maintain(self) -> None:
        stored = self._stored()
        if stored is None:
            return
        delivery = stored.document.config.delivery
        done = await asyncio.to_thread(
            maintain,
            self._installation.state,
            keep_days=delivery.keep_days,
            outbox_limit=delivery.outbox_limit,
            trust=await self._judge_clock(),
        )
        log.info("maintained", done=str(done))

    async def _watch_deployment(self) -> None:
        """Tell what became of updates: by whom this container is kept current is outside of it and leaves notes."""
        settings, now = self._installation.settings, self._installation.clock.now()
        notes = await asyncio.to_thread(read_notes, settings.data_path, now, settings.watchtower_interval)
        for warning in notes.warnings:
            if warning not in self._warned:
                log.warning("deployment", warning=warning)
        self._warned = frozenset(notes.warnings)
        if notes.last is not None:
            await self._tell_deployment(notes, notes.last)

    async def _tell_deployment(self, notes: DeploymentNotes, last: LastDeploy) -> None:
        """Each change once, although every container that comes finds the report again."""
        mark = f"{last.at} {last.verb} {last.reason}"
        what = {"verb": last.verb, "reason": last.reason, "message": last.message}
        more = {
            "happened_at": last.at,
            "running": notes.running_digest,
            "tag": notes.tag_digest,
            "pinned": notes.pinned,
        }
        installation = self._installation
        told = await asyncio.to_thread(
            post_news, installation.state, "deployment", mark, {**what, **more}, installation.clock.now()
        )
        if told:
            log.info("deployment", **what)

    def _stored(self) -> StoredConfig | None:
        try:
            return self._installation.store.load()
        except RunError as error:
            log.error(error.reason, message=error.message, advice=error.advice)
            return None

    async def _refresh_forever(self) -> None:
        failures = 0
        while True:
            pause = MAX_PAUSE_S / 12
            try:
                installation = self._installation
                result = await in_background(
                    lambda: refresh(installation.store, installation.plane, installation.clock)  # noqa: B023
                )
                await asyncio.to_thread(note_refresh, self._installation.state, result, result.at)
                if result.current:
                    await asyncio.to_thread(self._installation.note_plane_time, result.told)
                self._tell(result, recovered=result.current and failures > 0)
                failures = 0 if result.current else failures + 1
                interval = self._take_configuration()
                pause = next_pause(result, interval=interval, failures=failures, spread=random.random())  # noqa: S311
            except Exception as error:
                log.error("refresh_failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause)

    def _tell(self, result: RefreshResult, *, recovered: bool) -> None:
        quiet = result.reason == "unchanged" and not recovered
        level = log.debug if quiet else log.info if result.current else log.error
        extra = {} if result.current else {"in_force": result.in_force, "age": result.age}
        level(
            "configuration", reason=result.reason, message=result.message, correlation_id=result.correlation_id, **extra
        )
        for warning in result.warnings:
            log.warning("configuration", warning=warning)

    def _take_configuration(self) -> float:
        """Schedule what the stored document says; the seconds between refreshes."""
        self._stamp = self._installation.store.stamp()
        stored = self._stored()
        if stored is None:
            return MIN_PAUSE_S
        document = stored.document
        if document != self._in_force:
            for note in document.notes:
                if note.level != "info":
                    log.warning("configuration_note", level_of_note=note.level, path=note.path, note=note.text)
            jobs = self._jobs.take(document.config)
            self._in_force = document
            log.info("configuration_in_force", network=document.config.network, etag=stored.etag, jobs=jobs)
        return float(document.config.refresh_interval)


def _opened(installation: Installation) -> State:
    """The local state. A full disk is waited for and said again and again: the schedule begins as soon as there is room."""
    while True:
        try:
            return installation.state
        except StateUnavailable as error:
            if error.reason != "state_full":
                raise
            log.error(error.reason, message=error.message, advice=error.advice, again_in_s=FULL_DISK_S)
            time.sleep(FULL_DISK_S)


def main() -> None:
    """Entry point of the console script and of the image. Takes no argument: everything is in the settings."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return
    if sys.argv[1:]:
        sys.stderr.write(
            f"flageemonitor-daemon takes no argument, not {quoted(sys.argv[1])}: see flageemonitor-daemon --help\n"
        )
        sys.exit(2)
    core_dumps.switch_off()
    settings = read_settings(os.environ)
    configure(settings.log_format, debug=False, stream=sys.stdout)
    with Installation(settings) as installation:
        try:
            state = _opened(installation)  # here, so that a broken disk is said in one line
            with locked(state.folder / "daemon.lock") as held:
                if held is None:
                    log.error(
                        "daemon_running", message=f"another daemon runs on {state.folder}", advice="one is enough"
                    )
                code = 6 if held is None else asyncio.run(Daemon(installation).run())
        except RunError as error:
            log.error(error.reason, message=error.message, advice=error.advice)
            code = error.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
