"""A circuit breaker for one destination, as a value. Pure; times are monotonic seconds.

closed → open after five failures in a row → half-open when its pause is over, with one small probe. A success steps down instead
of closing at once: a destination that was away for long, and comes back with half its strength, is not overrun.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]
OPENS = 5
_MOST, _STEP = 9, 2


@dataclass(frozen=True, slots=True)
class Breaker:
    """``failures``: in a row, less what successes have taken off. Nothing is sent before ``until``."""

    failures: int = 0
    until: float = 0.0

    def state(self, now: float) -> BreakerState:
        if self.failures < OPENS:
            return "closed"
        return "open" if now < self.until else "half_open"

    def wait(self, now: float) -> float:
        """Seconds until something may be sent."""
        return max(0.0, self.until - now)

    def failed(self) -> Breaker:
        return replace(self, failures=min(self.failures + 1, _MOST))

    def paused(self, until: float) -> Breaker:
        return replace(self, until=until)

    def succeeded(self) -> Breaker:
        return Breaker(self.failures - _STEP if self.failures >= OPENS else 0)
