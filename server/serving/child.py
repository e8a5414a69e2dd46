"""A program that is kept running: started in a group of its own, started again with growing pauses, ended with all of its group.

Used by :mod:`server.serving.supervisor`, which asks each child in every round of its loop.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

_log = structlog.get_logger(__name__)
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_STEADY_S = 60.0  # one that ran as long as this has its pauses begin small again
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """``descriptors`` are inherited. ``orphaned``: the signal that it gets when `serve` was killed: it must not hold the port."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    descriptors: Sequence[int] = ()
    stderr: int | None = None
    orphaned: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    """``program`` is asked for at every start: what it needs may have to be made first."""

    name: str
    program: Callable[[], Program]
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _failures: int = 0
    _due: float = field(default=0.0)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        program = self.program()
        parent = os.getpid()

        def before_exec() -> None:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(program.orphaned))
                if os.getppid() != parent:
                    os._exit(1)

        self._process = subprocess.Popen(
            program.arguments,
            env=program.environ,
            stdin=subprocess.DEVNULL,
            stderr=program.stderr,
            pass_fds=program.descriptors,
            preexec_fn=before_exec,  # noqa: PLW1509  # this process has one thread
            process_group=0,
        )
        self._started = time.monotonic()

    def exit_status(self) -> int | None:
        """None while it runs; else how it ended, as in ``Popen``, and the rest of its group has been ended too."""
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            self._end_group()
        return process.wait()

    def keep(self, now: float) -> float:
        """Start it again where it has ended and its pause is over. Seconds until this should be asked again at the latest."""
        if self._process is not None:
            status = self.exit_status()
            if status is None:
                return _LONGEST_PAUSE_S
            self._failures = 0 if now - self._started > _STEADY_S else self._failures
            pause = min(_LONGEST_PAUSE_S, _PAUSE_S * 2**self._failures)
            self._failures += 1
            self._due = now + pause
            self._process = None
            _log.error(
                "part_ended",
                part=self.name,
                exit=status,
                pause_s=round(pause, 1),
                message=f"{self.name} ended and is started again.",
            )
        if now < self._due:
            return self._due - now
        try:
            self.start()
        except OSError as error:
            self._failures += 1
            self._due = now + min(_LONGEST_PAUSE_S, _PAUSE_S * 2**self._failures)
            _log.error("part_not_started", part=self.name, cause=str(error))
        return _LONGEST_PAUSE_S

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.exit_status() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it and its group now."""
        if self._process is not None and self._process.returncode is None:
            self._end_group()
            self._process.wait()

    def _end_group(self) -> None:
        """Nothing of an ended program stays: nginx's workers, for one, would go on serving without their master.

        Called before it is waited for: until then nobody else can have its number.
        """
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
