"""Tokens: issue, list, revoke, spend. Called by the CLI, and by the enrolment.

What a token is, and when it lets in, is said in :mod:`server.services.access`.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from contracts.secret import Secret
from contracts.visible import quoted
from server.services.access import (
    Principal,
    Scope,
    State,
    hash_of,
    parse,
    state_at,
    used,
)
from server.services.refusal import Refusal
from server.services.registry import Reader, find_client, find_network
from server.storage.models import Agent, Client, Network, Token, TokenNetwork

# No process keeps a use unwritten for so long.
_LATEST_WRITE = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it may be shown. ``networks`` are codes; ``agent`` is the id of the agent whose own it is."""

    id: str
    client: str
    networks: tuple[str, ...] | Literal["all"]
    scopes: tuple[str, ...]
    state: State
    agent: str | None
    single_use: bool
    created_at: dt.datetime
    expires_at: dt.datetime | None
    used_at: dt.datetime | None
    last_used_at: dt.datetime | None


def issue(
    session: Session,
    *,
    client: str,
    networks: Sequence[str],
    scopes: Collection[Scope],
    expires_at: dt.datetime | None,
    now: dt.datetime,
    single_use: bool = False,
    agent: Agent | None = None,
) -> tuple[TokenRow, Secret]:
    """Make a token; returns its text too, which cannot be had again. No ``networks``: all of the client's.

    A ``single_use`` token ends with the enrolment it is spent on, see :func:`spend`. Refusals: client_unknown, network_unknown.
    """
    client_id = find_client(session, client)
    network_ids = {find_network(session, client, code).id for code in networks}
    public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    token = Token(
        public_id=public_id,
        client_id=client_id,
        secret_hash=hash_of(secret),
        scopes=" ".join(scope for scope in Scope if scope in scopes),
        all_networks=not networks,
        created_at=now,
        expires_at=expires_at,
        single_use=single_use,
        agent_id=agent.id if agent else None,
    )
    session.add(token)
    session.flush()
    session.add_all(TokenNetwork(token_id=token.id, network_id=network_id) for network_id in network_ids)
    row = TokenRow(
        id=public_id,
        client=client,
        networks=tuple(networks) or "all",
        scopes=tuple(token.scopes.split()),
        state="active",
        agent=agent.agent_id if agent else None,
        single_use=single_use,
        created_at=now,
        expires_at=expires_at,
        used_at=None,
        last_used_at=None,
    )
    return row, Secret(f"fm1.{public_id}.{secret}")


def list_tokens(reader: Reader, now: dt.datetime, client: str | None = None) -> list[TokenRow]:
    """All tokens, or those of one client, oldest first. Refusal: client_unknown."""
    query = (
        select(
            Token.public_id,
            Client.name,
            Token.all_networks,
            Token.scopes,
            Token.created_at,
            Token.expires_at,
            Token.revoked_at,
            Token.last_used_at,
            Agent.agent_id,
            Token.single_use,
            Token.used_at,
            Network.code,
        )
        .join(Client, Client.id == Token.client_id)
        .outerjoin(TokenNetwork, TokenNetwork.token_id == Token.id)
        .outerjoin(Network, Network.id == TokenNetwork.network_id)
        .outerjoin(Agent, Agent.id == Token.agent_id)
        .order_by(Client.name, Token.id, Network.code)
    )
    if client is not None:
        query = query.where(Token.client_id == find_client(reader, client))
    return [_token_row(list(rows), now) for _, rows in groupby(reader.execute(query), key=lambda row: row.public_id)]


def revoke(session: Session, public_id: str, now: dt.datetime) -> bool:
    """End a token at once; False when it was revoked before. Refusal: token_unknown."""
    if form := parse(public_id):  # the whole token was given; its secret must not come back in a message
        public_id = form[0]
    row = session.execute(select(Token.id, Token.revoked_at).where(Token.public_id == public_id)).first()
    if row is None:
        raise Refusal(
            "token_unknown", f"there is no token with the id {quoted(public_id)}; see: flagee-server token list"
        )
    if row.revoked_at is not None:
        return False
    session.execute(update(Token).where(Token.id == row.id).values(revoked_at=now))
    return True


def spend(session: Session, principal: Principal, now: dt.datetime) -> None:
    """Use up a token that works once; any other stays. Of two at once exactly one gets through. Refusal: token_used."""
    if not principal.single_use:
        return
    mine = session.execute(
        update(Token)
        .where(Token.id == principal.token_id, Token.used_at.is_(None))
        .values(used_at=now)
        .returning(Token.id)
    ).first()
    if mine is None:
        raise used(principal.public_id)


def revoke_of_agent(session: Session, agent: str, now: dt.datetime) -> None:
    """End every token that is this agent's own; ``agent``: the id of its row."""
    session.execute(update(Token).where(Token.agent_id == agent, Token.revoked_at.is_(None)).values(revoked_at=now))


def record_use(session: Session, seen: Iterable[tuple[int, dt.datetime]]) -> None:
    """Write when tokens were used; an older time never replaces a newer one, whichever process comes last.

    Unless the newer one lies so far ahead that only a wrong clock can have written it: it would hide every use for years.
    """
    for token_id, at in seen:
        known = Token.last_used_at
        replaced = known.is_(None) | (known < at) | (known > at + _LATEST_WRITE)
        session.execute(update(Token).where(Token.id == token_id, replaced).values(last_used_at=at))


def _token_row(rows: Sequence[Row[*tuple[Any, ...]]], now: dt.datetime) -> TokenRow:
    """One token from its rows, one a network."""
    token = rows[0]
    return TokenRow(
        id=token.public_id,
        client=token.name,
        networks="all" if token.all_networks else tuple(row.code for row in rows if row.code is not None),
        scopes=tuple(token.scopes.split()),
        state=state_at(now, revoked_at=token.revoked_at, used_at=token.used_at, expires_at=token.expires_at),
        agent=token.agent_id,
        single_use=token.single_use,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
        last_used_at=token.last_used_at,
    )
