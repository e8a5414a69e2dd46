"""A host introduces itself and gets a token of its own. Called by :mod:`server.api.bootstrap`.

An agent_id is a name that the host chose, and an agent is a network together with it. So a token learns nothing of networks that
are not its own: an id that another network or client has is enrolled as any new one is, by the same statements, and is another
agent. Whoever runs the control plane sees it in the log.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Row, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contracts.ids import uuid7
from contracts.secret import Secret
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.tokens.access import Principal, Scope
from server.services.tokens.admission import networks_of
from server.services.tokens.lifecycle import issue, revoke_of_agent, spend
from server.storage.models import Agent, Client, Network, Token

_OWN = (Scope.CONFIG, Scope.INGEST, Scope.COMMANDS)
# An agent asks for its configuration every few minutes, and uses are written every few minutes.
IN_USE = dt.timedelta(minutes=15)

Sign = Literal["hostname", "address", "token_in_use", "network", "client"]
Kind = Literal["new", "again", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Before:
    """An agent with this id as it was known: of this network, or of another one."""

    client: str
    network: str
    hostname: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """``token`` is the agent's own, ``token_id`` its public id; every earlier one of the agent has ended.

    ``signs``: what tells that another machine has this id; ``before``: the agents that they are about.
    """

    agent_id: str
    client: str
    network: str
    token: Secret
    token_id: str
    kind: Kind
    signs: tuple[Sign, ...]
    before: tuple[Before, ...]


def enroll(
    session: Session,
    principal: Principal,
    *,
    agent_id: str,
    hostname: str,
    address: str | None,
    now: dt.datetime,
) -> Enrolled:
    """Register the agent, or take it back, and issue its token. ``agent_id`` is a UUID in lower case.

    All in the session's transaction: whatever is refused leaves a token that works once unspent.
    Refusals: token_used, agent_elsewhere.
    """
    spend(session, principal, now)
    network_id, network = principal.network_id, principal.network
    # One enrolment of a client at a time: two at once could each see that the other network does not have the agent.
    session.execute(select(Client.id).where(Client.id == principal.client_id).with_for_update(key_share=True))
    known = session.execute(_KNOWN.where(Agent.agent_id == agent_id)).all()
    if networks_of(session, principal) & {row.network_id for row in known if row.network_id != network_id}:
        # The token is for that network as well, so its owner may know.
        raise Refusal(table.AGENT_ELSEWHERE, agent=agent_id, network=network)
    agent = _agent(session, agent_id, network_id, hostname, now)
    last_use = session.scalar(
        select(func.max(Token.last_used_at)).where(Token.agent_id == agent.id, Token.revoked_at.is_(None))
    )
    signs = tuple(
        _signs(principal, network_id, known, hostname, address, in_use=last_use is not None and last_use > now - IN_USE)
    )
    here = any(row.network_id == network_id for row in known)
    agent.hostname, agent.enrolled_at, agent.enrolled_from, agent.retired_at = hostname, now, address, None
    agent.enrolment += here
    revoke_of_agent(session, agent.id, now)
    row, token = issue(
        session,
        client=principal.client,
        networks=[network],
        scopes=_OWN,
        expires_at=None,
        now=now,
        agent=agent,
    )
    return Enrolled(
        agent_id=agent_id,
        client=principal.client,
        network=network,
        token=token,
        token_id=row.id,
        kind="elsewhere" if signs else "again" if here else "new",
        signs=signs,
        before=tuple(Before(row.client, row.network, row.hostname, row.enrolled_from) for row in known)
        if signs
        else (),
    )


_Known = Row[int, int, str, str, str, str | None]
_KNOWN = (
    select(
        Agent.network_id,
        Network.client_id,
        Client.name.label("client"),
        Network.code.label("network"),
        Agent.hostname,
        Agent.enrolled_from,
    )
    .join(Network, Network.id == Agent.network_id)
    .join(Client, Client.id == Network.client_id)
)


def _signs(
    principal: Principal, network_id: int, known: Sequence[_Known], hostname: str, address: str | None, *, in_use: bool
) -> list[Sign]:
    found: list[Sign] = []
    for row in known:
        if row.network_id == network_id:
            found += ["hostname"] if row.hostname != hostname else []
            found += ["address"] if row.enrolled_from not in (None, address) else []
            found += ["token_in_use"] if in_use else []
        else:
            found.append("network" if row.client_id == principal.client_id else "client")
    return list(dict.fromkeys(found))


def _agent(session: Session, agent_id: str, network_id: int, hostname: str, now: dt.datetime) -> Agent:
    """The agent's row, locked, made if there is none. Two at once for one agent wait for each other here."""
    try:
        with session.begin_nested():
            session.add(Agent(id=uuid7(), agent_id=agent_id, network_id=network_id, hostname=hostname, enrolled_at=now))
    except IntegrityError:  # it is there: from before, or made by another enrolment a moment ago
        pass
    return session.execute(
        select(Agent).where(Agent.network_id == network_id, Agent.agent_id == agent_id).with_for_update(),
        execution_options={"populate_existing": True},
    ).scalar_one()
