"""Implements the engine's Ledger: every host's way through a run, committed before and after it is touched.

Built by the composition roots, called by process_one; :func:`close_run` also by the reaper in :mod:`runtime.adapters.state.runs`.
What is awaited here is on disk when the await returns; a host's result and its outbox row are one transaction. A host that is
done stays as it is: the first record counts, so that a late or second one cannot make two outcomes of one.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.text import say
from contracts.visible import visible
from runtime.adapters.state.codec import (
    dumps,
    encode_result,
    encode_sentences,
    loads,
    result_sentences,
    stored_name,
)
from runtime.adapters.state.findings import findings
from runtime.adapters.state.outbox.put import Message, put
from runtime.adapters.state.outbox.topics import HOST_RESULT, RUN_FINISHED, RUN_STARTED, Topic, importance_of
from runtime.adapters.state.prepared import PreparedInsert
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import host_memory, run_hosts, runs
from runtime.domain import wire
from runtime.domain.errors import RunError, UsageFault
from runtime.domain.model import Host, HostResult, Outcome, Reason, RunInfo, Selector
from runtime.domain.model import exit_code as worst_of
from runtime.domain.ports import Clock
from runtime.domain.subjects import target_of

PENDING, AT_WORK, DONE = "pending", "at_work", "done"
RUNNING, FINISHED = "running", "finished"
# What is kept of a host besides its id: columns of ``run_hosts``, named as in :func:`runtime.domain.wire.host_json`.
_OF_HOST = ("name", "display_name", "network", "address", "port", "store", "terminal", "role", "provider")

_insert_host = upsert(run_hosts)
_RECORD = PreparedInsert(
    _insert_host.on_conflict_do_update(
        index_elements=[run_hosts.c.run_id, run_hosts.c.host_id],
        set_={
            **{
                name: _insert_host.excluded[name]
                for name in ("state", "outcome", "reason", "message", "result", "sentences", "finished_at")
            },
            "started_at": func.coalesce(run_hosts.c.started_at, _insert_host.excluded.started_at),
        },
        where=run_hosts.c.state != DONE,
    )
)
_AT_WORK = (
    update(run_hosts)
    .where(
        run_hosts.c.run_id == bindparam("of_run"),
        run_hosts.c.host_id == bindparam("of_host"),
        run_hosts.c.state != DONE,
    )
    .values(
        state=AT_WORK,
        stage=bindparam("now_stage"),
        started_at=func.coalesce(run_hosts.c.started_at, bindparam("now", type_=run_hosts.c.started_at.type)),
    )
)
_insert_seen = upsert(host_memory)
_SEEN = PreparedInsert(
    _insert_seen.on_conflict_do_update(
        index_elements=[host_memory.c.network, host_memory.c.name, host_memory.c.port],
        set_={"facts": _insert_seen.excluded.facts, "last_seen": _insert_seen.excluded.last_seen},
    )
)


class SqlLedger:
    """One ledger serves any number of runs of this process at the same time. All methods raise StateUnavailable."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock
        self._runs: dict[str, RunInfo] = {}

    async def begin(self, info: RunInfo, hosts: Sequence[Host]) -> None:
        """The run and all its hosts, pending, in one commit."""
        self._runs[info.run_id] = info
        rows = [{**_host_columns(host), "run_id": info.run_id, "state": PENDING} for host in hosts]
        await self._state.awrite(partial(_begin, info, rows))

    async def at_work(self, run_id: str, host: Host, stage: str) -> None:
        """Raises RuntimeError when the host has its outcome already: then nothing may be sent to it any more."""
        values = {"of_run": run_id, "of_host": host.id, "now_stage": visible(stage), "now": self._clock.now()}
        touched = await self._state.awrite(lambda connection: connection.execute(_AT_WORK, values).rowcount)
        if not touched:
            raise RuntimeError(f"host {host.name} is not open in run {run_id}")

    async def record(self, run_id: str, result: HostResult) -> None:
        await self._state.awrite_item(_record, (self._runs[run_id], result, self._clock.now()))

    async def finish(self, run_id: str, exit_code: int) -> None:
        """Hosts that got no result are closed as the reaper would do it: every host considered has exactly one outcome."""
        await self._state.awrite(partial(close_run, run_id=run_id, now=self._clock.now(), exit_code=exit_code))
        self._runs.pop(run_id, None)

    async def refuse(self, info: RunInfo, error: RunError) -> None:
        now = self._clock.now()

        def work(connection: Connection) -> None:
            _begin(info, [], connection)
            close_run(connection, run_id=info.run_id, now=now, exit_code=error.exit_code, error=error)

        await self._state.awrite(work)


def close_run(
    connection: Connection,
    *,
    run_id: str,
    now: dt.datetime,
    exit_code: int | None = None,
    error: RunError | None = None,
) -> int | None:
    """Give every open host its outcome and end the run. Returns how many hosts were open, None when it had ended before.

    ``exit_code`` None: by the worst of the outcomes. ``error``: why the run had no host.
    """
    run = connection.execute(select(runs).where(runs.c.run_id == run_id, runs.c.state == RUNNING)).one_or_none()
    if run is None:
        return None
    info = _info(run)
    open_hosts = select(run_hosts).where(run_hosts.c.run_id == run_id, run_hosts.c.state != DONE)
    still_open = connection.execute(open_hosts).all()
    _record(connection, [(info, _cut_short(row, now), now) for row in still_open])
    counted = select(run_hosts.c.outcome, func.count()).where(run_hosts.c.run_id == run_id)
    outcomes: dict[str, int] = dict(connection.execute(counted.group_by(run_hosts.c.outcome)).all())
    code = worst_of(outcomes) if exit_code is None else exit_code
    why = {"reason": error.reason, "message": visible(error.message)} if error else {}
    ended = {"state": FINISHED, "exit_code": code, "finished_at": now, **why}
    if error:
        ended["sentences"] = encode_sentences([error.message])
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(ended))
    payload = {"run_id": run_id, "exit_code": code, "summary": outcomes, "finished_at": wire.instant(now), **why}
    put(connection, [_message(RUN_FINISHED, info, dumps(payload), now)])
    return len(still_open)


def _begin(info: RunInfo, rows: list[dict[str, Any]], connection: Connection) -> None:
    if connection.scalar(select(runs.c.run_id).where(runs.c.run_id == info.run_id)) is not None:
        advice = say("leave --run-id out (and FLAGEEMONITOR_INVOCATION), or give another one")
        text = say("there is a run {run} already: an id is for one run", run=info.run_id)
        raise UsageFault("run_id_taken", text, advice)
    described = wire.run_json(info)
    values = {
        **described,
        "params": dumps(described["params"]),
        "selector": dumps(described["selector"]),
        "missing": dumps(described["missing"]) if described["missing"] else None,
        "actor": visible(info.actor),
        "purpose": visible(info.purpose) or None,
        "pid": os.getpid(),
        "hosts": len(rows),
        "state": RUNNING,
        "started_at": info.started_at,
    }
    connection.execute(insert(runs), values)
    if rows:
        connection.execute(insert(run_hosts), rows)
    body = dumps({**described, "hosts": len(rows)})
    put(connection, [_message(RUN_STARTED, info, body, info.started_at)])


def _record(connection: Connection, records: Sequence[tuple[RunInfo, HostResult, dt.datetime]]) -> None:
    """Results, their outbox rows, and what was seen of the hosts. Raises when one of several hosts is done already."""
    results, messages, seen = [], [], []
    for info, result, now in records:
        encoded, host = encode_result(info, result), result.host
        results.append(
            {
                **_host_columns(host),
                "run_id": info.run_id,
                "state": DONE,
                "outcome": result.outcome.value,
                "reason": result.reason.value,
                "message": visible(result.message),
                "result": encoded,
                "sentences": result_sentences(result),
                "started_at": result.started_at,
                "finished_at": result.finished_at or now,
            }
        )
        messages.append(_message(HOST_RESULT, info, encoded, now, importance_of(result)))
        if result.facts:
            place = {"network": host.network, "name": host.name.lower(), "port": host.port}
            seen.append({**place, "facts": dumps(result.facts), "last_seen": now})
    if not results:
        return
    written = _RECORD.execute(connection, results)
    if written == len(results):
        for info, result, now in records:
            messages += findings(connection, info, result, now)
        put(connection, messages)
        if seen:
            _SEEN.execute(connection, seen)
    elif len(results) > 1:
        raise RuntimeError("some of these hosts are done already")  # the writer then asks for each alone


def _message(topic: Topic, info: RunInfo, body: str, now: dt.datetime, importance: int | None = None) -> Message:
    return Message(topic, body, info.correlation_id, now, info.run_id, importance)


def _host_columns(host: Host) -> dict[str, Any]:
    described = wire.host_json(host)
    names = {name: stored_name(described[name]) for name in ("name", "display_name")}
    return {"host_id": host.id, **{name: described[name] for name in _OF_HOST}, **names}


def _info(row: Row[Any]) -> RunInfo:
    """The run of a row, as far as its results tell of it; the selector stays in its column."""
    return RunInfo(
        run_id=row.run_id,
        correlation_id=row.correlation_id,
        agent_id=row.agent_id,
        network=row.network,
        action=row.action,
        action_version=row.action_version,
        provider=row.provider,
        asked=row.asked,
        origin=row.origin,
        dry_run=row.dry_run,
        compat_mode=row.compat_mode,
        params=loads(row.params) or {},
        selector=Selector(),
        started_at=row.started_at,
        actor=row.actor or "",
        purpose=row.purpose or "",
    )


def _cut_short(row: Row[Any], now: dt.datetime) -> HostResult:
    """The outcome of a host whose process ended: what had begun is unknown, the rest was only looked at."""
    host = Host(id=row.host_id, **{name: getattr(row, name) for name in _OF_HOST})
    if row.state == AT_WORK:
        text = _lost_during(row.stage, host.id)
        outcome, reason = Outcome.UNKNOWN, Reason.KILLED
    else:
        text = _never_begun(host.id)
        outcome, reason = Outcome.CANCELLED, Reason.NOT_STARTED
    return HostResult(host, outcome, reason, text, detail=row.stage or "", started_at=row.started_at, finished_at=now)


def _lost_during(stage: str, host_id: str) -> str:
    match target_of(host_id):
        case "terminal":
            return say("the process ended during {stage}; what the terminal did with it is not known", stage=stage)
        case "concentrator":
            return say("the process ended during {stage}; what the concentrator did with it is not known", stage=stage)
        case "network":
            return say("the process ended during {stage}; whether it was done is not known", stage=stage)


def _never_begun(host_id: str) -> str:
    match target_of(host_id):
        case "terminal":
            return say("the process ended before anything was sent to this host")
        case "concentrator":
            return say("the process ended before anything was done at this concentrator")
        case "network":
            return say("the process ended before anything was done in this network")
