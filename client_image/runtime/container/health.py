"""`python -m runtime.container.health`: the image's HEALTHCHECK, and what `deploy` asks a candidate. One JSON line, exit 0 or 1.

Healthy means: the scheduler's heartbeat is fresh and came through the local state, so the state can be written. An old
configuration, results that cannot be delivered or an update that does not come degrade the report and never the health:
restarting the container would mend none of them. It runs every half minute on small machines, so it imports nothing that is slow
to load.
"""

from __future__ import annotations

import datetime as dt
import faulthandler
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from runtime.domain.time.stale import STALE_CONFIG

# The daemon beats every 15 s; a beat may wait for a busy disk.
STALE_S = 75.0
_AHEAD_S = 15.0
# The engine gives a health check 15 s; a disk that hangs is a failure with a reason, not a check that never ends.
ANSWER_WITHIN_S = 10.0
_AT_LAST_S = 13.0


def report(data: Path, config: Path, now: dt.datetime, interval: int | None) -> dict[str, Any]:
    """``status``: ok, degraded or failed; ``problems`` are why it failed, ``warnings`` why it is degraded."""
    from runtime.adapters.deployment_notes import read_notes

    age, problem = _heartbeat_age(data / "state.db", now)
    problems = [problem] if problem else []
    if age is not None and (age > STALE_S or age < -_AHEAD_S):
        problems.append(
            f"the scheduler's last heartbeat is {age:.0f} s old: it hangs, or the local state cannot be written"
        )
    warnings = [
        *_config_warnings(config, now),
        *_delivery_warnings(data / "state.db"),
        *read_notes(data, now, interval).warnings,
    ]
    return {
        "status": "failed" if problems else "degraded" if warnings else "ok",
        "heartbeat_age": None if age is None else round(age, 1),
        "problems": problems,
        "warnings": warnings,
    }


def _heartbeat_age(database: Path, now: dt.datetime) -> tuple[float | None, str]:
    """Seconds since the last heartbeat, or a sentence on why that is not known."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
            row = connection.execute("SELECT heartbeat_at FROM daemon_status").fetchone()
        if row is None or row[0] is None:
            return None, "the scheduler has not begun yet"
        return (now - dt.datetime.fromisoformat(row[0])).total_seconds(), ""
    except (sqlite3.Error, ValueError, TypeError) as error:
        return None, f"the local state cannot be read: {error}"


def _config_warnings(config: Path, now: dt.datetime) -> list[str]:
    """What an operator should know of the configuration, from the store's own note beside it."""
    from contracts.bounded import read_json
    from runtime.adapters.state.files import read_plain

    if not (config / "config_bot.json").exists():
        return ["there is no configuration yet: nothing is scheduled"]
    try:
        checked = dt.datetime.fromisoformat(read_json(read_plain(config / "config_bot.meta.json"))["checked_at"])
        age = now - checked
    except (OSError, ValueError, TypeError, KeyError):
        return ["the configuration is of unknown origin"]
    return [f"the configuration was not confirmed for {age}"] if age > STALE_CONFIG else []


def _delivery_warnings(database: Path) -> list[str]:
    """Why results do not reach the control plane, from the delivery's own note. A short while without it is no news."""
    from contracts.bounded import read_json

    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'delivery'").fetchone()
        status = read_json(row[0]) if row else {}
        if status.get("state") == "refused" or status.get("breaker", "closed") != "closed":
            return [f"results are not delivered: {status['message']}"]
    except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError):
        return []
    return []


def _answer() -> dict[str, Any]:
    from runtime.settings import read_settings

    settings = read_settings(os.environ)
    return report(settings.data_path, settings.config_path, dt.datetime.now(dt.UTC), settings.watchtower_interval)


def _no_answer(why: str) -> dict[str, Any]:
    return {"status": "failed", "heartbeat_age": None, "problems": [why], "warnings": []}


def main() -> None:
    """Entry of the HEALTHCHECK."""
    from runtime.domain.background import within

    faulthandler.dump_traceback_later(_AT_LAST_S, exit=True)  # for what holds even the interpreter: ends with 1
    try:
        found = within(ANSWER_WITHIN_S, _answer)
    except TimeoutError:
        found = _no_answer(
            f"the data or configuration folder did not answer within {ANSWER_WITHIN_S:.0f} s: its disk hangs"
        )
    except Exception as error:
        found = _no_answer(f"the health check itself failed: {type(error).__name__}: {error}")
    faulthandler.cancel_dump_traceback_later()
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(1 if found["problems"] else 0)  # whatever hangs in a thread must not hold up the end


if __name__ == "__main__":
    main()
