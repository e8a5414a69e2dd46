"""Results as plain JSON values: one shape for stdout, the local state and the outbox. Secrets never get this far."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from runtime.domain.filters import selector_json
from runtime.domain.model import Host, HostResult, Missing, RunInfo, RunReport


def host_json(host: Host) -> dict[str, Any]:
    return {
        "id": host.id,
        "name": host.name,
        "display_name": host.display_name or host.name,
        "network": host.network,
        "address": host.address,
        "port": host.port,
        "store": host.store,
        "terminal": host.terminal,
        "role": host.role,
        "provider": host.provider,
        "identity": host.identity,
    }


def missing_json(one: Missing) -> dict[str, Any]:
    return {
        "option": one.option,
        "value": one.value,
        "matches": one.matches,
        "near": list(one.near),
        "left_out": one.left_out,
    }


def run_json(info: RunInfo) -> dict[str, Any]:
    return {
        "run_id": info.run_id,
        "correlation_id": info.correlation_id,
        "agent_id": info.agent_id,
        "network": info.network,
        "action": info.action,
        "action_version": info.action_version,
        "asked": info.asked,
        "provider": info.provider,
        "origin": info.origin,
        "dry_run": info.dry_run,
        "compat_mode": info.compat_mode,
        "params": dict(info.params),
        "selector": selector_json(info.selector),
        "actor": info.actor,
        "purpose": info.purpose or None,
        "missing": [missing_json(one) for one in info.missing],
        "started_at": instant(info.started_at),
    }


def result_json(info: RunInfo, result: HostResult) -> dict[str, Any]:
    return {
        "host": host_json(result.host),
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "detail": result.detail or None,
        "message": result.message,
        "gates": [{"gate": g.gate, "allowed": g.allowed, "text": g.text} for g in result.gates],
        "steps": [
            {"name": s.name, "status": s.status, "exit_code": s.exit_code, "output": s.output} for s in result.steps
        ],
        "plan": list(result.plan),
        "stages": [{"name": s.name, "state": s.state, "summary": list(s.summary)} for s in result.stages],
        "changes": [{"name": c.name, "before": c.before, "after": c.after} for c in result.changes],
        "facts": dict(result.facts),
        "report": dict(result.report),
        "compatibility": dict(result.compatibility),
        "durations": dict(result.durations),
        "attempts": result.attempts,
        "started_at": instant(result.started_at),
        "finished_at": instant(result.finished_at),
        "action": info.action,
        "dry_run": info.dry_run,
        "run_id": info.run_id,
        "correlation_id": info.correlation_id,
        "agent_id": info.agent_id,
    }


def report_json(report: RunReport) -> dict[str, Any]:
    return {
        "run": {**run_json(report.info), "finished_at": instant(report.finished_at)},
        "hosts": [result_json(report.info, result) for result in report.results],
        "summary": summary(report.results),
        "exit_code": report.exit_code,
    }


def summary(results: Iterable[HostResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        counts[result.outcome.value] = counts.get(result.outcome.value, 0) + 1
    return counts


def instant(value: dt.datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    return None if value is None else value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
