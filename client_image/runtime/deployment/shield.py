"""What SIGTERM, SIGINT and SIGHUP do to a deploy: they stop it where that harms nothing. Called by runtime.deploy and swap."""

from __future__ import annotations

import signal
from types import FrameType

from runtime.deployment.results import DeployError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(DeployError):
    """A signal asked us to stop, at a point where stopping harms nothing."""


class Shield:
    """Until it is sealed a signal raises Stopped where the work is; after that the work is ended first, which is soon."""

    def __init__(self) -> None:
        self._sealed = False

    def listen(self) -> None:
        """As PID 1 of a container, only signals that are listened to arrive at all."""
        for number in _SIGNALS:
            signal.signal(number, self._arrived)

    def seal(self) -> None:
        """From here on the host is between two containers."""
        self._sealed = True

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if not self._sealed:
            name = signal.Signals(number).name
            raise Stopped("failed", f"stopped by {name} before anything was changed", "call it again when it suits")
