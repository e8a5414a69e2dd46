"""The door to new runs: closed for a few minutes while this container is being replaced. One file in the data folder.

Closed by the pre-update hook and by `deploy`, looked at by every run after it has registered, opened by the daemon at its start.
The order makes it safe: a run registers first and looks at the door then, who closes it looks for registered runs after that.
It opens by itself when its time is over, so that nothing stays shut when whoever closed it dies.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from runtime.adapters.state.files import write_atomically

FILE = "door"
# Nobody closes it for longer; a file that says more was written by a clock that ran ahead, or by nobody of ours.
LONGEST = dt.timedelta(hours=1)


def close_door(folder: Path, until: dt.datetime) -> None:
    """No run may start before ``until`` (aware). Raises OSError."""
    # Root may write it as well (`deploy`), so everybody who may enter the folder may read it; its owner may remove it.
    write_atomically(folder / FILE, f"{int(until.timestamp())}\n".encode(), mode=0o644)


def open_door(folder: Path) -> None:
    """Runs may start. Raises OSError."""
    (folder / FILE).unlink(missing_ok=True)


def closed_until(folder: Path, now: dt.datetime) -> dt.datetime | None:
    """Until when no run may start; None when the door is open, or what is written there makes no sense."""
    try:
        until = dt.datetime.fromtimestamp(int((folder / FILE).read_text(encoding="ascii").strip()), dt.UTC)
    except (OSError, ValueError, OverflowError):
        return None
    return until if now < until <= now + LONGEST else None
