"""Which lines of the daemon's log are worth telling the control plane: warnings and errors, few of each event. Pure.

Called by the log for each line, from any thread, and emptied by the daemon's service.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

_LEVELS: Final = frozenset({"warning", "error", "critical"})
# What they say is in the heartbeat, or in an event of its own; a channel that is cut must not fill the outbox with saying so.
_TOLD_OTHERWISE: Final = frozenset(
    {
        "delivery",
        "status_report",
        "clock_suspect",
        "configuration",
        "deployment",
        "envelopes_refused",
        "schedule_held",
        "export",
    }
)
_HEAD: Final = frozenset({"event", "level", "timestamp", "message", "exception"})
WINDOW_S: Final = 3600.0
OF_ONE_EVENT: Final = 10
OF_ALL: Final = 100
_FIELDS, _SHORT, _LONG = 20, 300, 2000


class KeptLines:
    """``monotonic``: seconds. At most OF_ONE_EVENT lines of an event, and OF_ALL of all, in an hour; the rest is counted."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic, self._lock = monotonic, threading.Lock()
        self._since = monotonic()
        self._seen: Counter[str] = Counter()
        self._suppressed: Counter[str] = Counter()
        self._lines: list[dict[str, Any]] = []

    def note(self, line: Mapping[str, Any]) -> None:
        """Called with each line of the log, as it is written."""
        name = str(line.get("event", ""))[:128]
        if line.get("level") not in _LEVELS or name in _TOLD_OTHERWISE:
            return
        with self._lock:
            if self._monotonic() - self._since >= WINDOW_S:
                self._since = self._monotonic()
                self._seen.clear()
            if self._seen[name] >= OF_ONE_EVENT or self._seen.total() >= OF_ALL:
                self._suppressed[name] += 1
                return
            self._seen[name] += 1
            self._lines.append(_body(name, line, self._suppressed.pop(name, 0)))

    def take(self) -> list[dict[str, Any]]:
        """Bodies of the lines since the last time."""
        with self._lock:
            found, self._lines = self._lines, []
            return found


def _body(name: str, line: Mapping[str, Any], suppressed: int) -> dict[str, Any]:
    fields = {str(key)[:64]: str(value)[:_SHORT] for key, value in line.items() if key not in _HEAD}
    exception = str(line.get("exception", "")).strip()
    message = str(line.get("message", "")) or exception[exception.rfind("\n") + 1 :]
    return {
        "level": line["level"],
        "event": name,
        "message": message[:_LONG],
        "fields": dict(list(fields.items())[:_FIELDS]),
        "suppressed": suppressed,
    }
