"""What a host's result means beside the result itself: a change, a till that is away, or something that the proxy has detected.

Called by the ledger in the transaction that records the result. What stays as it was after the run before is not told again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from runtime.adapters.state.codec import dumps, stored_name
from runtime.adapters.state.outbox.put import Message
from runtime.adapters.state.outbox.topics import (
    CREDENTIALS_REFUSED,
    DRIFT_FOUND,
    HOST_CHANGED,
    HOST_KEY_CHANGED,
    IDENTITY_UNCLEAR,
    TILL_UNREACHABLE,
    Topic,
)
from runtime.adapters.state.tables import run_hosts, runs
from runtime.domain import wire
from runtime.domain.model import HostResult, Outcome, Reason, RunInfo

_DETECTED: Final[Mapping[Reason, Topic]] = {
    Reason.HOST_KEY_CHANGED: HOST_KEY_CHANGED,
    Reason.HOST_IDENTITY_UNCLEAR: IDENTITY_UNCLEAR,
    Reason.AUTH_FAILED: CREDENTIALS_REFUSED,
    Reason.PASSWORD_EXPIRED: CREDENTIALS_REFUSED,
}
# Nothing is known of a host after these.
_SILENT = (Outcome.SKIPPED.value, Outcome.CANCELLED.value)
_CONVERGED = (Outcome.OK.value, Outcome.CHANGED.value)
_LINES, _CHARACTERS = 20, 500


def findings(connection: Connection, info: RunInfo, result: HostResult, now: dt.datetime) -> list[Message]:
    """Messages to be put beside the result."""
    found: list[tuple[Topic, dict[str, Any]]] = []
    why = {"reason": result.reason.value, "message": result.message}
    if not info.dry_run and (
        result.outcome is Outcome.CHANGED or any(one.state == "confirmed" for one in result.stages)
    ):
        found.append((HOST_CHANGED, {"action": info.action, "plan": _plan(result)}))
    if result.outcome is Outcome.UNREACHABLE or result.reason in _DETECTED:
        before = _last(connection, info, result)
        if result.outcome is Outcome.UNREACHABLE and (before is None or before.outcome != result.outcome.value):
            found.append((TILL_UNREACHABLE, {"action": info.action, **why}))
        topic = _DETECTED.get(result.reason)
        if topic and (before is None or before.reason != result.reason.value):
            found.append((topic, {**why, "detail": result.detail or None}))
    if info.effect == "change" and result.outcome in (Outcome.CHANGED, Outcome.WOULD_CHANGE):
        was = _last(connection, info, result, same_action=True)
        if was is not None and was.outcome in _CONVERGED:
            held = {"before": was.run_id, "converged_at": wire.instant(was.finished_at)}
            found.append((DRIFT_FOUND, {"action": info.action, "dry_run": info.dry_run, "plan": _plan(result), **held}))
    common = {"run_id": info.run_id, "host": wire.host_json(result.host), "at": now}
    return [Message(topic, dumps({**common, **body}), info.correlation_id, now, info.run_id) for topic, body in found]


def _plan(result: HostResult) -> list[str]:
    return [line[:_CHARACTERS] for line in result.plan[:_LINES]]


def _last(connection: Connection, info: RunInfo, result: HostResult, *, same_action: bool = False) -> Row[Any] | None:
    """What the newest run before this one found of the host. ``same_action``: of this action with these parameters."""
    query = (
        select(run_hosts.c.outcome, run_hosts.c.reason, run_hosts.c.run_id, run_hosts.c.finished_at)
        .where(
            run_hosts.c.name == stored_name(result.host.name),
            run_hosts.c.network == result.host.network,
            run_hosts.c.port == result.host.port,
            run_hosts.c.run_id != info.run_id,
            run_hosts.c.outcome.is_not(None),
            run_hosts.c.outcome.not_in(_SILENT),
        )
        .order_by(run_hosts.c.id.desc())
        .limit(1)
    )
    if same_action:
        query = query.join(runs, runs.c.run_id == run_hosts.c.run_id).where(
            runs.c.action == info.action, runs.c.params == dumps(dict(info.params))
        )
    return connection.execute(query).one_or_none()
