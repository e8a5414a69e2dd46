"""Makes sure that no run is cut: the door is closed to new ones, those at work are waited for. Called by swap and repair."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator

from runtime.adapters.state import door
from runtime.adapters.state.runs import LiveRun, live_runs
from runtime.deployment.deployment import Site
from runtime.deployment.results import DeployError
from runtime.deployment.specification import STOP_S

_PAUSE_S = 1.0
_TOLD_EVERY_S = 15.0
_MARGIN_S = 180.0


@contextlib.contextmanager
def quiet(site: Site) -> Iterator[None]:
    """Inside, no registered run is at work and none may start. Raises DeployError (run_in_progress)."""
    try:
        _close(site)
        site.tell("door_closed", "no new run may start")
        if not site.options.force:
            _wait(site)
        yield
    finally:
        reopen(site)


def reopen(site: Site) -> None:
    """Open the door if it is the one that we closed: Watchtower's hook may have closed it for itself since."""
    ours = site.memory.records.door
    if ours is None:
        return
    just_before = dt.datetime.fromtimestamp(ours - 1, dt.UTC)
    until = door.closed_until(site.folders.data, just_before)
    try:
        if until is not None and int(until.timestamp()) == ours:
            door.open_door(site.folders.data)
    except OSError as error:
        site.tell("door_stuck", f"the door stays closed until {until}: {error}")
        return
    site.memory.save(door=None)


def _close(site: Site) -> None:
    """For what is left to do at most, so that it opens soon when we are killed; whoever waits for runs closes it again."""
    span = dt.timedelta(seconds=STOP_S + 2 * site.options.health_timeout + _MARGIN_S)
    until = site.now() + min(span, door.LONGEST - dt.timedelta(minutes=5))
    try:
        # First, so that whoever comes after a crash knows whose it is.
        site.memory.commit(site.memory.records.model_copy(update={"door": int(until.timestamp())}))
        door.close_door(site.folders.data, until, by=door.DEPLOY)
    except OSError as error:
        raise DeployError(
            "failed", f"cannot close the door to new runs: {error}", "free space on the volume of the data folder"
        ) from error


def _wait(site: Site) -> None:
    pace = site.pace
    begin, told = pace.monotonic(), float("-inf")
    if stuck := tuple(run for run in live_runs(site.folders.data) if run.overdue):
        site.tell(
            "stuck_runs", f"not waited for, because past their deadline: {named(stuck)}; their hosts become unknown"
        )
    while runs := at_work(site):
        waited = pace.monotonic() - begin
        if waited >= site.options.wait:
            raise DeployError(
                "run_in_progress",
                f"still at work after {waited:.0f} s: {named(runs)}",
                "try again later, or --force to stop them (hosts at work get their grace time)",
            )
        if pace.monotonic() - told >= _TOLD_EVERY_S:
            told = pace.monotonic()
            _close(site)
            site.tell("waiting_runs", f"waiting for {named(runs)}, at most {site.options.wait - waited:.0f} s more")
        pace.sleep(_PAUSE_S)


def at_work(site: Site) -> tuple[LiveRun, ...]:
    """Registered runs that an update waits for. One past its deadline is not waited for: it ends with the container, at the
    latest, and its hosts at work become unknown."""
    return tuple(run for run in live_runs(site.folders.data) if not run.overdue)


def named(runs: tuple[LiveRun, ...]) -> str:
    """For a person."""
    named = ", ".join(f"{run.action[:60]} ({run.origin[:60]})" for run in runs[:3])
    return named + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
