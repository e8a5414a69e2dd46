"""Runs and outcomes from what agents told, in the transaction that stores it. Called by :mod:`server.services.telemetry.storing`.

Envelopes come in any order, the newest often first. So each part of a run adds what it knows, and takes nothing away; the first
outcome of a host counts, as on the proxy.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import func
from sqlalchemy.orm import Session

from contracts.bodies import HostOutcome, RunFinished, RunStarted
from contracts.visible import visible
from server.storage.models import Outcome, Run
from server.storage.upserts import insert_into


class Told(NamedTuple):
    """A new envelope that tells of a run."""

    envelope_id: uuid.UUID
    correlation_id: str | None
    body: HostOutcome | RunStarted | RunFinished


def record(session: Session, agent: str, network_id: int, told: Sequence[Told], now: dt.datetime) -> None:
    """``agent``: id of its row."""
    if not told:
        return
    runs: dict[str, dict[str, Any]] = {}
    outcomes: dict[tuple[str, str], dict[str, Any]] = {}
    for one in told:
        known = runs.setdefault(one.body.run_id, dict.fromkeys(_OF_RUN))
        known.update((name, value) for name, value in _of_run(one).items() if value is not None)
        if isinstance(one.body, HostOutcome):
            outcomes.setdefault((one.body.run_id, one.body.host.id), _outcome(one.envelope_id, one.body))
    shared = {"agent": agent, "network_id": network_id, "seen_at": now}
    insert = insert_into(session, Run)
    added = {name: func.coalesce(insert.excluded[name], insert.table.c[name]) for name in _OF_RUN}
    session.execute(
        insert.on_conflict_do_update(index_elements=["agent", "run_id"], set_={**added, "seen_at": now}),
        [{**shared, "run_id": run_id, **runs[run_id]} for run_id in sorted(runs)],
    )
    if outcomes:
        session.execute(
            insert_into(session, Outcome).on_conflict_do_nothing(),
            [{**shared, **outcomes[key]} for key in sorted(outcomes)],
        )


_OF_RUN = (
    "correlation_id",
    "action",
    "action_version",
    "provider",
    "origin",
    "dry_run",
    "actor",
    "purpose",
    "hosts",
    "started_at",
    "finished_at",
    "exit_code",
    "summary",
    "reason",
    "message",
)


def _of_run(told: Told) -> dict[str, Any]:
    """What one envelope knows of its run."""
    correlation, body = told.correlation_id, told.body
    match body:
        case RunStarted():
            return {
                "correlation_id": correlation,
                "action": _cut(body.action, 64),
                "action_version": _cut(body.action_version, 32),
                "provider": _cut(body.provider, 32),
                "origin": _cut(body.origin, 128),
                "dry_run": body.dry_run,
                "actor": _shown(body.actor),
                "purpose": _shown(body.purpose),
                "hosts": body.hosts,
                "started_at": _instant(body.started_at),
            }
        case RunFinished():
            return {
                "correlation_id": correlation,
                "finished_at": _instant(body.finished_at),
                "exit_code": body.exit_code,
                "summary": _shown(msgspec.json.encode(body.summary).decode()),
                "reason": _cut(body.reason, 64),
                "message": _shown(body.message),
            }
        case HostOutcome():
            return {"correlation_id": correlation, "action": _cut(body.action, 64) or None, "dry_run": body.dry_run}


def _outcome(envelope_id: uuid.UUID, body: HostOutcome) -> dict[str, Any]:
    host = body.host
    return {
        "run_id": body.run_id,
        "host_id": _cut(host.id, 255),
        "envelope_id": envelope_id,
        "name": _cut(host.name, 255),
        "name_key": _cut(host.name.lower(), 255),
        "display_name": visible(host.display_name),
        "address": _cut(host.address, 64),
        "store": host.store,
        "terminal": host.terminal,
        "role": _cut(host.role, 32),
        "provider": _cut(host.provider, 32),
        "action": _cut(body.action, 64),
        "dry_run": body.dry_run,
        "outcome": _cut(body.outcome, 32),
        "reason": _cut(body.reason, 64),
        "detail": _shown(body.detail),
        "message": visible(body.message),
        "started_at": _instant(body.started_at),
        "finished_at": _instant(body.finished_at),
    }


def _shown(text: str | None) -> str | None:
    """Made visible, because PostgreSQL takes no NUL, and people read it."""
    return None if text is None else visible(text)


def _cut(text: str | None, length: int) -> str | None:
    return None if text is None else visible(text)[:length]


def _instant(value: dt.datetime | None) -> dt.datetime | None:
    """In UTC; None for one that has no time there: the first or last day of the calendar, in another zone."""
    try:
        return None if value is None else value.astimezone(dt.UTC)
    except OverflowError:
        return None
