"""Which start of the machine this is. Monotonic seconds of two processes compare only within one start."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from runtime.domain.schedule_lease import SteadyTime


@cache
def boot_id() -> str:
    """Empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def steady_time() -> SteadyTime:
    """By a clock that goes on while the machine sleeps, and that no change of the time touches."""
    return SteadyTime(time.clock_gettime(time.CLOCK_BOOTTIME), boot_id())
