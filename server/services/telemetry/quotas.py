"""How much agents and clients may send. Each process counts its share, in memory: a quota protects, it is no bill.

What was sent drains away evenly within a minute. Above 80 % of the quota everything is refused until it is down at 60 %, so that
a sender is told to wait once for a while, and not for every batch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from server.reasons import table
from server.reasons.refusal import Refusal

_CLOSES, _OPENS = 0.8, 0.6
_WINDOW_S = 60.0


@dataclass(slots=True)
class _Level:
    sent: float
    at: float
    closed: bool = False


class Quotas:
    """``per_agent`` and ``per_client``: envelopes a minute in this process. ``clock``: monotonic seconds."""

    def __init__(
        self, per_agent: float, per_client: float, clock: Callable[[], float], draw: Callable[[], float] = random.random
    ) -> None:
        self._quota = {"agent": per_agent, "client": per_client}
        self._clock, self._draw = clock, draw
        self._levels: dict[tuple[str, str], _Level] = {}

    def admit(self, agent: str, client: str) -> None:
        """Refusal: quota_exceeded, with the seconds to wait."""
        for whose, name in (("agent", agent), ("client", client)):
            level, quota = self._level(whose, name), self._quota[whose]
            if level.closed and level.sent > _OPENS * quota:
                seconds = (level.sent - _OPENS * quota) * _WINDOW_S / quota
                # Up to half as long again, so that those who were refused together do not come back together.
                raise Refusal(
                    table.QUOTA_EXCEEDED, whose=whose, retry_after=math.ceil(seconds * (1 + self._draw() / 2))
                )
            level.closed = False

    def charge(self, agent: str, client: str, envelopes: int) -> None:
        """What was sent counts, stored or not: reading it is work too."""
        for whose, name in (("agent", agent), ("client", client)):
            level = self._level(whose, name)
            level.sent += envelopes
            level.closed = level.sent >= _CLOSES * self._quota[whose]

    def _level(self, whose: str, name: str) -> _Level:
        now = self._clock()
        level = self._levels.setdefault((whose, name), _Level(0.0, now))
        level.sent = max(0.0, level.sent - (now - level.at) * self._quota[whose] / _WINDOW_S)
        level.at = now
        return level
