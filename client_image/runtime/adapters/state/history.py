"""Questions to the local state: `runs`, `why <host>`, `doctor`. Plain dataclasses for the command line and its JSON.

Outcomes and reasons are texts here: a later release may have written ones that this one does not know.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from contracts.stored_text import restored
from runtime.adapters.state.codec import loads, stored_name
from runtime.adapters.state.ledger import DONE, RUNNING
from runtime.adapters.state.outbox.limits import OutboxCounts, count_outbox
from runtime.adapters.state.recovery_log import FIRST_USE_BLOCKED, loss_in
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import host_keys, meta, run_hosts, runs
from runtime.domain.host_names import names_of


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. ``outcomes`` counts its hosts by outcome, ``open`` those without one yet; ``reason`` and ``message``: why it had
    no host at all; ``actor`` and ``purpose``: who asked, and why; ``missing``: values of its filters that selected nothing."""

    run_id: str
    correlation_id: str
    network: str
    action: str
    asked: str
    provider: str | None
    origin: str
    dry_run: bool
    state: str
    exit_code: int | None
    reason: str | None
    message: str | None
    cancel_requested_by: str | None
    hosts: int
    open: int
    outcomes: Mapping[str, int]
    params: Mapping[str, Any]
    selector: Mapping[str, Any]
    actor: str
    purpose: str | None
    missing: Sequence[Mapping[str, Any]]
    started_at: dt.datetime
    finished_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host in one run. ``result`` is the whole result in the shape of core.wire, empty while ``state`` is not done."""

    run_id: str
    action: str
    asked: str
    origin: str
    actor: str
    purpose: str | None
    dry_run: bool
    name: str
    display_name: str
    network: str
    address: str
    store: int | None
    terminal: int | None
    provider: str
    state: str
    stage: str | None
    outcome: str | None
    reason: str | None
    message: str | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    result: Mapping[str, Any]

    @property
    def plan(self) -> tuple[str, ...]:
        """What was changed, or under dry-run would be, with the values before and after where there are any."""
        return tuple(map(str, self.result.get("plan", ())))

    @property
    def gates(self) -> tuple[Mapping[str, Any], ...]:
        """What each gate said: ``gate``, ``allowed``, ``text``, in the order they were asked."""
        return tuple(self.result.get("gates", ()))


@dataclass(frozen=True, slots=True)
class Counts:
    """How full the state is. ``first_use_blocked``: why hosts without a pinned key are refused, None when they are not."""

    runs: int
    running: int
    results: int
    host_keys: int
    outbox: OutboxCounts
    first_use_blocked: str | None


def list_runs(state: State, *, limit: int = 20) -> tuple[RunRecord, ...]:
    """The last runs, newest first."""
    with state.read() as connection:
        newest = select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(limit)
        return _run_records(connection, newest)


def runs_like(state: State, beginning: str, *, limit: int) -> tuple[RunRecord, ...]:
    """The last runs whose ids begin so, newest first. ``beginning``: digits of an id, no wildcard."""
    with state.read() as connection:
        alike = select(runs).where(runs.c.run_id.startswith(beginning, autoescape=True))
        return _run_records(connection, alike.order_by(runs.c.started_at.desc()).limit(limit))


def known_host_names(state: State) -> dict[str, str]:
    """Every host that any run has considered: name -> visible name."""
    with state.read() as connection:
        names = select(run_hosts.c.name, func.max(run_hosts.c.display_name)).group_by(run_hosts.c.name)
        return dict(connection.execute(names).all())


def find_run(state: State, run_id: str) -> tuple[RunRecord, tuple[HostRecord, ...]] | None:
    """A run and its hosts in the order of its selection; None when it is not known (any more)."""
    with state.read() as connection:
        found = _run_records(connection, select(runs).where(runs.c.run_id == run_id))
        if not found:
            return None
        return found[0], _host_records(connection, run_hosts.c.run_id == run_id)


def why(
    state: State,
    *,
    name: str | None = None,
    address: str | None = None,
    store: int | None = None,
    terminal: int | None = None,
    network: str | None = None,
    limit: int = 5,
) -> tuple[HostRecord, ...]:
    """What was decided about a host in its last runs, newest first. Every given part must fit; ``name`` as in
    :func:`technical_name`. Raises UsageFault for one that means several hosts."""
    if name is not None:
        name = technical_name(state, name)
        if name is None:
            return ()
    given: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (run_hosts.c.address, address),
            (run_hosts.c.store, store),
            (run_hosts.c.terminal, terminal),
            (run_hosts.c.network, network),
        )
        if value is not None
    ]
    if name is not None:
        given.append(run_hosts.c.name == stored_name(name))
    if not given:
        return ()
    with state.read() as connection:
        return _host_records(connection, and_(*given), newest=limit)


@dataclass(frozen=True, slots=True)
class KnownName:
    """How a host was called when a run last considered it."""

    name: str
    display_name: str


def technical_name(state: State, text: str) -> str | None:
    """The host that a person means, as far as past runs tell, by the rule of :mod:`runtime.domain.host_names`; None: nobody."""
    alike = or_(run_hosts.c.name == text.strip(), func.lower(run_hosts.c.display_name) == text.strip().lower())
    newest = select(func.max(run_hosts.c.id)).where(
        run_hosts.c.name.in_(select(run_hosts.c.name).where(alike).distinct())
    )
    query = select(run_hosts.c.name, run_hosts.c.display_name).where(
        run_hosts.c.id.in_(newest.group_by(run_hosts.c.name))
    )
    with state.read() as connection:
        known = [KnownName(row.name, row.display_name) for row in connection.execute(query)]
    return names_of(known).meant(text)


def count(state: State) -> Counts:
    with state.read() as connection:

        def number(query: Select[Any]) -> int:
            return int(connection.scalar(query) or 0)

        rows = select(func.count())
        blocked = select(meta.c.value).where(meta.c.key == FIRST_USE_BLOCKED)
        return Counts(
            runs=number(rows.select_from(runs)),
            running=number(rows.select_from(runs).where(runs.c.state == RUNNING)),
            results=number(rows.select_from(run_hosts).where(run_hosts.c.state == DONE)),
            host_keys=number(rows.select_from(host_keys).where(host_keys.c.retired_at.is_(None))),
            outbox=count_outbox(connection),
            first_use_blocked=None if (loss := connection.scalar(blocked)) is None else loss_in(loss),
        )


def _run_records(connection: Connection, query: Select[Any]) -> tuple[RunRecord, ...]:
    rows = connection.execute(query).all()
    ids = [row.run_id for row in rows]
    counted = (
        select(run_hosts.c.run_id, run_hosts.c.outcome, func.count().label("number"))
        .where(run_hosts.c.run_id.in_(ids))
        .group_by(run_hosts.c.run_id, run_hosts.c.outcome)
    )
    outcomes: dict[str, dict[str, int]] = {run_id: {} for run_id in ids}
    still_open = dict.fromkeys(ids, 0)
    for row in connection.execute(counted):
        if row.outcome is None:
            still_open[row.run_id] = row.number
        else:
            outcomes[row.run_id][row.outcome] = row.number
    return tuple(_run_record(row, still_open[row.run_id], outcomes[row.run_id]) for row in rows)


def _run_record(row: Row[Any], still_open: int, outcomes: Mapping[str, int]) -> RunRecord:
    return RunRecord(
        run_id=row.run_id,
        correlation_id=row.correlation_id,
        network=row.network,
        action=row.action,
        asked=row.asked,
        provider=row.provider,
        origin=row.origin,
        dry_run=row.dry_run,
        state=row.state,
        exit_code=row.exit_code,
        reason=row.reason,
        message=_in_words(row.message, row.sentences),
        cancel_requested_by=row.cancel_requested_by,
        hosts=row.hosts,
        open=still_open,
        outcomes=outcomes,
        params=loads(row.params) or {},
        selector=loads(row.selector) or {},
        actor=row.actor or "",
        purpose=row.purpose,
        missing=loads(row.missing) or (),
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _host_records(
    connection: Connection, where: ColumnElement[bool], *, newest: int | None = None
) -> tuple[HostRecord, ...]:
    of_run = (runs.c.action, runs.c.asked, runs.c.origin, runs.c.actor, runs.c.purpose, runs.c.dry_run)
    query = select(run_hosts, *of_run).join(runs).where(where)
    ordered = query.order_by(run_hosts.c.id) if newest is None else query.order_by(run_hosts.c.id.desc()).limit(newest)
    return tuple(
        HostRecord(
            run_id=row.run_id,
            action=row.action,
            asked=row.asked,
            origin=row.origin,
            actor=row.actor or "",
            purpose=row.purpose,
            dry_run=row.dry_run,
            name=row.name,
            display_name=row.display_name,
            network=row.network,
            address=row.address,
            store=row.store,
            terminal=row.terminal,
            provider=row.provider,
            state=row.state,
            stage=row.stage,
            outcome=row.outcome,
            reason=row.reason,
            message=_in_words(row.message, row.sentences),
            started_at=row.started_at,
            finished_at=row.finished_at,
            result=_in_words(loads(row.result) or {}, row.sentences),
        )
        for row in connection.execute(ordered)
    )


def _in_words(stored: Any, sentences: str | None) -> Any:
    """What was stored in English, with every sentence that can be translated as one."""
    known = loads(sentences)
    return restored(stored, known) if isinstance(known, dict) else stored


def usual_seconds(state: State, last: int = 5) -> dict[str, float]:
    """Job id -> mean duration of its last runs that came to an end, for jobs that have run."""
    of_job = runs.c.origin.startswith("schedule:") & runs.c.finished_at.is_not(None)
    newest = func.row_number().over(partition_by=runs.c.origin, order_by=runs.c.run_id.desc())
    ranked = select(runs.c.origin, runs.c.started_at, runs.c.finished_at, newest.label("rank")).where(of_job).subquery()
    durations: dict[str, list[float]] = {}
    with state.read() as connection:
        for row in connection.execute(select(ranked).where(ranked.c.rank <= last)):
            seconds = max(0.0, (row.finished_at - row.started_at).total_seconds())
            durations.setdefault(row.origin.removeprefix("schedule:"), []).append(seconds)
    return {job_id: sum(each) / len(each) for job_id, each in durations.items()}
