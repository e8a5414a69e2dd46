"""Agents in numbers and pages, as an operator may see them: how many are in which state, who is at work, what waits.

Called by :mod:`server.api.agents`. What an agent said last is read only for those that are shown.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import Select, select

from server.services.agents.listing import AGENT_COLUMNS
from server.services.agents.presence import State, state_at
from server.services.clients import visible_client
from server.storage.models import Agent, AgentReport, Client, Network
from server.storage.session import Reader

STATES: Final[tuple[State, ...]] = get_args(State)
# Those that were heard not long ago.
AT_WORK: Final[frozenset[State]] = frozenset({"online", "late"})
Clients = frozenset[int] | None  # row ids that the one who asks may see; None: all
_SILENT = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """Which agents. ``clients``: those that may be seen at all. ``agent_id``: as the host made it."""

    clients: Clients
    client: str | None = None
    network: str | None = None
    agent_id: str | None = None
    states: frozenset[State] = frozenset(STATES)


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """``silent_s``: since it was heard. ``waiting``: envelopes in its outbox, the oldest ``oldest_s`` old; ``running``: runs at
    work; ``clock_s``: by how much its clock is ahead. All as it said last; None where it did not say."""

    agent_id: str
    client: str
    network: str
    hostname: str
    state: State
    seen_at: dt.datetime | None
    silent_s: int | None
    interval_s: int | None
    version: str | None
    mode: str | None
    uptime_s: int | None
    waiting: int | None
    oldest_s: int | None
    running: int
    clock_s: int | None
    trouble: tuple[str, ...]
    enrolment: int
    enrolled_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Page:
    """``counts``: by state, also of states that were left out. ``next``: where the next page begins."""

    counts: Mapping[State, int]
    agents: Sequence[AgentStatus]
    next: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """``ok``: every agent that is in service is online and none tells of trouble; ``down``: none is heard, and some should be.

    ``silent``: late and offline ones, the longest silent first, at most 20. ``waiting`` and ``running`` are sums of those heard.
    """

    status: Literal["ok", "degraded", "down"]
    counts: Mapping[State, int]
    running: int
    waiting: int
    oldest_s: int
    trouble: int
    versions: Mapping[str, int]
    silent: Sequence[AgentStatus]


class _Outbox(msgspec.Struct):
    waiting: int = 0
    oldest_s: int | None = None


class _Said(msgspec.Struct):
    """What is read of a report."""

    mode: str | None = None
    uptime_s: int | None = None
    outbox: _Outbox | None = None
    runs: list[str] = []
    trouble: list[str] = []


_SAID = msgspec.json.Decoder(_Said)


def agents_page(reader: Reader, asked: Asked, now: dt.datetime, *, limit: int, after: str | None = None) -> Page:
    """Agents in the order of their rows' ids, which is that of their first enrolment. ``after``: ``next`` of the page before.

    Refusal: client_unknown.
    """
    rows = reader.execute(_chosen(reader, asked)).all()
    counts = _counts(rows, now)
    chosen = [row for row in rows if _state(row, now) in asked.states and (after is None or row.id > after)]
    shown = chosen[:limit]
    reports = _reports(reader, [row.id for row in shown])
    more = shown[-1].id if len(chosen) > limit else None
    return Page(counts, [_status(row, reports.get(row.id, _Said()), now) for row in shown], more)


def health(reader: Reader, asked: Asked, now: dt.datetime) -> Health:
    """Refusal: client_unknown."""
    rows = reader.execute(_chosen(reader, asked)).all()
    counts = _counts(rows, now)
    heard = [row for row in rows if _state(row, now) in AT_WORK]
    said = _reports(reader, [row.id for row in heard])
    outboxes = [one.outbox for one in said.values() if one.outbox]
    trouble = sum(bool(one.trouble) for one in said.values())
    missing = sorted((row for row in rows if _state(row, now) in ("late", "offline")), key=lambda row: row.seen_at)
    in_service = sum(number for state, number in counts.items() if state not in ("retired", "never"))
    well = counts["online"] == in_service and not trouble
    silent = [_status(row, said.get(row.id, _Said()), now) for row in missing[:_SILENT]]
    return Health(
        status="ok" if well else "degraded" if heard else "down",
        counts=counts,
        running=sum(len(one.runs) for one in said.values()),
        waiting=sum(one.waiting for one in outboxes),
        oldest_s=max((one.oldest_s or 0 for one in outboxes), default=0),
        trouble=trouble,
        versions=dict(sorted(Counter(row.version or "" for row in heard).items())),
        silent=silent,
    )


def agents_meant(reader: Reader, asked: Asked) -> tuple[list[str], Select[Any]] | None:
    """Row ids of the agents that are asked for, and a SELECT of the same; None for all that there are. ``states`` do not count.

    Refusal: client_unknown.
    """
    if asked.clients is None and asked.client is None and asked.network is None and asked.agent_id is None:
        return None
    query = _chosen(reader, asked).with_only_columns(Agent.id).order_by(None)
    return list(reader.scalars(query)), query


def _chosen(reader: Reader, asked: Asked) -> Select[Any]:
    query = (
        select(*AGENT_COLUMNS)
        .join(Network, Network.id == Agent.network_id)
        .join(Client, Client.id == Network.client_id)
        .outerjoin(AgentReport, AgentReport.agent == Agent.id)
        .order_by(Agent.id)
    )
    if asked.clients is not None:
        query = query.where(Client.id.in_(sorted(asked.clients)))
    if asked.client is not None:
        query = query.where(Client.id == visible_client(reader, asked.client, asked.clients))
    if asked.network is not None:
        query = query.where(Network.code == asked.network)
    if asked.agent_id is not None:
        query = query.where(Agent.agent_id == asked.agent_id.lower())
    return query


def _state(row: Any, now: dt.datetime) -> State:
    return state_at(now, seen_at=row.seen_at, interval_s=row.interval_s or 1, retired_at=row.retired_at)


def _counts(rows: Iterable[Any], now: dt.datetime) -> dict[State, int]:
    found = Counter(_state(row, now) for row in rows)
    return {state: found[state] for state in STATES}


def _reports(reader: Reader, agents: Sequence[str]) -> dict[str, _Said]:
    found: dict[str, _Said] = {}
    for part in _parts(agents):
        query = select(AgentReport.agent, AgentReport.report).where(AgentReport.agent.in_(part))
        found.update((row.agent, _said(row.report)) for row in reader.execute(query))
    return found


def _parts(agents: Sequence[str], size: int = 500) -> Iterable[Collection[str]]:
    """SQLite takes only so many values in a statement."""
    return (agents[at : at + size] for at in range(0, len(agents), size))


def _said(text: str) -> _Said:
    try:
        return _SAID.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return _Said()


def _status(row: Any, said: _Said, now: dt.datetime) -> AgentStatus:
    return AgentStatus(
        agent_id=row.agent_id,
        client=row.client,
        network=row.network,
        hostname=row.hostname,
        state=_state(row, now),
        seen_at=row.seen_at,
        silent_s=None if row.seen_at is None else max(0, round((now - row.seen_at).total_seconds())),
        interval_s=row.interval_s,
        version=row.version or None,
        mode=said.mode,
        uptime_s=said.uptime_s,
        waiting=said.outbox.waiting if said.outbox else None,
        oldest_s=said.outbox.oldest_s if said.outbox else None,
        running=len(said.runs),
        clock_s=None if row.clock_ms is None else round(row.clock_ms / 1000),
        trouble=tuple(said.trouble),
        enrolment=row.enrolment,
        enrolled_at=row.enrolled_at,
    )
