"""Keeps the local state in order: old rows go, runs whose process died are closed."""

from __future__ import annotations

import asyncio

import structlog

from runtime.adapters.state.retention import maintain
from runtime.adapters.state.runs import reap
from runtime.domain.errors import RunError
from runtime.services.heartbeat import ClockWatch
from runtime.wiring import Installation

log = structlog.get_logger("daemon")


async def apply_retention(installation: Installation, clock: ClockWatch) -> None:
    """Nothing is deleted without a configuration, which says how long to keep what, nor on a clock that may be wrong."""
    try:
        delivery = installation.document().config.delivery
    except RunError:
        return  # the configuration's own service says why there is none
    done = await asyncio.to_thread(
        maintain,
        installation.state,
        keep_days=delivery.keep_days,
        outbox_limit=delivery.outbox_limit,
        trust=await clock.judge(),
    )
    log.info("maintained", done=str(done))


async def close_dead_runs(installation: Installation) -> None:
    """A run whose process died leaves hosts open: they become `unknown`."""
    reaped = await asyncio.to_thread(reap, installation.state, installation.clock.now())
    for run_id, hosts in reaped.items():
        log.warning("run_died", run_id=run_id, open_hosts=hosts)
