"""Whether a failed attempt to reach a subject is worth another one, and after which pause. Pure but for the jitter.

Only what may pass is tried again: a refused or dropped connection, and silence where time is left. A refused login or a changed
key is not: the same attempt would fail in the same way, and may lock an account.
"""

from __future__ import annotations

import random

from contracts.text import Text, say
from runtime.domain.errors import HostError, Transient
from runtime.domain.model import Reason

PAUSE_S = 0.5  # before the second attempt; doubled before each later one


def pause_before_next(error: HostError, attempts: int, most: int, *, took: float, left: float, spare: float) -> float:
    """Seconds until the next attempt, 0 when there is none.

    ``attempts``: made so far; ``took``: seconds of the last one; ``left``: seconds that the subject still has. ``spare``: seconds
    that the run has for it without making others wait, so that the silent hosts of a dead store do not hold up the rest.
    """
    if not isinstance(error, Transient) or attempts >= most:
        return 0.0
    pause = PAUSE_S * 2 ** (attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311  # spreads load, hides nothing
    if error.reason is Reason.TIMEOUT:  # the next one may take as long again
        return pause if pause + took < min(left, spare) else 0.0
    return pause if pause < left else 0.0


def ordinal(number: int) -> Text:
    """1st, 2nd, 3rd, 4th; for the few attempts that are made."""
    match number:
        case 1:
            return say("{number}st", number=number)
        case 2:
            return say("{number}nd", number=number)
        case 3:
            return say("{number}rd", number=number)
        case _:
            return say("{number}th", number=number)
