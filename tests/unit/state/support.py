"""Hosts, runs and results for the tests of the local state, and a clock that stands where it was put."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from contracts.ids import uuid7
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import outbox, run_hosts
from runtime.domain.model import GateRecord, Host, HostResult, Outcome, Reason, RunInfo, Selector, StepRecord

NOON = dt.datetime(2026, 3, 14, 12, 0, tzinfo=dt.UTC)


@dataclass
class StillClock:
    """A clock of the Clock protocol that moves only when told. ``set_by``: seconds by which somebody has set the wall clock, of
    which the monotonic one knows nothing."""

    at: dt.datetime = NOON
    set_by: float = 0.0

    def now(self) -> dt.datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp() - self.set_by


def make_hosts(number: int, network: str = "acme") -> list[Host]:
    return [
        Host(
            id=str(10_000 + i),
            name=f"{network}-Loja{i // 20:03}-PDV{i % 20:02}",
            network=network,
            address=f"10.1.{i // 250}.{i % 250}",
            display_name=f"Till {i}",
            store=i // 20,
            terminal=i % 20,
            role="checkout",
        )
        for i in range(number)
    ]


def make_info(run_id: str | None = None, **changes: Any) -> RunInfo:
    values: dict[str, Any] = {
        "run_id": run_id or uuid7(),
        "correlation_id": uuid7(),
        "agent_id": "0190a0a0-0000-7000-8000-000000000000",
        "network": "acme",
        "action": "update_endpoint_timezone",
        "action_version": "1",
        "provider": None,
        "asked": "atualiza_timezone",
        "origin": "manual",
        "dry_run": False,
        "compat_mode": "warn",
        "params": {"zone": "America/Sao_Paulo"},
        "selector": Selector(all=True),
        "started_at": NOON,
    }
    return RunInfo(**{**values, **changes})


def make_result(
    host: Host, outcome: Outcome = Outcome.CHANGED, reason: Reason = Reason.CONFIRMED, **more: Any
) -> HostResult:
    values: dict[str, Any] = {
        "message": "the zone was set",
        "gates": (GateRecord("role", True, "checkout"), GateRecord("rollout", True)),
        "steps": (StepRecord("set zone", "done", 0, ""),),
        "facts": {"distro": "ubuntu", "version": "22.04"},
        "durations": {"total": 0.5},
        "started_at": NOON,
        "finished_at": NOON + dt.timedelta(seconds=1),
    }
    return HostResult(host, outcome, reason, **{**values, **more})


def open_state(folder: Path, now: dt.datetime = NOON) -> State:
    return State(folder, now=now)


async def complete_run(state: State, info: RunInfo, results: list[HostResult], exit_code: int = 0) -> None:
    """A run from begin to finish, each host recorded."""
    ledger = SqlLedger(state, StillClock(info.started_at))
    await ledger.begin(info, [result.host for result in results])
    await asyncio.gather(*(ledger.record(info.run_id, result) for result in results))
    await ledger.finish(info.run_id, exit_code)


def outbox_rows(state: State, kind: str | None = None) -> list[dict[str, Any]]:
    """Payloads in the order of their making."""
    query = select(outbox.c.payload).order_by(outbox.c.created_at, outbox.c.id)
    if kind is not None:
        query = query.where(outbox.c.kind == kind)
    with state.read() as connection:
        return [json.loads(row.payload) for row in connection.execute(query)]


def outcomes(state: State, run_id: str) -> dict[str, str | None]:
    """host id -> outcome."""
    query = select(run_hosts.c.host_id, run_hosts.c.outcome).where(run_hosts.c.run_id == run_id)
    with state.read() as connection:
        return dict(connection.execute(query).all())
