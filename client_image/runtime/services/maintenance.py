"""Keeps the local state in order: old rows go, runs whose process died are closed."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from runtime.adapters.config_store import ConfigStore
from runtime.adapters.state.retention import maintain, make_room
from runtime.adapters.state.runs import reap
from runtime.adapters.state.store import State
from runtime.domain.errors import RunError
from runtime.domain.ports import Clock
from runtime.services.heartbeat import ClockWatch

log = structlog.get_logger("daemon")


async def apply_retention(state: State, store: ConfigStore, watch: ClockWatch) -> None:
    """Nothing is deleted without a configuration, which says how long to keep what, nor on a clock that may be wrong."""
    try:
        delivery = store.load().document.config.delivery
    except RunError:
        return  # the configuration's own service says why it is missing
    done = await asyncio.to_thread(
        maintain,
        state,
        keep_days=delivery.keep_days,
        outbox_limit=delivery.outbox_limit,
        trust=await watch.judge(),
    )
    log.info("maintained", done=str(done))


async def keep_room(state: State, store: ConfigStore, clock: Clock) -> None:
    """What cannot be delivered must not take the last of the disk, which runs need to record what they do."""
    try:
        delivery = store.load().document.config.delivery
    except RunError:
        return
    make = partial(make_room, state, outbox_limit=delivery.outbox_limit, now=clock.now())
    if dropped := await asyncio.to_thread(make):
        log.warning("outbox_dropped", dropped=dropped, message="the disk is almost full; rows that wait were dropped")


async def close_dead_runs(state: State, clock: Clock) -> None:
    """A run whose process died leaves hosts open: they become `unknown`."""
    reaped = await asyncio.to_thread(reap, state, clock.now())
    for run_id, hosts in reaped.items():
        log.warning("run_died", run_id=run_id, open_hosts=hosts)
