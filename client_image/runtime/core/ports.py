"""What the engine needs from the outside, as protocols. Adapters implement them; tests pass real or small in-memory ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from runtime.core.model import Host, HostResult, RunInfo, Selector, StepRecord


class Clock(Protocol):
    """Two clocks, so that a jump of the first is seen by the second."""

    def now(self) -> dt.datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float: ...


class Inventory(Protocol):
    def hosts(self, selector: Selector) -> Sequence[Host]:
        """Hosts of the configured network that may match; raises InventoryUnavailable, never returns "no hosts" for an error.

        The selector narrows only what the source alone can tell (triggers); every filter is applied again by the pipeline.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Framed sections of one script. ``complete`` is False when the end marker never came, whatever the exit code said.

    ``sections``: name -> output bytes, capped; ``codes``: name -> exit code, absent for a section that did not end.
    """

    sections: dict[str, bytes]
    codes: dict[str, int]
    complete: bool
    truncated: bool = False


class Session(Protocol):
    """An open connection to one host. Raises HostError (Transient or Permanent) for everything that goes wrong."""

    elevated: bool
    elevation: str

    async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
        """Run named sections of POSIX sh in one round trip, each in its own ``set -eu`` subshell; stop at the first that fails
        when a section's name starts with ``step:``."""
        ...

    async def wait_gone(self, timeout: float) -> bool:
        """Whether the host stopped answering (new connections to its SSH port fail) within the time."""
        ...


class Remote(Protocol):
    def connect(self, host: Host, *, deadline: float) -> AbstractAsyncContextManager[Session]: ...


class HostLocks(Protocol):
    def try_lock(self, host: Host, owner: str) -> AbstractAsyncContextManager[str | None]:
        """Enter with None when locked by us, else with a sentence that says who holds it since when."""
        ...


class Ledger(Protocol):
    """Where every host's way through a run is recorded, durably, before and after it is touched."""

    async def begin(self, info: RunInfo, hosts: Sequence[Host]) -> None: ...

    async def at_work(self, run_id: str, host: Host, stage: str) -> None:
        """Committed before the first byte of a stage is sent: a killed process leaves ``unknown``, never silence."""
        ...

    async def record(self, run_id: str, result: HostResult) -> None:
        """Result and outbox row in one transaction."""
        ...

    async def finish(self, run_id: str, exit_code: int) -> None: ...


__all__ = ["Answer", "Clock", "HostLocks", "Inventory", "Ledger", "Remote", "Session", "StepRecord"]
