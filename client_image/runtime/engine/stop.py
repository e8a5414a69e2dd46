"""A request to stop a run, and why. Set by a signal handler or a cancel, checked for every host before it goes on."""

from __future__ import annotations

import asyncio
import contextlib

from runtime.domain.model import Reason


class Stop:
    """First request wins. Lives on one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._now = asyncio.Event()
        self.reason = Reason.STOPPED
        self.text = ""

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def request(self, reason: Reason, text: str) -> None:
        if not self.requested:
            self.reason, self.text = reason, text
            self._event.set()

    async def within(self, seconds: float) -> bool:
        """Wait that long, or until the run is to stop; whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        return self.requested

    def hurry(self) -> None:
        """Give up the grace time: the second Ctrl-C."""
        self._now.set()

    async def wait(self) -> None:
        await self._event.wait()

    async def hurried(self, grace: float) -> None:
        """Return after ``grace`` seconds, or as soon as somebody is in a hurry."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._now.wait(), grace)
