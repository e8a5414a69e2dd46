"""The barrier for new runs: closed for a few minutes while this container is being replaced. One file in the data folder.

Closed by the pre-update hook and by `deploy`, looked at by every run after it has registered. What the hook closed is opened by
the new container's daemon at its start; what `deploy` closed, by `deploy` alone, once it has judged the new container. The order
makes it safe: a run registers first and checks the barrier then, who closes it looks for registered runs after that. It opens by
itself when its time is over, so that it does not stay closed when the process that closed it dies.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from contracts.bounded import whole
from runtime.adapters.untrusted_files import read_untrusted, write_for_owner

FILE = "door"
# Nobody closes it for longer; a file that says more was written by a clock that ran ahead, or by nobody of ours.
LONGEST = dt.timedelta(hours=1)
_BYTES = 64


HOOK, DEPLOY = "hook", "deploy"


def close_barrier(folder: Path, until: dt.datetime, *, by: str = HOOK) -> None:
    """No run may start before ``until`` (aware). Raises OSError."""
    # Root writes it as well (`deploy`), into a folder that is not root's: through no link, and for the folder's owner.
    write_for_owner(folder, FILE, f"{int(until.timestamp())}\n{by}\n".encode())


def open_barrier(folder: Path) -> None:
    """Runs may start. Raises OSError."""
    (folder / FILE).unlink(missing_ok=True)


def closed_until(folder: Path, now: dt.datetime) -> dt.datetime | None:
    """Until when no run may start; None when the barrier is open, or what is written there makes no sense."""
    try:
        seconds = whole(_lines(folder)[0])
        if seconds is None:
            return None
        until = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OSError, ValueError, OverflowError, IndexError):
        return None
    return until if now < until <= now + LONGEST else None


def closed_by(folder: Path, now: dt.datetime) -> str:
    """Who keeps it closed; empty when it is open, or nobody says."""
    if closed_until(folder, now) is None:
        return ""
    try:
        return "".join(_lines(folder)[1:2]).strip()
    except (OSError, ValueError):
        return ""


def _lines(folder: Path) -> list[str]:
    """Seconds since 1970; who closed it."""
    return read_untrusted(folder / FILE, _BYTES).decode("ascii").splitlines()
