"""Which agent of a network may start scheduled jobs, decided with each heartbeat. Called by
:mod:`server.services.agents.presence`.

A network with one active agent needs no lease. With several, one has it. An agent that may still go by what it was told when it
was alone keeps the others waiting until its report says that it knows better, or until an operator retires it: nobody can tell
from here whether it is dead or only cut off.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.heartbeat import ACTIVE_S, LEASE, LEASE_PAUSE, Basis, Schedule
from server.storage.models import Agent, AgentReport, ScheduleLease
from server.storage.session import Reader
from server.storage.upserts import insert_into


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of the network that has a schedule and is not retired. ``id``: of its row; ``basis``: what its jobs start by, as
    far as is certain."""

    id: str
    agent_id: str
    hostname: str
    basis: Basis
    seen_at: dt.datetime

    def active(self, now: dt.datetime) -> bool:
        return self.basis == "alone" or (now - self.seen_at).total_seconds() < ACTIVE_S


@dataclass(frozen=True, slots=True)
class Lease:
    """Who was told last that it may start jobs, ``length_s`` from ``renewed_at`` on, 0: without a limit, as it was alone.
    ``since``: see :class:`ScheduleLease`."""

    agent: str
    since: dt.datetime | None
    renewed_at: dt.datetime
    length_s: float

    @property
    def ends_at(self) -> dt.datetime:
        """From then on the agent starts nothing: it counts from before it asked."""
        return self.renewed_at + dt.timedelta(seconds=self.length_s)

    @property
    def given_away_at(self) -> dt.datetime:
        return self.renewed_at + dt.timedelta(seconds=self.length_s * LEASE_PAUSE)


@dataclass(frozen=True, slots=True)
class Decision:
    """``lease``: as it is from now on; ``basis``: by what the agent's jobs start now, as far as is certain."""

    answer: Schedule
    lease: Lease | None
    basis: Basis


def decide(
    now: dt.datetime, me: str, told: Basis, others: Sequence[Member], before: Lease | None, length_s: float
) -> Decision:
    """``told``: what the agent ``me`` goes by, in its report; ``before``: the network's lease so far. Pure."""
    others = [other for other in others if other.active(now)]
    if before is not None and before.agent != me and now < before.given_away_at:
        holder = next((other for other in others if other.id == before.agent), None)
        own_s = max(0.0, (now - before.ends_at).total_seconds())
        return Decision(_waits("held", holder, own_s), before, told)
    if unconfirmed := [other for other in others if other.basis == "alone"]:
        return Decision(_waits("unconfirmed", unconfirmed[0]), before, told)
    since = _since(now, me, told, before, alone=not others)
    lease = Lease(me, since, now, length_s if others else 0.0)
    alone_for = None if since is None else max(0.0, (now - since).total_seconds())
    if not others:
        return Decision(Schedule("alone", own_s=alone_for), lease, "alone")
    return Decision(Schedule("lease", length_s, alone_for), lease, told)


def _since(now: dt.datetime, me: str, told: Basis, before: Lease | None, *, alone: bool) -> dt.datetime | None:
    """From when on no other agent can have started a job."""
    if before is None:
        return None if alone or told == "alone" else now
    if before.agent == me:
        return before.since
    return before.ends_at if before.length_s else now  # one that needed no lease may have gone on until it was retired


def _waits(why: Literal["held", "unconfirmed"], agent: Member | None, own_s: float | None = None) -> Schedule:
    name, hostname = (agent.agent_id, agent.hostname) if agent else ("", "")
    return Schedule("lease", own_s=own_s, why=why, agent=name, hostname=hostname)


def take_turn(
    session: Session, network_id: int, me: str, told: Basis, now: dt.datetime, interval_s: int
) -> tuple[Schedule, Basis]:
    """Decide and keep the decision. One agent of a network at a time: the lease's row is locked until the commit."""
    row = _locked(session, network_id)
    before = _lease(row)
    decision = decide(now, me, told, members(session, network_id, but=me), before, float(LEASE * interval_s))
    after = decision.lease
    if after is not None and not _as_before(after, before):
        row.agent, row.since, row.renewed_at, row.length_s = after.agent, after.since, after.renewed_at, after.length_s
    return decision.answer, decision.basis


def members(reader: Reader | Session, network_id: int, *, but: str = "") -> list[Member]:
    """The agents of a network that have a schedule and are not retired, the oldest first."""
    query = (
        select(Agent.id, Agent.agent_id, Agent.hostname, AgentReport.schedule, AgentReport.seen_at)
        .join(AgentReport, AgentReport.agent == Agent.id)
        .where(
            Agent.network_id == network_id,
            Agent.id != but,
            Agent.retired_at.is_(None),
            AgentReport.schedule.is_not(None),
        )
        .order_by(Agent.enrolled_at, Agent.id)
    )
    return [
        Member(row.id, row.agent_id, row.hostname, "alone" if row.schedule == "alone" else "lease", row.seen_at)
        for row in reader.execute(query)
    ]


def _locked(session: Session, network_id: int) -> ScheduleLease:
    wanted = select(ScheduleLease).where(ScheduleLease.network_id == network_id).with_for_update()
    found = session.execute(wanted).scalar_one_or_none()
    if found is None:
        made = {"network_id": network_id, "length_s": 0.0}
        session.execute(insert_into(session, ScheduleLease).on_conflict_do_nothing(), made)
        found = session.execute(wanted).scalar_one()
    return found


def _as_before(after: Lease, before: Lease | None) -> bool:
    """Nothing to write: the usual case, an agent that is and was alone."""
    return before is not None and after.agent == before.agent and after.length_s == before.length_s == 0


def _lease(row: ScheduleLease) -> Lease | None:
    if row.agent is None or row.renewed_at is None:
        return None
    return Lease(row.agent, row.since, row.renewed_at, row.length_s)
