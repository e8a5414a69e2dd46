"""Business events: what people outside of IT are told of, by the control plane, and by StatsD and OTLP where that is set.

They leave the proxy first, and are the last to go when its outbox is full; ``host.changed``, which repeats a result, goes before
that. A new one is a row here, a body in :mod:`contracts.bodies`, and a topic of the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from contracts.kinds import Kind

Level = Literal["info", "warning", "error"]

BUSINESS: Final[Mapping[tuple[Kind, str], Level]] = {
    ("event", "run.finished"): "info",
    ("event", "host.changed"): "info",
    ("event", "till.unreachable"): "warning",
    ("event", "job.missed"): "warning",
    ("event", "job.not_started"): "warning",
    ("event", "job.without_run"): "error",
    ("event", "config.applied"): "info",
    ("event", "config.refused"): "error",
    ("event", "update.finished"): "info",
    ("event", "update.rolled_back"): "warning",
    ("event", "update.failed"): "error",
    ("event", "repair.finished"): "info",
    ("event", "health.changed"): "warning",
    ("event", "state.replaced"): "error",
    ("detection", "clock.disagrees"): "warning",
    ("detection", "host_key.changed"): "error",
    ("detection", "host_identity.unclear"): "error",
    ("detection", "credentials.refused"): "error",
    ("detection", "drift.found"): "warning",
}
