"""What may interrupt a deploy, and what a deploy may interrupt: signals, and runs at work.

A signal stops a deploy only where stopping leaves nothing half done. Runs are not cut: the run barrier keeps new ones from
starting, and those at work are waited for. Called by runtime.deploy, update, repair and recovery.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
from collections.abc import Iterator
from types import FrameType

from contracts.stop_times import CONTAINER_STOP_S
from contracts.text import say, some_of
from runtime.adapters.state import run_barrier
from runtime.adapters.state.runs import LiveRun, live_runs
from runtime.deployment.deployment import Deployment
from runtime.deployment.results import DeployError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PAUSE_S = 1.0
_NOTIFY_EVERY_S = 15.0
_MARGIN_S = 180.0


class Stopped(DeployError):
    """A signal stopped the deploy, before anything was changed."""


class StopSignals:
    """Until ``defer`` a signal raises Stopped in the main thread; after it the work is finished first, which is soon."""

    def __init__(self) -> None:
        self._deferred = False

    def listen(self) -> None:
        """PID 1 of a container gets only the signals that it handles."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def defer(self) -> None:
        """To be called before the host is between two containers."""
        self._deferred = True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self._deferred:
            name = signal.Signals(number).name
            raise Stopped(
                "failed",
                say("stopped by {name} before anything was changed", name=name),
                say("run it again when convenient"),
            )


@contextlib.contextmanager
def drain_runs(deployment: Deployment) -> Iterator[None]:
    """Inside, no registered run is at work and none may start. Raises DeployError (run_in_progress)."""
    try:
        _set_barrier(deployment)
        deployment.notify("runs_held", say("no new run may start"))
        if not deployment.options.force:
            _wait_for_runs(deployment)
        yield
    finally:
        lift_barrier(deployment)


def lift_barrier(deployment: Deployment) -> None:
    """If it is the one that deploy has set: Watchtower's hook may have set its own since."""
    ours = deployment.records.barrier_until
    if ours is None:
        return
    just_before = dt.datetime.fromtimestamp(ours - 1, dt.UTC)
    until = run_barrier.closed_until(deployment.folders.data, just_before)
    try:
        if until is not None and int(until.timestamp()) == ours:
            run_barrier.open_barrier(deployment.folders.data)
    except OSError as error:
        deployment.notify("runs_stay_held", say("no run may start until {until}: {error}", until=until, error=error))
        return
    deployment.record_file.change(barrier_until=None)


def _set_barrier(deployment: Deployment) -> None:
    """For as long as the work may take, so that it ends soon when deploy is killed. It is set again while runs are waited for."""
    span = dt.timedelta(seconds=CONTAINER_STOP_S + 2 * deployment.options.health_timeout + _MARGIN_S)
    until = deployment.now() + min(span, run_barrier.LONGEST - dt.timedelta(minutes=5))
    try:
        # Recorded first, so that the call after a crash knows whose barrier it is.
        deployment.record_file.save_or_raise(
            deployment.records.model_copy(update={"barrier_until": int(until.timestamp())})
        )
        run_barrier.close_barrier(deployment.folders.data, until, by=run_barrier.DEPLOY)
    except OSError as error:
        raise DeployError(
            "failed",
            say("cannot keep new runs from starting: {error}", error=error),
            say("free space on the volume of the data folder"),
        ) from error


def _wait_for_runs(deployment: Deployment) -> None:
    clock, limit = deployment.clock, deployment.options.wait
    begin, notified = clock.monotonic(), float("-inf")
    if stuck := tuple(run for run in live_runs(deployment.folders.data) if run.overdue):
        text = say(
            "not waited for, because past their deadline: {runs}; their hosts become unknown",
            runs=describe_runs(stuck),
        )
        deployment.notify("stuck_runs", text)
    while runs := runs_at_work(deployment):
        waited = clock.monotonic() - begin
        if waited >= limit:
            raise DeployError(
                "run_in_progress",
                say(
                    "still at work after {waited} s: {runs}",
                    waited=f"{waited:.0f}",
                    runs=describe_runs(runs),
                ),
                say("try again later, or use --force to stop them (hosts at work get their grace time)"),
            )
        if clock.monotonic() - notified >= _NOTIFY_EVERY_S:
            notified = clock.monotonic()
            _set_barrier(deployment)
            text = say(
                "waiting for {runs}, at most {seconds} s more",
                runs=describe_runs(runs),
                seconds=f"{limit - waited:.0f}",
            )
            deployment.notify("waiting_runs", text)
        clock.sleep(_PAUSE_S)


def runs_at_work(deployment: Deployment) -> tuple[LiveRun, ...]:
    """Registered runs that an update waits for. One past its deadline is not waited for: it ends with the container at the
    latest, and its hosts at work become unknown."""
    return tuple(run for run in live_runs(deployment.folders.data) if not run.overdue)


def describe_runs(runs: tuple[LiveRun, ...]) -> str:
    """For a person."""
    return some_of([f"{run.action[:60]} ({run.origin[:60]})" for run in runs], 3)
