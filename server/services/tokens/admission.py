"""Loads what the rule of :mod:`server.services.tokens.access` decides on, and lets it decide. Called for
every request that has a token.

One indexed read, no write. Nothing is remembered: what was revoked a moment ago is refused by the next request.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from server.reasons.refusal import Refusal
from server.services.configurations.in_force import IN_FORCE, Current, missing
from server.services.networks import is_network_code
from server.services.tokens import access
from server.services.tokens.access import AgentRecord, NetworkRecord, Principal, Scope, TokenRecord
from server.storage.models import Agent, Client, Configuration, Network, Token, TokenNetwork
from server.storage.prepared import Rows

_NOBODYS = ""  # no network has this code


class Admission(NamedTuple):
    """Who was let in, and the version in force of the network; None before the first one."""

    principal: Principal
    current: Current | None

    @property
    def agent(self) -> AgentRecord:
        """Whose token it is. Only for scopes that nobody but an agent has."""
        if self.principal.agent is None:
            raise TypeError("this scope is not for agents alone")
        return self.principal.agent

    def served(self) -> Current:
        """Refusal: configuration_missing."""
        if self.current is None:
            raise missing(self.principal.client, self.principal.network)
        return self.current


def admission(rows: Rows, text: str, scope: Scope, network: str | None, now: dt.datetime) -> Admission:
    """For a token's text. Refusals: those of :func:`server.services.tokens.access.admit`."""
    form = access.parse(text)
    if form is None:
        raise access.of_operator(scope) if access.is_of_operator(text) else access.malformed()
    public_id, secret = form
    if network is None:
        found = rows(_ALL, public_id=public_id)
    else:  # a code that cannot be one is not sent: some, with a NUL, a database does not even take
        found = rows(_ONE, public_id=public_id, code=network if is_network_code(network) else _NOBODYS)
    outcome = access.admit(_token(found), secret, scope=scope, network=network, now=now)
    if isinstance(outcome, Refusal):
        raise outcome
    for row in found:
        if row[_NETWORK_ID] == outcome.network_id and row[_CONFIGURATION_ID] is not None:
            return Admission(outcome, Current(outcome.client, *row[_NETWORK_ID:_LISTED], *row[_CONFIGURATION_ID:]))
    return Admission(outcome, None)


def networks_of(session: Session, principal: Principal) -> frozenset[int]:
    """Row ids of all networks that the principal's token is for."""
    token = _token(session.execute(_ALL, {"public_id": principal.public_id}).all())
    return frozenset(one.id for one in access.allowed(token)) if token else frozenset()


def _token(found: Sequence[Sequence[Any]]) -> TokenRecord | None:
    """One token from its rows, one a network."""
    if not found:
        return None
    networks = [
        NetworkRecord(row[_NETWORK_ID], row[_CODE], row[_LISTED] is not None)
        for row in found
        if row[_NETWORK_ID] is not None
    ]
    first = found[0]
    agent = None if first[_AGENT] is None else AgentRecord._make(first[_AGENT:_NETWORK_ID])
    return TokenRecord._make([*first[:_AGENT], tuple(networks), agent])


# The columns in the order of the records that are made of them, because every poll pays for that.
_OF_TOKEN = (
    Token.id,
    Token.public_id,
    Token.secret_hash,
    Token.client_id,
    Client.name,
    Token.scopes,
    Token.all_networks,
    Token.expires_at,
    Token.revoked_at,
    Token.used_at,
    Token.single_use,
)
_OF_AGENT = (Agent.id, Agent.agent_id, Agent.enrolment)
_OF_NETWORK = (Network.id, Network.code, TokenNetwork.network_id)
_OF_CONFIGURATION = (Configuration.id, Configuration.version, Configuration.etag, Configuration.key_id)
_AGENT = len(_OF_TOKEN)
_NETWORK_ID, _CODE, _LISTED, _CONFIGURATION_ID = range(_AGENT + len(_OF_AGENT), _AGENT + len(_OF_AGENT) + 4)


def _statement(*of_network: Any) -> Any:
    return (
        select(*_OF_TOKEN, *_OF_AGENT, *_OF_NETWORK, *_OF_CONFIGURATION)
        .join(Client, Client.id == Token.client_id)
        .outerjoin(Agent, Agent.id == Token.agent_id)
        .outerjoin(Network, and_(Network.client_id == Token.client_id, *of_network))
        .outerjoin(TokenNetwork, and_(TokenNetwork.token_id == Token.id, TokenNetwork.network_id == Network.id))
        .outerjoin(Configuration, IN_FORCE)
        .where(Token.public_id == bindparam("public_id"))
        .order_by(Network.code)
    )


_ONE = _statement(Network.code == bindparam("code"))
_ALL = _statement()
