"""A host introduces itself and gets a token of its own. Called by :mod:`server.api.bootstrap`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contracts.secret import Secret
from server.services.access import Principal, Scope
from server.services.refusal import Refusal
from server.services.tokens import issue, revoke_of_agent, spend
from server.storage.models import Agent

_OWN = (Scope.CONFIG, Scope.INGEST, Scope.COMMANDS)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """``token`` is the agent's own, ``token_id`` its public id; every earlier one of the agent has ended."""

    agent_id: str
    client: str
    network: str
    token: Secret
    token_id: str


def enroll(session: Session, principal: Principal, *, agent_id: str, hostname: str, now: dt.datetime) -> Enrolled:
    """Register the agent, or take it back, and issue its token. ``agent_id`` is a UUID in lower case.

    All in the session's transaction: whatever is refused leaves a token that works once unspent.
    Refusals: token_used, agent_elsewhere.
    """
    spend(session, principal, now)
    network_id, network = principal.network_id, principal.network
    agent = _agent(session, agent_id, network_id, hostname, now)
    if agent.network_id != network_id:
        raise Refusal(
            "agent_elsewhere",
            f"agent {agent_id} belongs to another network, and stays there; to have this host in network {network} as well, "
            "install under another runtime name; to move it, remove FLAGEEMONITOR_AGENT_ID from its environment file first",
        )
    agent.hostname, agent.enrolled_at = hostname, now
    revoke_of_agent(session, agent_id, now)
    row, token = issue(
        session,
        client=principal.client,
        networks=[network],
        scopes=_OWN,
        expires_at=None,
        now=now,
        agent_id=agent_id,
    )
    return Enrolled(agent_id, principal.client, network, token, row.id)


def _agent(session: Session, agent_id: str, network_id: int, hostname: str, now: dt.datetime) -> Agent:
    """The agent's row, locked, made if there is none. Two at once for one agent wait for each other here."""
    try:
        with session.begin_nested():
            session.add(Agent(agent_id=agent_id, network_id=network_id, hostname=hostname, enrolled_at=now))
    except IntegrityError:  # it is there: from before, or made by another enrolment a moment ago
        pass
    return session.execute(
        select(Agent).where(Agent.agent_id == agent_id).with_for_update(), execution_options={"populate_existing": True}
    ).scalar_one()
