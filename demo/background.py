"""The demo in the background: `make demo-up` starts it, `make try` runs an action on its terminals, `make demo-down` ends it.

Everything is below `.demo/up/`, and `processes.json` there says which processes are the demo's. A pid alone proves nothing: after
a restart of the machine another program may have it. So each is kept with the time of its start and the machine's boot id, and
nothing is stopped that does not match all three.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from contracts.bounded import whole
from demo.stage import PROGRAMS, Stage, StageError
from demo.story import control_plane, fleet
from demo.terminals.tree import erase

NOT_RUNNING = 69
_STOP_S = 15.0
_WINDOW_HOURS = 22
_HINTS = """\
  make try ACTION=diagnose_env ARGS="--loja 1"
  make try ACTION=update_endpoint_timezone ARGS="--loja 1 --dry-run"
  make demo-down
"""


@dataclass(slots=True)
class Record:
    """What was started: name -> (pid, start time in clock ticks since boot). ``complete``: all of it came up."""

    boot: str
    since: str
    url: str = ""
    complete: bool = False
    processes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def alive(self) -> list[str]:
        """The names of those that run and are ours."""
        return [
            name for name, (pid, ticks) in self.processes.items() if self.boot == boot_id() and started_at(pid) == ticks
        ]

    @property
    def runs(self) -> bool:
        return self.complete and len(self.alive()) == len(self.processes)


def up(home: Path) -> int:
    """Start the demo in ``home``/up; a second call only says that it runs. 0, or 1 when it could not be started."""
    folder = home / "up"
    with _alone(home):
        before = read(folder)
        if before is not None and before.runs:
            print(f"The demo is running already, since {before.since}.\n{_HINTS}", end="")
            return 0
        if before is not None:
            why = "this machine was restarted" if before.boot != boot_id() else "some of its processes ended"
            print(f"The demo of {before.since} no longer runs: {why}. Starting it from the beginning.")
            _stop_all(before)
        erase(folder)
        record = Record(boot_id(), f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M:%S}")

        def keep(name: str, pid: int) -> None:
            record.processes[name] = (pid, started_at(pid) or 0)
            _write(folder, record)

        try:
            with Stage(folder, keep=keep, window_hours=_WINDOW_HOURS) as stage:
                _write(folder, record)
                fleet(stage)
                control_plane(stage)
                record.url, record.complete = stage.url, True
                _write(folder, record)
        except (StageError, KeyboardInterrupt) as error:
            _stop_all(record)
            erase(folder)
            print(f"\nThe demo could not be started: {error or 'stopped'}", file=sys.stderr)
            return 1
    print(f"\nThe demo is running. What is changed on its terminals stays until make demo-down.\n{_HINTS}", end="")
    return 0


def down(home: Path) -> int:
    """Stop what :func:`up` started and remove its folder. Always 0: what does not run needs no stop."""
    folder = home / "up"
    with _alone(home):
        record = read(folder)
        if record is None:
            print("The demo is not running.")
        elif record.boot != boot_id():
            print(f"The demo of {record.since} ended when this machine was restarted. Its files are removed.")
        else:
            stopped, left = _stop_all(record)
            for name in left:
                pid, _ = record.processes[name]
                print(f"{name}: process {pid} is no longer the demo's; it was left alone.")
            print(f"The demo is stopped ({', '.join(stopped) or 'nothing was running'}). Its files are removed.")
        erase(folder)
    return 0


def attempt(home: Path, arguments: Sequence[str]) -> int:
    """Become `flageemonitor-run` with these arguments, as the demo's operator. Comes back only when the demo does not run."""
    folder = home / "up"
    record = read(folder)
    if record is None or not record.runs:
        print("The demo is not running. Start it with: make demo-up", file=sys.stderr)
        return NOT_RUNNING
    stage = Stage(folder)
    stage.url = record.url
    sys.stdout.flush()
    os.execve(PROGRAMS / "flageemonitor-run", ["flageemonitor-run", *arguments], stage.proxy_environment())  # noqa: S606
    return NOT_RUNNING  # never reached: the process is another program now


def read(folder: Path) -> Record | None:
    """The record; None where there is none, or none that can be read."""
    try:
        known = json.loads((folder / "processes.json").read_text(encoding="utf-8"))
        processes = {str(name): (int(pid), int(ticks)) for name, (pid, ticks) in known.pop("processes").items()}
        return Record(**known, processes=processes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def boot_id() -> str:
    """Another one after each restart of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def started_at(pid: int) -> int | None:
    """The start of a process in clock ticks since boot; None when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ("Z", "X") else whole(fields[18])


def _stop_all(record: Record) -> tuple[list[str], list[str]]:
    """Stop what is ours, the last first; (names of those stopped, names of those whose pid is another program's now)."""
    stopped: list[str] = []
    left: list[str] = []
    for name, (pid, ticks) in reversed(record.processes.items()):
        if started_at(pid) is None:
            continue
        (stopped if record.boot == boot_id() and _stop(pid, ticks) else left).append(name)
    return stopped, left


def _stop(pid: int, ticks: int) -> bool:
    """Whether the process was the one that was meant, and is stopped now. The descriptor cannot come to mean another one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if started_at(pid) != ticks:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], _STOP_S)[0]:
                break
        return True
    finally:
        os.close(handle)


def _write(folder: Path, record: Record) -> None:
    partial = folder / "processes.json.partial"
    partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
    partial.rename(folder / "processes.json")


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One of `up` and `down` at a time; the next one waits."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
