"""What rows of the outbox tell of, and how each is called in its envelope. A new event of the proxy is one line here.

``name`` is stored in the column ``kind``, as since the first release; kind and sub of the envelope follow from it when the row is
delivered. So rows of the first release, and those that it writes after a rollback, are delivered like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.business import BUSINESS as BUSINESS_EVENTS
from contracts.kinds import Kind
from runtime.domain.model import HostResult, Outcome

# The order in which rows go when there is no room for all: the lowest first. Business events leave first, and are dropped last.
METRIC, EVENT, UNCHANGED_RESULT, RESULT, BUSINESS = 0, 1, 2, 3, 4
# What was lost is never dropped itself.
EXEMPT = 9


@dataclass(frozen=True, slots=True)
class Topic:
    """``kind`` and ``sub``: of the envelope. ``importance``: of its rows, where they do not say it one by one."""

    name: str
    kind: str
    sub: str
    importance: int = EVENT

    @property
    def for_sinks(self) -> bool:
        """Whether StatsD and OTLP are told as well, where they are set."""
        return self.kind == "metric" or (self.kind, self.sub) in BUSINESS_EVENTS


_BY_NAME: dict[str, Topic] = {}


def _topic(name: str, kind: Kind, sub: str, importance: int | None = None) -> Topic:
    if importance is None:
        importance = BUSINESS if (kind, sub) in BUSINESS_EVENTS else EVENT
    made = _BY_NAME[name] = Topic(name, kind, sub, importance)
    return made


RUN_STARTED = _topic("run_started", "event", "run.started")
RUN_FINISHED = _topic("run_finished", "event", "run.finished")
HOST_RESULT = _topic("host_result", "result", "host", RESULT)
# A result of a change is kept longer than the event that repeats it.
HOST_CHANGED = _topic("host_changed", "event", "host.changed", UNCHANGED_RESULT)
TILL_UNREACHABLE = _topic("till_unreachable", "event", "till.unreachable")
JOB_MISSED = _topic("job_missed", "event", "job.missed")
JOB_NOT_STARTED = _topic("job_not_started", "event", "job.not_started")
JOB_WITHOUT_RUN = _topic("job_without_run", "event", "job.without_run")
DEPLOYMENT = _topic("deployment", "event", "deployment.changed")
UPDATE_FINISHED = _topic("update_finished", "event", "update.finished")
UPDATE_ROLLED_BACK = _topic("update_rolled_back", "event", "update.rolled_back")
UPDATE_FAILED = _topic("update_failed", "event", "update.failed")
REPAIR_FINISHED = _topic("repair_finished", "event", "repair.finished")
STATE_REPLACED = _topic("state_replaced", "event", "state.replaced")
CONFIG_APPLIED = _topic("config_applied", "event", "config.applied")
CONFIG_REFUSED = _topic("config_refused", "event", "config.refused")
HEALTH_CHANGED = _topic("health_changed", "event", "health.changed")
LOG_LINE = _topic("log_line", "event", "log.line")
CLOCK_DISAGREES = _topic("clock_disagrees", "detection", "clock.disagrees")
HOST_KEY_CHANGED = _topic("host_key_changed", "detection", "host_key.changed")
IDENTITY_UNCLEAR = _topic("host_identity_unclear", "detection", "host_identity.unclear")
CREDENTIALS_REFUSED = _topic("credentials_refused", "detection", "credentials.refused")
DRIFT_FOUND = _topic("drift_found", "detection", "drift.found")
MEASURED = _topic("measured", "metric", "proxy", METRIC)
LOST = _topic("outbox_dropped", "event", "outbox.lost", EXEMPT)


def topic_named(name: str) -> Topic:
    """The topic of a stored row; one that only a later release knows is an event of that name."""
    return _BY_NAME.get(name) or Topic(name, "event", name)


def importance_of(result: HostResult) -> int:
    """A result that may stand for a change on a host is kept longer than one that changed nothing."""
    changed = result.stages or result.outcome in (Outcome.CHANGED, Outcome.UNKNOWN)
    return RESULT if changed else UNCHANGED_RESULT
