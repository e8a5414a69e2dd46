"""What rows of the outbox tell of, and how each is called in its envelope. A new event of the proxy is one line here.

``name`` is stored in the column ``kind``, as since the first release; kind and sub of the envelope follow from it when the row is
delivered. So rows of the first release, and those that it writes after a rollback, are delivered like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.domain.model import HostResult, Outcome

# The order in which rows go when there is no room for all: the lowest first. Metrics, when there are any, are 0.
EVENT, UNCHANGED_RESULT, RESULT = 1, 2, 3
# What was lost is never dropped itself.
EXEMPT = 9


@dataclass(frozen=True, slots=True)
class Topic:
    """``kind`` and ``sub``: of the envelope. ``importance``: of its rows, where they do not say it one by one."""

    name: str
    kind: str
    sub: str
    importance: int = EVENT


RUN_STARTED = Topic("run_started", "event", "run.started")
RUN_FINISHED = Topic("run_finished", "event", "run.finished")
HOST_RESULT = Topic("host_result", "result", "host", RESULT)
JOB_MISSED = Topic("job_missed", "event", "job.missed")
JOB_NOT_STARTED = Topic("job_not_started", "event", "job.not_started")
JOB_WITHOUT_RUN = Topic("job_without_run", "event", "job.without_run")
DEPLOYMENT = Topic("deployment", "event", "deployment.changed")
STATE_REPLACED = Topic("state_replaced", "event", "state.replaced")
CONFIG_APPLIED = Topic("config_applied", "event", "config.applied")
CONFIG_REFUSED = Topic("config_refused", "event", "config.refused")
LOST = Topic("outbox_dropped", "event", "outbox.lost", EXEMPT)

_BY_NAME = {
    topic.name: topic
    for topic in (
        RUN_STARTED,
        RUN_FINISHED,
        HOST_RESULT,
        JOB_MISSED,
        JOB_NOT_STARTED,
        JOB_WITHOUT_RUN,
        DEPLOYMENT,
        STATE_REPLACED,
        CONFIG_APPLIED,
        CONFIG_REFUSED,
        LOST,
    )
}


def topic_named(name: str) -> Topic:
    """The topic of a stored row; one that only a later release knows is an event of that name."""
    return _BY_NAME.get(name) or Topic(name, "event", name)


def importance_of(result: HostResult) -> int:
    """A result that may stand for a change on a host is kept longer than one that changed nothing."""
    changed = result.stages or result.outcome in (Outcome.CHANGED, Outcome.UNKNOWN)
    return RESULT if changed else UNCHANGED_RESULT
