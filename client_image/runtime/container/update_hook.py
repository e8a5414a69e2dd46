"""`python -m runtime.container.update_hook`: Watchtower asks it before it replaces this container. Exit 75: not now, 0: go on.

It closes the barrier for new runs first and looks for registered ones then, so that no run can slip in between. An image that
deploy has refused on this host, or gone back from, is not taken again: Watchtower itself does not know that. Outside the host's
update window nothing is taken. It must answer soon, or Watchtower would wait with all its work; whatever goes wrong is "not now",
because an update can wait and a cut run cannot. A run that is past its own deadline holds nothing back: it is killed, and its
hosts at work become unknown.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

NOT_NOW = 75
CLOSED_FOR = dt.timedelta(minutes=5)
ANSWER_WITHIN_S = 20.0
# For what holds even the interpreter; it then ends with 1, which Watchtower takes for "not now" as well.
_AT_LAST_S = 25.0
HOLD = "hold.json"


def decide(data: Path, now: dt.datetime, window: str = "", zone: str = "UTC") -> tuple[int, str]:
    """Exit code and a sentence for Watchtower's log. ``window``: when updates may be taken, empty for always, by the clocks of
    ``zone``. Raises OSError, RunError, and ValueError for a window or zone that cannot be read, which all mean "not now" too.
    """
    from contracts.update_window import parse_update_window
    from runtime.adapters.deployment_notes import read_notes
    from runtime.adapters.state.run_barrier import DEPLOY, close_barrier, closed_by, open_barrier
    from runtime.adapters.state.runs import end_overdue, live_runs

    if closed_by(data, now) == DEPLOY:
        return NOT_NOW, "not now: deploy is at work on this container"
    if window and not parse_update_window(window).is_open(now, ZoneInfo(zone)):
        (data / HOLD).unlink(missing_ok=True)
        return NOT_NOW, f"not now: updates are taken from {window} ({zone})"
    notes = read_notes(data, now, None)
    if notes.tag_refused:
        (data / HOLD).unlink(missing_ok=True)  # nothing that an end of runs would change
        return NOT_NOW, f"not now: {notes.image} points to {notes.tag_digest}, which this host has refused"
    close_barrier(data, now + CLOSED_FOR)
    stuck = end_overdue(data)
    runs = [run for run in live_runs(data) if not run.overdue]
    if not runs:
        (data / HOLD).unlink(missing_ok=True)
        said = [f"{run.action} ({run.run_id}) is past its deadline and was {_ended(sent)}; " for run, sent in stuck]
        return 0, f"{''.join(said)}no run is registered; new runs are refused for five minutes"
    open_barrier(data)
    _note_hold(data, now, [run.run_id for run in runs])
    what = ", ".join(f"{run.action} ({run.run_id})" for run in runs)
    return NOT_NOW, f"not now: {what}"


def _note_hold(data: Path, now: dt.datetime, runs: list[str]) -> None:
    """Since when an update waits, for doctor and the health report."""
    from contracts.bounded import read_json
    from runtime.adapters.state.files import write_atomically
    from runtime.adapters.untrusted_files import read_untrusted

    since = now.isoformat()
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        since = str(read_json(read_untrusted(data / HOLD)).get("since") or since)
    body: dict[str, Any] = {"since": since, "runs": runs}
    write_atomically(data / HOLD, json.dumps(body).encode(), mode=0o644)


def _ended(sent: bool) -> str:
    return "killed, its hosts at work are unknown" if sent else "not waited for: it cannot be killed from here"


def _answer() -> tuple[int, str]:
    from runtime.settings import read_settings

    settings = read_settings(os.environ)
    return decide(settings.data_path, dt.datetime.now(dt.UTC), settings.update_window, settings.zone)


def main() -> None:
    """Entry of scripts/watchtower-pre-update.sh."""
    from runtime.domain.background import within

    faulthandler.dump_traceback_later(_AT_LAST_S, exit=True)
    try:
        code, message = within(ANSWER_WITHIN_S, _answer)
    except Exception as error:
        code, message = NOT_NOW, f"not now: {type(error).__name__}: {error}"
    from contracts.visible import one_line
    from runtime.adapters.streams import forgiving

    faulthandler.cancel_dump_traceback_later()
    out = forgiving(sys.stdout)
    out.write(one_line(message) + "\n")
    out.flush()
    os._exit(code)  # whatever hangs in a thread must not hold up the end


if __name__ == "__main__":
    main()
