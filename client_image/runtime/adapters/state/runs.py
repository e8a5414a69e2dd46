"""Which runs live in which process: registered under a kernel lock, listed, cancelled, and closed when their process died.

Called by main and daemon. A run is alive while the lock on ``<data>/runs/<run id>.lock`` is held; nothing else counts, so
neither a pid that the system gave to somebody else nor a file that a killed process left can mislead.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from sqlalchemy import func, select, update

from contracts.bounded import read_json
from contracts.text import say
from contracts.visible import quoted
from runtime.adapters.boot import boot_id
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.errors import StateUnavailable, translated, unavailable
from runtime.adapters.state.files import is_locked, locked, private_folder, write_all, write_atomically
from runtime.adapters.state.ledger import RUNNING, close_run
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import runs
from runtime.adapters.untrusted_files import read_untrusted
from runtime.domain.background import within
from runtime.domain.model import RunInfo

_OTHERS_LOOK_S = 10.0
NOTE_S = 5.0  # a run that is to stop is signalled after that, whether it is known who asked or not


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run whose process lives. Every run has a process of its own, so that a signal to it stops just this run.

    ``overdue``: its deadline and all time that it may take after that are over, and it has not ended: it hangs, or was stopped.
    """

    run_id: str
    pid: int
    action: str
    origin: str
    started_at: dt.datetime
    overdue: bool = False


class Cancelled(StrEnum):
    """What became of a request to cancel."""

    SIGNALLED = "signalled"
    NOTED = (
        "noted"  # the process cannot be signalled from here (another container): the note is all, see cancel_requested
    )
    SIGNALLED_UNNOTED = "signalled_unnoted"  # the local state takes no write: the run cannot tell who asked
    NOT_RUNNING = "not_running"


@contextlib.contextmanager
def register(folder: Path, info: RunInfo, lasts: float | None = None) -> Iterator[None]:
    """Hold the run's lock; enter before the ledger's begin, leave after its finish. ``lasts``: seconds in which it surely ends
    unless it hangs. Raises StateUnavailable."""
    # By the monotonic clock, which all processes of this start of the machine share, and which nobody can set.
    ends = {} if lasts is None else {"ends_by": time.monotonic() + lasts, "boot": boot_id()}
    content = dumps(
        {
            "run_id": info.run_id,
            "pid": os.getpid(),
            "action": info.action,
            "origin": info.origin,
            "started_at": info.started_at,
            **ends,
        }
    )
    with contextlib.ExitStack() as stack:
        with translated(folder):
            path = private_folder(folder / "runs") / f"{info.run_id}.lock"
            handle = stack.enter_context(_run_lock(path))
            os.ftruncate(handle, 0)
            write_all(handle, content.encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # what stays is swept by the next reaper
                path.unlink()
                _note_of(path).unlink(missing_ok=True)


@contextlib.contextmanager
def _run_lock(path: Path) -> Iterator[int]:
    """The lock on the file that the name stands for: a reaper may look at, or remove, what was there a moment ago."""
    while True:
        with locked(path, timeout=_OTHERS_LOOK_S) as handle:
            if handle is None:
                raise OSError(say("{path} is held by another process", path=path))
            if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
                yield handle
                return


def live_runs(folder: Path) -> tuple[LiveRun, ...]:
    """Runs of any process on this data folder, oldest first."""
    found = [run for path in (folder / "runs").glob("*.lock") if (run := _live(path)) is not None]
    return tuple(sorted(found, key=lambda run: run.started_at))


def signal_run(folder: Path, run: LiveRun, number: signal.Signals = signal.SIGTERM) -> bool:
    """Signal the process only while it holds the run's lock. False when it does not, or is not in our pid namespace."""
    path = folder / "runs" / f"{run.run_id}.lock"
    try:
        process = os.pidfd_open(run.pid)
    except OSError:  # gone; or a kernel before 5.3, where the time between look and signal is all that is left open
        process = None
    try:
        if not is_locked(path) or not _has_open(run.pid, path):
            return False
        if process is None:
            os.kill(run.pid, number)
        else:
            signal.pidfd_send_signal(process, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if process is not None:
            os.close(process)
    return True


def end_overdue(folder: Path) -> list[tuple[LiveRun, bool]]:
    """Kill every run that is past its deadline; each with whether it could be signalled. Not asked to stop any more: it had its
    time for that, and a stopped process hears nothing else. The reaper then closes it: hosts at work become unknown."""
    return [(run, signal_run(folder, run, signal.SIGKILL)) for run in live_runs(folder) if run.overdue]


def cancel(state: State, run_id: str, *, by: str) -> Cancelled:
    """Signal the run's process where that is right. Before that, who asks is noted, because a signalled run looks there.

    No state keeps a run from being stopped: neither a full or busy disk nor a damaged database. Why nothing could be recorded is
    then the state's ``trouble``. Raises StateUnavailable only where the process cannot be signalled either, so that nothing was
    asked of it.
    """
    path = state.folder / "runs" / f"{run_id}.lock"
    run = _live(path)
    if run is None:
        return Cancelled.NOT_RUNNING
    trouble = None
    try:
        within(NOTE_S, partial(_note_cancel, state, run_id, by))
    except StateUnavailable as error:
        trouble = error
    except TimeoutError:
        trouble = unavailable("state_busy", state.folder, say("no write within {seconds} s", seconds=f"{NOTE_S:.0f}"))
    signalled = signal_run(state.folder, run)
    if trouble is not None:
        if not signalled:
            raise trouble
        state.trouble = trouble
        return Cancelled.SIGNALLED_UNNOTED
    return Cancelled.SIGNALLED if signalled else Cancelled.NOTED


def _note_cancel(state: State, run_id: str, by: str) -> None:
    """In the ledger, else in a file beside the run's lock: it may still read its inventory and not be in the ledger yet, or the
    database takes no write."""
    wanted = update(runs).where(runs.c.run_id == run_id, runs.c.state == RUNNING)
    noted = wanted.values(cancel_requested_by=func.coalesce(runs.c.cancel_requested_by, by))
    trouble = None
    try:
        if state.write(lambda connection: connection.execute(noted).rowcount):
            return
    except StateUnavailable as error:
        trouble = error
    try:
        with translated(state.folder):
            write_atomically(_note_of(state.folder / "runs" / f"{run_id}.lock"), by.encode())
    except StateUnavailable as error:
        raise trouble or error from None
    state.trouble = trouble or state.trouble


def cancel_requested(state: State, run_id: str) -> str | None:
    """Who asked for the run to stop: a run that is signalled looks here for why. Raises StateUnavailable when neither tells."""
    trouble, noted = None, None
    try:
        with state.read() as connection:
            noted = connection.scalar(select(runs.c.cancel_requested_by).where(runs.c.run_id == run_id))
    except StateUnavailable as error:
        trouble = error
    if noted is None:
        with contextlib.suppress(OSError):
            return read_untrusted(_note_of(state.folder / "runs" / f"{run_id}.lock")).decode(errors="replace")
    if trouble is not None:
        raise trouble
    return noted


def reap(state: State, now: dt.datetime) -> dict[str, int]:
    """Close the runs whose process died: run id -> how many of its hosts were open. Called at the start of every process.

    Hosts at work become unknown (killed), pending ones cancelled (not_started). Any number of processes may reap at once: each
    run is closed in one transaction that looks again whether it is still open. Raises StateUnavailable.
    """
    with state.read() as connection:
        candidates: Sequence[str] = connection.scalars(select(runs.c.run_id).where(runs.c.state == RUNNING)).all()
    reaped = {}
    for run_id in candidates:
        path = state.folder / "runs" / f"{run_id}.lock"
        if is_locked(path):
            continue
        closed = state.write(partial(close_run, run_id=run_id, now=now))
        if closed is not None:
            reaped[run_id] = closed
    with translated(state.folder):
        for path in (state.folder / "runs").glob("*.lock"):
            _sweep(path)
    return reaped


def _live(path: Path) -> LiveRun | None:
    if not is_locked(path):
        return None
    try:
        content = read_json(read_untrusted(path))
        return LiveRun(
            run_id=str(content["run_id"]),
            pid=_number(content["pid"]),
            action=str(content["action"]),
            origin=str(content["origin"]),
            started_at=dt.datetime.fromisoformat(content["started_at"]).astimezone(dt.UTC),
            overdue=_is_over(content.get("ends_by"), content.get("boot")),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None  # just being registered, or just over


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{quoted(value)} is not a number")
    return value


def _is_over(ends_by: object, boot: object) -> bool:
    if not isinstance(ends_by, int | float) or isinstance(ends_by, bool) or not boot or boot != boot_id():
        return False
    return time.monotonic() > ends_by


def _sweep(path: Path) -> None:
    """Remove what a killed process left. Under its lock, which tells a run that registers at this moment to begin again."""
    with locked(path) as handle:
        if handle is not None:
            path.unlink(missing_ok=True)
            _note_of(path).unlink(missing_ok=True)


def _note_of(lock: Path) -> Path:
    return lock.with_suffix(".cancel")


def _has_open(pid: int, path: Path) -> bool:
    """Whether the process has this file open: with the lock held, that is the holder."""
    try:
        for opened in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if opened.samefile(path):
                    return True
    except OSError:
        return False
    return False
