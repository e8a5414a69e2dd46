"""The fleet's runs and outcomes, for people. Called by the CLI."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, and_, func, or_, select, tuple_

from contracts.bodies import HostOutcome
from contracts.envelope import day_of
from contracts.text import plural, say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.storage.models import Agent, Client, Envelope, Network, Outcome, Run
from server.storage.session import Reader

_BODY = msgspec.json.Decoder(HostOutcome)
_NEAR = 10


@dataclass(frozen=True, slots=True)
class RunRow:
    """``outcomes``: hosts by outcome, of those that have told. ``exit_code``: None while it is at work, or as far as is known."""

    run: str
    client: str
    network: str
    agent: str
    action: str | None
    dry_run: bool | None
    origin: str | None
    actor: str | None
    purpose: str | None
    hosts: int | None
    outcomes: Mapping[str, int]
    exit_code: int | None
    reason: str | None
    message: str | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """``gates``: name, whether it let the host pass, and why; empty once the envelope is no longer kept."""

    name: str
    client: str
    network: str
    address: str
    store: int | None
    terminal: int | None
    action: str
    dry_run: bool
    outcome: str
    reason: str
    detail: str | None
    message: str
    gates: Sequence[Mapping[str, Any]]
    run: str
    agent: str
    finished_at: dt.datetime | None


def list_runs(
    reader: Reader, *, client_id: int | None, since: dt.datetime | None, failed: bool, most: int
) -> list[RunRow]:
    """The newest first. ``failed``: only those that ended with another exit code than 0."""
    query = _RUNS.order_by(func.coalesce(Run.started_at, Run.seen_at).desc(), Run.run_id).limit(most)
    if client_id is not None:
        query = query.where(Network.client_id == client_id)
    if since is not None:
        query = query.where(Run.seen_at >= since)
    if failed:
        query = query.where(Run.exit_code != 0)
    return _with_outcomes(reader, reader.execute(query).all())


def find_run(reader: Reader, beginning: str) -> tuple[RunRow, list[OutcomeRow]]:
    """By the beginning of an id that only one run has, with all its hosts. Refusal: run_unknown."""
    query = _RUNS.where(Run.run_id.startswith(beginning, autoescape=True)).limit(2)
    found = reader.execute(query).all() if beginning else []
    if len(found) != 1:
        says = (
            say("several runs have an id that begins with {id}", id=quoted(beginning))
            if found
            else say("no run has an id that begins with {id}", id=quoted(beginning))
        )
        raise Refusal(table.RUN_UNKNOWN, says=says)
    [run] = _with_outcomes(reader, found)
    of_it = _OUTCOMES.where(Outcome.run_id == run.run, Outcome.agent == found[0].row_id).order_by(Outcome.name)
    return run, _outcomes(reader, of_it, gates=False)


def why(reader: Reader, host: str, *, client_id: int | None, most: int) -> list[OutcomeRow]:
    """The last outcomes of a host, with the gates: by its name, its address, or the end of a name that only one host has.
    Refusal: host_unknown."""
    asked = host.strip().lower()
    mine = () if client_id is None else (Network.client_id == client_id,)
    exact = or_(Outcome.name_key == asked, Outcome.address == asked)
    last_told = func.coalesce(Outcome.finished_at, Outcome.seen_at)  # a backlog arrives with the newest first
    newest = _OUTCOMES.where(*mine).order_by(last_told.desc(), Outcome.run_id.desc()).limit(most)
    if found := _outcomes(reader, newest.where(exact), gates=True):
        return found
    ends = Outcome.name_key.endswith(asked, autoescape=True)
    known = select(Network.client_id, Outcome.name_key).join(Network, Network.id == Outcome.network_id)
    names = reader.execute(known.where(*mine, ends).distinct().limit(_NEAR)).all() if asked else []
    if len(names) == 1:
        client, name = names[0]
        return _outcomes(reader, newest.where(Outcome.name_key == name, Network.client_id == client), gates=True)
    if not names:
        raise Refusal(table.HOST_UNKNOWN, says=say("no agent has told of a host {host}", host=quoted(host)))
    says = plural("{n} host ends like {host}", "{n} hosts end like {host}", len(names), host=quoted(host))
    raise Refusal(
        table.HOST_UNKNOWN, says=says, do=say("give more of the name: {names}", names=", ".join(n for _, n in names))
    )


_RUNS: Any = (
    select(
        Run.agent.label("row_id"),
        Run.run_id,
        Client.name.label("client"),
        Network.code.label("network"),
        Agent.agent_id,
        Run.action,
        Run.dry_run,
        Run.origin,
        Run.actor,
        Run.purpose,
        Run.hosts,
        Run.exit_code,
        Run.reason,
        Run.message,
        Run.started_at,
        Run.finished_at,
        Run.correlation_id,
    )
    .join(Agent, Agent.id == Run.agent)
    .join(Network, Network.id == Run.network_id)
    .join(Client, Client.id == Network.client_id)
)
_OUTCOMES: Any = (
    select(
        Outcome.__table__,
        Client.name.label("client"),
        Network.code.label("network"),
        Agent.agent_id,
    )
    .join(Agent, Agent.id == Outcome.agent)
    .join(Network, Network.id == Outcome.network_id)
    .join(Client, Client.id == Network.client_id)
)


def _with_outcomes(reader: Reader, rows: Sequence[Row[Any]]) -> list[RunRow]:
    counted: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    keys = [(row.row_id, row.run_id) for row in rows]
    counts = select(Outcome.agent, Outcome.run_id, Outcome.outcome, func.count()).where(
        tuple_(Outcome.agent, Outcome.run_id).in_(keys)
    )
    for agent, run, outcome, number in reader.execute(counts.group_by(Outcome.agent, Outcome.run_id, Outcome.outcome)):
        counted[agent, run][outcome] = number
    return [
        RunRow(
            run=row.run_id,
            client=row.client,
            network=row.network,
            agent=row.agent_id,
            action=row.action,
            dry_run=row.dry_run,
            origin=row.origin,
            actor=row.actor,
            purpose=row.purpose,
            hosts=row.hosts,
            outcomes=dict(sorted(counted[row.row_id, row.run_id].items())),
            exit_code=row.exit_code,
            reason=row.reason,
            message=row.message,
            started_at=row.started_at,
            finished_at=row.finished_at,
            correlation_id=row.correlation_id,
        )
        for row in rows
    ]


def _outcomes(reader: Reader, query: Any, *, gates: bool) -> list[OutcomeRow]:
    return [
        OutcomeRow(
            name=row.name,
            client=row.client,
            network=row.network,
            address=row.address,
            store=row.store,
            terminal=row.terminal,
            action=row.action,
            dry_run=row.dry_run,
            outcome=row.outcome,
            reason=row.reason,
            detail=row.detail,
            message=row.message,
            gates=_gates(reader, row) if gates else (),
            run=row.run_id,
            agent=row.agent_id,
            finished_at=row.finished_at,
        )
        for row in reader.execute(query).all()
    ]


def _gates(reader: Reader, row: Row[Any]) -> Sequence[Mapping[str, Any]]:
    day = day_of(row.envelope_id.hex)
    its = and_(Envelope.agent == row.agent, Envelope.day == day, Envelope.envelope_id == row.envelope_id)
    body = reader.scalar(select(Envelope.body).where(its))
    try:
        return [msgspec.structs.asdict(gate) for gate in _BODY.decode(body).gates] if body else ()
    except msgspec.MsgspecError:
        return ()
