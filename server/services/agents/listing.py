"""Agents as operators see them, and taking one out of service. Called by the CLI."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from contracts.bounded import Unreadable, read_json
from contracts.text import plural, say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.agents.presence import State, state_at
from server.services.clients import find_client
from server.services.tokens.lifecycle import revoke_of_agent
from server.storage.models import Agent, AgentReport, Client, Network
from server.storage.session import Reader


@dataclass(frozen=True, slots=True)
class AgentRow:
    """``waiting``: envelopes in its outbox; ``clock_s``: seconds that its clock is ahead of ours. Both as it said last."""

    agent: str
    client: str
    network: str
    hostname: str
    state: State
    seen_at: dt.datetime | None
    version: str | None
    waiting: int | None
    clock_s: int | None
    enrolment: int
    enrolled_at: dt.datetime


@dataclass(frozen=True, slots=True)
class AgentDetails:
    """``report``: what it said last, as it was sent; empty for one that never spoke."""

    row: AgentRow
    report: Mapping[str, Any]


# What both lists of agents say of one.
AGENT_COLUMNS: Any = (
    Agent.id,
    Agent.agent_id,
    Client.name.label("client"),
    Network.code.label("network"),
    Agent.hostname,
    Agent.enrolment,
    Agent.enrolled_at,
    Agent.retired_at,
    AgentReport.seen_at,
    AgentReport.interval_s,
    AgentReport.version,
    AgentReport.clock_ms,
)

_AGENTS: Any = (
    select(*AGENT_COLUMNS, AgentReport.report)
    .join(Network, Network.id == Agent.network_id)
    .join(Client, Client.id == Network.client_id)
    .outerjoin(AgentReport, AgentReport.agent == Agent.id)
    .order_by(Client.name, Network.code, Agent.hostname, Agent.agent_id)
)


def list_agents(reader: Reader, now: dt.datetime, client: str | None = None) -> list[AgentRow]:
    """All agents, or those of one client. Refusal: client_unknown."""
    query = _AGENTS if client is None else _AGENTS.where(Client.id == find_client(reader, client))
    return [_row(row, now) for row in reader.execute(query)]


def show_agent(reader: Reader, beginning: str, now: dt.datetime) -> AgentDetails:
    """By the beginning of an id, or a host name, that only one agent has. Refusal: agent_unknown."""
    row = _one(reader, beginning)
    return AgentDetails(_row(row, now), _report(row.report))


def retire(session: Session, beginning: str, now: dt.datetime) -> AgentRow:
    """Take an agent out of service: its tokens end. What it told stays. A new enrolment takes it back. Refusal: agent_unknown."""
    row = _one(session, beginning)
    agent = session.get_one(Agent, row.id)
    if agent.retired_at is None:
        agent.retired_at = now
    revoke_of_agent(session, agent.id, now)
    session.flush()
    return _row(_one(session, beginning), now)


def _one(reader: Reader, beginning: str) -> Row[Any]:
    asked = beginning.strip().lower()
    named = Agent.agent_id.startswith(asked, autoescape=True) | (Agent.hostname == beginning.strip())
    found = reader.execute(_AGENTS.where(named)).all() if asked else []
    exact = [row for row in found if row.agent_id == asked]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        says = say("no agent has an id that begins with {id}, or that host name", id=quoted(beginning))
        raise Refusal(table.AGENT_UNKNOWN, says=says)
    says = plural("{n} agent is meant by {id}", "{n} agents are meant by {id}", len(found), id=quoted(beginning))
    raise Refusal(table.AGENT_UNKNOWN, says=says, do=say("give more of the id; see: flagee-server agents"))


def _row(row: Row[Any], now: dt.datetime) -> AgentRow:
    report = _report(row.report)
    outbox = report.get("outbox")
    waiting = outbox.get("waiting", 0) if isinstance(outbox, dict) else None
    return AgentRow(
        agent=row.agent_id,
        client=row.client,
        network=row.network,
        hostname=row.hostname,
        state=state_at(now, seen_at=row.seen_at, interval_s=row.interval_s or 1, retired_at=row.retired_at),
        seen_at=row.seen_at,
        version=row.version or None,
        waiting=waiting if isinstance(waiting, int) else None,
        clock_s=None if row.clock_ms is None else round(row.clock_ms / 1000),
        enrolment=row.enrolment,
        enrolled_at=row.enrolled_at,
    )


def _report(text: str | None) -> Mapping[str, Any]:
    try:
        found = read_json(text or "{}")
    except Unreadable:
        return {}
    return found if isinstance(found, dict) else {}
