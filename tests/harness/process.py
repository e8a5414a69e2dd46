"""Child processes of the harness: own group, own log, ready before use, stopped by their own pid.

Called by every part that runs a program. A pid note beside the log lets `workdir` find what a killed run left behind.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KILL = signal.SIGKILL


class NotReadyError(Exception):
    """A part did not become ready; the message carries the last lines of its log."""


def wait_until(condition: Callable[[], object], *, within: float, what: str, every: float = 0.05) -> None:
    """Ask `condition` until it is true; NotReadyError naming `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise NotReadyError(f"not within {within:g} s: {what}")
        time.sleep(every)


@dataclass(frozen=True, slots=True)
class Child:
    """A running program: `log` holds what it printed."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    @property
    def pid(self) -> int:
        """The child's pid, which is also its process group."""
        return self.popen.pid

    def status(self) -> int | None:
        """None while it runs, else its exit status, or minus the signal that ended it."""
        if self.popen.returncode is not None:
            return self.popen.returncode
        # Not reaped here: its pid stays ours until its group has been ended, so that no stranger can be hit.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.status() is None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines it printed, for error messages."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_ready(self, ready: Callable[[], object], within: float) -> None:
        """Wait for `ready`; a child that ends first, or takes longer than `within` seconds, is an error with its log."""
        try:
            wait_until(lambda: not self.alive() or ready(), within=within, what=f"{self.name} ready")
        except NotReadyError as error:
            raise NotReadyError(f"{error}; last lines of {self.log}:\n{self.log_tail()}") from None
        if not self.alive():
            raise NotReadyError(f"{self.name} ended with {self.stop()}:\n{self.log_tail()}")

    def stop(self, grace: float = 10.0) -> int:
        """Ask it to end, insist after `grace` seconds, take the rest of its group with it; how it ended, as in `Popen`."""
        if self.popen.returncode is None:
            os.kill(self.pid, self.stop_signal)
            with contextlib.suppress(NotReadyError):
                wait_until(lambda: not self.alive(), within=grace, what=f"{self.name} ended")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return self.popen.wait()


def run(argv: Sequence[str | Path], *, stdin: bytes = b"", user: str | None = None, cwd: Path | None = None) -> str:
    """Run `argv` to its end and return its output; a failure is a RuntimeError with its output. `user` as in `start`."""
    done = subprocess.run(
        [str(part) for part in argv],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=cwd,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    if done.returncode:
        said = (done.stdout[-2000:] + done.stderr[-2000:]).decode(errors="replace").strip()
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def start(
    argv: Sequence[str | Path],
    *,
    name: str,
    folder: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    stdin: int = subprocess.DEVNULL,
) -> Child:
    """Start `argv` with its output in `folder/name.log` and a pid note in `folder/name.pid`; `env` adds to our own.

    `user` (only as root) is the account it runs as, without further groups.
    """
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [str(part) for part in argv],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_ours(), **(env or {})},
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )
    (folder / f"{name}.pid").write_text(f"{popen.pid} {start_time(popen.pid)}")
    return Child(name=name, popen=popen, log=log, stop_signal=stop_signal)


def _ours() -> dict[str, str]:
    """Our environment without the harness's own settings: the control plane's begin like them, and it warns of strangers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLAGEE_TEST_")}


@contextlib.contextmanager
def running(
    argv: Sequence[str | Path],
    *,
    name: str,
    folder: Path,
    ready: Callable[[], object],
    within: float = 120.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[Child]:
    """`start`, wait until `ready()` is true (at most `within` seconds), and stop at the end, whatever happens between."""
    child = start(argv, name=name, folder=folder, env=env, cwd=cwd, user=user, stop_signal=stop_signal)
    try:
        child.wait_ready(ready, within)
        yield child
    finally:
        child.stop()


def start_time(pid: int) -> str:
    """When `pid` started, in clock ticks since boot as text; with the pid it identifies one process. '' if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill_noted(note: Path) -> None:
    """Kill the process group that a pid note of a dead run names, if it is still that same process."""
    pid, _, started = note.read_text().partition(" ")
    if started and start_time(int(pid)) == started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(pid), signal.SIGKILL)
