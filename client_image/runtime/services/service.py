"""What the daemon keeps going, as one kind of thing: a service that starts, stops, and says how it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

log = structlog.get_logger("daemon")


class Service(Protocol):
    """A duty of the daemon."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Returns when nothing of it is at work any more."""
        ...

    def health(self) -> str:
        """Why it does not do its duty now; empty when it does."""
        ...


class Periodic:
    """Work that is repeated, whatever happens: a full disk at noon must not end the schedule at night.

    The next time comes after the seconds that the work returns, else after ``seconds``, as after a fault.
    """

    def __init__(self, name: str, seconds: float, work: Callable[[], Awaitable[float | None]]) -> None:
        self.name = name
        self._seconds, self._work = seconds, work
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""

    async def start(self) -> None:
        self._task = asyncio.create_task(self._forever(), name=self.name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def health(self) -> str:
        return self._trouble

    async def _forever(self) -> None:
        while True:
            pause = None
            try:
                pause = await self._work()
                self._trouble = ""
            except Exception as error:
                self._trouble = f"{type(error).__name__}: {error}"
                log.error("service_failed", service=self.name, error=self._trouble)
            await asyncio.sleep(self._seconds if pause is None else pause)
