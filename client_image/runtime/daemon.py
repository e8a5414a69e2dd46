"""`flageemonitor-daemon`: runs the schedule, keeps the configuration current, writes its heartbeat, and stops cleanly.

Every job runs as a process of its own (`python -m runtime.main run --job …`), through the very path of a run by hand: one that
crashes, leaks or is killed takes nothing else with it. Registry, locks and local state are shared with all other runs.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from contracts import core_dumps
from contracts.export_address import parse_otlp, parse_statsd
from contracts.stop_times import GRACE_S
from contracts.text import say
from contracts.visible import quoted
from runtime.adapters.assets import find_root
from runtime.adapters.build import read_build
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.files import locked
from runtime.adapters.state.run_barrier import DEPLOY, closed_by, open_barrier
from runtime.adapters.state.runs import reap
from runtime.adapters.state.store import State
from runtime.domain.errors import RunError
from runtime.domain.kept_lines import KeptLines
from runtime.logs import configure
from runtime.services.config_refresh import ConfigRefresh
from runtime.services.delivery import Delivery
from runtime.services.deployment_watch import DeploymentWatch
from runtime.services.heartbeat import ClockWatch, Heartbeat
from runtime.services.maintenance import apply_retention, close_dead_runs, keep_room
from runtime.services.schedule_keeper import ScheduleKeeper
from runtime.services.scheduler import Scheduler
from runtime.services.self_report import MEASURE_S, HealthWatch, LogLines, Measures
from runtime.services.service import Periodic, Service
from runtime.services.status_report import Parts, StatusReport
from runtime.settings import read_settings
from runtime.wiring import Installation

if TYPE_CHECKING:
    from runtime.adapters.exporters import Exporter

HEARTBEAT_S = 15.0
DEPLOYMENT_S = 60.0
MAINTENANCE_S = 3600.0
REFRESH_FAULT_S = 300.0  # after a fault of ours; the configuration says how often else
DELIVERY_FAULT_S = 30.0
ASKING_S = 0.2
FULL_DISK_S = 10.0
HEALTH_S = 15.0
EXPORT_FAULT_S = 30.0
ROOM_S = 60.0
LOG_LINES_S = 10.0

USAGE = say("""\
Usage: flageemonitor-daemon

Runs the schedule of the network's configuration, refreshes that configuration, and keeps the local state in order, until
SIGTERM; then runs at work get their grace time. One at a time on a data folder. Settings come from the environment, its log goes
to standard output.

Exit codes: 0 stopped, 2 bad setting, 3 no local state, 6 another daemon runs on the same data folder.

  flageemonitor-run schedule     what it will start
  flageemonitor-run doctor       whether it runs, and everything that it needs
""")

log = structlog.get_logger("daemon")


def _services(
    installation: Installation, scheduler: Scheduler, keeper: ScheduleKeeper, lines: KeptLines
) -> list[Service]:
    """In the order in which they start; they stop in the opposite order, so that nothing new begins while runs end."""
    settings, state, clock, store = installation.settings, installation.state, installation.clock, installation.store
    watch = ClockWatch(installation.clock_judge, state, clock)
    heartbeat = Periodic("heartbeat", HEARTBEAT_S, Heartbeat(state, clock, watch, scheduler.health).beat)
    configuration = ConfigRefresh(
        state,
        store,
        lambda: installation.plane,
        clock,
        installation.clock_judge,
        lambda document: scheduler.take(document.config),
    )
    configuration.take_stored()
    if settings.run_mode == "candidate":
        # An image on trial beside the running one: it takes everything up, on a copy of the state, and starts nothing.
        return [scheduler, heartbeat]

    delivery = Delivery(state, lambda: installation.plane, clock)
    services: list[Service] = []

    def trouble() -> list[str]:
        return [f"{one.name}: {why}" for one in services if (why := one.health())]

    report = StatusReport(
        Parts(
            state,
            store,
            clock,
            read_build(find_root()),
            settings.watchtower_interval,
            trouble=trouble,
            breakers=lambda: {"ingest": delivery.breaker.state(clock.monotonic())},
        ),
        lambda: installation.plane,
        scheduler.hold,
        keeper,
        delivery.line_is_up,
    )

    async def deliver() -> float:
        return await delivery.deliver() if report.asked else ASKING_S

    async def end_what_hangs() -> None:
        await scheduler.end_stuck()
        await close_dead_runs(state, clock)

    async def start_what_is_due() -> None:
        configuration.take_what_others_stored()
        await scheduler.start_due_jobs()

    services += [
        scheduler,
        heartbeat,
        Periodic("runs", HEARTBEAT_S, end_what_hangs),
        Periodic("due_jobs", HEARTBEAT_S, start_what_is_due),
        Periodic("maintenance", MAINTENANCE_S, lambda: apply_retention(state, store, watch)),
        Periodic("outbox_room", ROOM_S, lambda: keep_room(state, store, clock)),
        Periodic("deployment", DEPLOYMENT_S, DeploymentWatch(state, clock, settings.watchtower_interval).check),
        Periodic("config_refresh", REFRESH_FAULT_S, configuration.fetch),
        Periodic("delivery", DELIVERY_FAULT_S, deliver),
        Periodic("status_report", DELIVERY_FAULT_S, report.send),
        Periodic("health_events", HEALTH_S, HealthWatch(state, clock, trouble).check),
        Periodic("measures", MEASURE_S, Measures(state, clock).measure),
        *_exporting(installation),
        Periodic("log_lines", LOG_LINES_S, LogLines(state, clock, lines).flush),
    ]
    return services


def _exporting(installation: Installation) -> list[Service]:
    """A duty for each way out that is set; an address that cannot be read is logged, and everything else goes on."""
    from runtime.adapters.state.outbox.exports import choose_sinks

    settings, state = installation.settings, installation.state
    found: list[Exporter] = []
    if settings.statsd or settings.otlp:
        from runtime.adapters.exporters import Otlp, Statsd

        try:
            if settings.statsd:
                found.append(Statsd(parse_statsd(settings.statsd)))
            if settings.otlp:
                found.append(Otlp(parse_otlp(settings.otlp), settings.ca_path))
        except ValueError as error:
            log.error("export_setting", message=str(error), statsd=settings.statsd, otlp=settings.otlp)
    try:
        state.write(lambda connection: choose_sinks(connection, [one.name for one in found]))
    except StateUnavailable as error:  # a full disk; what is exported is a copy, and the schedule begins without it
        log.error("export_setting", message=error.message, advice=error.advice)
        return []
    if not found:
        return []
    from runtime.domain.export_formats import Origin
    from runtime.services.exporting import Exporting

    build = read_build(find_root())
    origin = Origin(installation.agent_id, settings.network, build.version if build else "")
    return [
        Periodic(f"export_{one.name}", EXPORT_FAULT_S, Exporting(state, one, lambda: origin).export) for one in found
    ]


async def keep_running(installation: Installation, *, grace: float = GRACE_S, lines: KeptLines | None = None) -> int:
    """The daemon's life, until SIGTERM or SIGINT. Returns the exit code."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    settings, candidate = installation.settings, installation.settings.run_mode == "candidate"
    log.info("started", agent_id=installation.agent_id, data=str(settings.data_path), mode=settings.run_mode)
    for notice in installation.state.notices:
        log.warning("local_state", notice=notice)
    if not candidate:
        _let_runs_begin(installation.state.folder, installation.clock.now())
    enrolled = not candidate and bool(settings.config_url) and installation.plane.login().token is not None
    keeper = ScheduleKeeper(installation.state, installation.clock, enrolled=enrolled)
    scheduler = Scheduler(
        installation.state,
        installation.clock,
        installation.known,
        installation.clock_judge,
        agent_id=installation.agent_id,
        paused=candidate,
        grace=grace,
        lease=keeper,
    )
    scheduler.hold(keeper.standing.doubled)
    services = _services(installation, scheduler, keeper, lines or KeptLines(installation.clock.monotonic))
    for service in services:
        await service.start()
    await stopping.wait()
    for service in reversed(services):
        await service.stop()
    reap(installation.state, installation.clock.now())
    log.info("stopped", runs_killed=scheduler.killed)
    return 1 if scheduler.killed else 0


def _let_runs_begin(data: Path, now: dt.datetime) -> None:
    """The update that closed the barrier is over. Only `deploy` opens its own: it still has to judge this container."""
    if closed_by(data, now) != DEPLOY:
        open_barrier(data)


def _opened(installation: Installation) -> State:
    """The local state. A full disk is waited for and logged at every try: the schedule begins as soon as there is room."""
    while True:
        try:
            return installation.state
        except StateUnavailable as error:
            if error.reason != "state_full":
                raise
            log.error(error.reason, message=error.message, advice=error.advice, again_in_s=FULL_DISK_S)
            time.sleep(FULL_DISK_S)


def _answered(words: list[str]) -> int:
    """The exit code for a command line that has words: the usage page was shown, or they were refused."""
    from commandline.language import choose_language, shown  # the running daemon speaks to no person

    choose_language(())
    if words in (["-h"], ["--help"]):
        sys.stdout.write(shown(USAGE))
        return 0
    text = say(
        "flageemonitor-daemon takes no argument, not {argument}: see flageemonitor-daemon --help",
        argument=quoted(words[0]),
    )
    sys.stderr.write(f"{shown(text)}\n")
    return 2


def main() -> None:
    """Entry point of the console script and of the image. Takes no argument: everything is in the settings."""
    if sys.argv[1:]:
        sys.exit(_answered(sys.argv[1:]))
    core_dumps.switch_off()
    settings = read_settings(os.environ)
    lines = KeptLines(time.monotonic)
    configure(settings.log_format, debug=False, stream=sys.stdout, keep=lines.note)
    with Installation(settings) as installation:
        try:
            state = _opened(installation)  # here, so that a broken disk is logged in one line
            with locked(state.folder / "daemon.lock") as held:
                if held is None:
                    log.error(
                        "daemon_running", message=f"another daemon runs on {state.folder}", advice="one is enough"
                    )
                code = 6 if held is None else asyncio.run(keep_running(installation, lines=lines))
        except RunError as error:
            log.error(error.reason, message=error.message, advice=error.advice)
            code = error.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
