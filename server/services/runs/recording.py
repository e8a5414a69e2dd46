"""Runs and outcomes from what agents told, in the transaction that stores it. Called by :mod:`server.services.telemetry.storing`.

Envelopes come in any order, the newest often first. So each part of a run adds what it knows, and takes nothing away; the first
outcome of a host counts, as on the proxy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import func
from sqlalchemy.orm import Session

from contracts.bodies import HostOutcome, RunFinished, RunStarted
from contracts.visible import visible
from server.storage.bulk import Bulk, Row
from server.storage.models import Outcome, Run
from server.storage.upserts import insert_for


class Told(NamedTuple):
    """A new envelope that tells of a run. ``envelope_id``: 32 hexadecimal digits."""

    envelope_id: str
    correlation_id: str | None
    body: HostOutcome | RunStarted | RunFinished


class Ledger(NamedTuple):
    """What a batch adds: columns of runs by the run's id, and rows of outcomes."""

    runs: Mapping[str, Mapping[str, Any]]
    outcomes: Sequence[Row]


def ledger(told: Iterable[Told]) -> Ledger:
    """Pure."""
    runs: dict[str, dict[str, Any]] = {}
    outcomes: dict[tuple[str, str], Told] = {}
    heard: set[tuple[Any, ...]] = set()
    for one in told:
        body = one.body
        if isinstance(body, HostOutcome):
            outcomes.setdefault((body.run_id, body.host.id), one)
            of_run = (body.run_id, one.correlation_id, body.action, body.dry_run)
            if of_run in heard:  # most hosts of a run say the same of it
                continue
            heard.add(of_run)
        known = runs.setdefault(body.run_id, dict.fromkeys(_OF_RUN))
        known.update((name, value) for name, value in _of_run(one).items() if value is not None)
    return Ledger(runs, [_outcome(outcomes[key]) for key in sorted(outcomes)])


def record(session: Session, agent: str, network_id: int, added: Ledger, now: dt.datetime) -> None:
    """``agent``: id of its row."""
    if not added.runs:
        return
    shared = {"agent": agent, "network_id": network_id, "seen_at": now}
    session.execute(
        _run_upsert(session.get_bind().dialect.name),
        [{**shared, "run_id": run_id, **added.runs[run_id]} for run_id in sorted(added.runs)],
    )
    _OUTCOMES.insert(session.connection(), (agent, network_id, now), added.outcomes)


@cache
def _run_upsert(dialect: str) -> Any:
    insert = insert_for(dialect, Run)
    added = {name: func.coalesce(insert.excluded[name], insert.table.c[name]) for name in _OF_RUN}
    return insert.on_conflict_do_update(
        index_elements=["agent", "run_id"], set_={**added, "seen_at": insert.excluded.seen_at}
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


_EACH = (
    "run_id",
    "host_id",
    "envelope_id",
    "name",
    "name_key",
    "display_name",
    "address",
    "store",
    "terminal",
    "role",
    "provider",
    "action",
    "dry_run",
    "outcome",
    "reason",
    "detail",
    "message",
    "started_at",
    "finished_at",
)
_OUTCOMES = Bulk(Outcome, shared=("agent", "network_id", "seen_at"), each=_EACH)


def _outcome(told: Told) -> Row:
    """The columns of ``_EACH``."""
    body = told.body
    assert isinstance(body, HostOutcome)  # noqa: S101  # what it is called with
    host = body.host
    return (
        body.run_id,
        _cut(host.id, 255),
        told.envelope_id,
        _cut(host.name, 255),
        _cut(host.name.lower(), 255),
        visible(host.display_name),
        _cut(host.address, 64),
        host.store,
        host.terminal,
        _code(host.role, 32),
        _code(host.provider, 32),
        _code(body.action, 64),
        body.dry_run,
        _code(body.outcome, 32),
        _code(body.reason, 64),
        _shown(body.detail),
        visible(body.message),
        _instant(body.started_at),
        _instant(body.finished_at),
    )


def _shown(text: str | None) -> str | None:
    """Made visible, because PostgreSQL takes no NUL, and people read it."""
    return None if text is None else visible(text)


def _cut(text: str | None, length: int) -> str | None:
    return None if text is None else visible(text)[:length]


# Of these there are few, and each comes with every host.
_code = lru_cache(1024)(_cut)


def _instant(value: dt.datetime | None) -> dt.datetime | None:
    """In UTC; None for one that has no time there: the first or last day of the calendar, in another zone."""
    try:
        return None if value is None else value.astimezone(dt.UTC)
    except OverflowError:
        return None
