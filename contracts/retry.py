"""What is tried again, and when: the one table for every client call, whatever carries it. Pure."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0
LONGEST_RETRY_AFTER_S: Final = 3600.0
# A channel that was refused as a whole is tried again after so long; its token file is read again then.
REFUSED_S: Final = 300.0

HTTP_AGAIN: Final = frozenset({408, 425, 429})
GRPC_AGAIN: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL"})


def again(status: int | None) -> bool:
    """Whether a call may be tried again. ``status``: of HTTP; None for no connection, no answer in time, a cut answer."""
    return status is None or status in HTTP_AGAIN or 500 <= status <= 599


def pause(failures: int, spread: float, retry_after: float | None = None) -> float:
    """Seconds until the next try: between 1 s and 1 s·2^n, at most 5 min. ``failures``: in a row; ``spread``: from 0 to below 1,
    drawn at random, so that thousands do not come back in one second. ``retry_after``: a floor, up to an hour."""
    longest = min(LONGEST_S, FIRST_S * 2.0 ** min(max(failures, 0), 20))
    return max(FIRST_S + spread * (longest - FIRST_S), min(retry_after or 0.0, LONGEST_RETRY_AFTER_S))
