"""Reads what the fleet's status is made from, each part by an index. Called by the CLI."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

from sqlalchemy import case, func, select

from contracts.envelope import DUPLICATE_DAYS, today
from server.services.agents.fleet import Asked, agents_page
from server.services.agents.leases import Member
from server.services.agents.presence import state_at, two_at_work
from server.services.clients import find_client
from server.services.fleet.status import NOTABLE, Schedule, Seen, Server
from server.services.health import Health
from server.storage.models import Agent, AgentReport, Client, Envelope, Network, Outcome, Run, ScheduleLease
from server.storage.session import Reader

LOOK_BACK = dt.timedelta(hours=24)
_ALL = 10**9


def read_status(reader: Reader, health: Health, now: dt.datetime, client: str | None = None) -> Seen:
    """Of all clients or of one. Refusal: client_unknown."""
    of_client = None if client is None else find_client(reader, client)
    mine = () if of_client is None else (Network.client_id == of_client,)
    since = now - LOOK_BACK
    runs, failed = _runs(reader, since, mine)
    return Seen(
        server=Server("bad" if health.status == "error" else "warning", health.problems),
        agents=agents_page(reader, Asked(None, client), now, limit=_ALL).agents,
        doubled=_doubled(reader, now, mine),
        schedules=_schedules(reader, now, mine),
        runs=runs,
        failed=failed,
        hosts=_hosts(reader, since, mine),
        events=_events(reader, since, mine),
    )


def _doubled(reader: Reader, now: dt.datetime, mine: Any) -> frozenset[str]:
    query = (
        select(Agent.agent_id, AgentReport.changes, AgentReport.changed_at, AgentReport.interval_s)
        .join(AgentReport, AgentReport.agent == Agent.id)
        .join(Network, Network.id == Agent.network_id)
        .where(AgentReport.changes > 0, *mine)
    )
    return frozenset(
        row.agent_id for row in reader.execute(query) if two_at_work(row.changes, row.changed_at, now, row.interval_s)
    )


def _schedules(reader: Reader, now: dt.datetime, mine: Any) -> list[Schedule]:
    query = (
        select(
            Agent.id,
            Agent.agent_id,
            Agent.hostname,
            Client.name.label("client"),
            Network.code.label("network"),
            AgentReport.schedule,
            AgentReport.seen_at,
            AgentReport.interval_s,
            ScheduleLease.agent.label("holder"),
            ScheduleLease.renewed_at,
            ScheduleLease.length_s,
        )
        .join(AgentReport, AgentReport.agent == Agent.id)
        .join(Network, Network.id == Agent.network_id)
        .join(Client, Client.id == Network.client_id)
        .outerjoin(ScheduleLease, ScheduleLease.network_id == Agent.network_id)
        .where(Agent.retired_at.is_(None), AgentReport.schedule.is_not(None), *mine)
        .order_by(Client.name, Network.code, Agent.enrolled_at)
    )
    networks: dict[str, list[Any]] = defaultdict(list)
    for row in reader.execute(query):
        member = Member(
            row.id, row.agent_id, row.hostname, "alone" if row.schedule == "alone" else "lease", row.seen_at
        )
        if member.active(now):
            networks[f"{row.client}/{row.network}"].append(row)
    return [_schedule(name, rows, now) for name, rows in networks.items() if len(rows) > 1]


def _schedule(network: str, rows: list[Any], now: dt.datetime) -> Schedule:
    """One that was alone and is heard learns with its next report that it needs a lease; one that is silent does not."""
    alone = next((row for row in rows if row.schedule == "alone"), None)
    if alone is not None:
        state = state_at(now, seen_at=alone.seen_at, interval_s=alone.interval_s, retired_at=None)
        if state == "offline":
            return Schedule(network, "", (alone.hostname, alone.agent_id))
        return Schedule(network, alone.hostname, None)
    holder = next((row for row in rows if row.holder == row.id), None)
    given = holder is not None and (now - holder.renewed_at).total_seconds() < holder.length_s
    return Schedule(network, holder.hostname if given and holder else "", None)


def _runs(reader: Reader, since: dt.datetime, mine: Any) -> tuple[int, int]:
    failed = func.coalesce(func.sum(case((Run.exit_code != 0, 1), else_=0)), 0)
    query = select(func.count(), failed).select_from(Run).where(Run.seen_at >= since)
    if mine:
        query = query.join(Network, Network.id == Run.network_id).where(*mine)
    row = reader.execute(query).one()
    return row[0], row[1]


def _hosts(reader: Reader, since: dt.datetime, mine: Any) -> dict[str, int]:
    query = select(Outcome.outcome, func.count()).where(Outcome.seen_at >= since).group_by(Outcome.outcome)
    if mine:
        query = query.join(Network, Network.id == Outcome.network_id).where(*mine)
    return {row[0]: row[1] for row in reader.execute(query)}


def _events(reader: Reader, since: dt.datetime, mine: Any) -> dict[str, int]:
    query = (
        select(Envelope.sub, func.count())
        .where(
            Envelope.received_at >= since,
            Envelope.day >= today(since) - DUPLICATE_DAYS - 1,
            Envelope.kind == "event",
            Envelope.sub.in_(NOTABLE),
        )
        .group_by(Envelope.sub)
    )
    if mine:
        query = query.join(Agent, Agent.id == Envelope.agent).join(Network, Network.id == Agent.network_id).where(*mine)
    return {row[0]: row[1] for row in reader.execute(query)}
