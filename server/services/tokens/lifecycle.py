"""Tokens: issue, revoke, spend. Called by the CLI, and by the enrolment.

What a token is, and when it lets in, is said in :mod:`server.services.tokens.access`.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contracts.secret import Secret
from contracts.text import say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.clients import find_client
from server.services.networks import find_network
from server.services.tokens.access import Principal, Scope, hash_of, parse, used
from server.services.tokens.listing import TokenRow
from server.storage.models import Agent, Token, TokenNetwork


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


def revoke(session: Session, public_id: str, now: dt.datetime) -> bool:
    """End a token at once; False when it was revoked before. Refusal: token_unknown."""
    if form := parse(public_id):  # the whole token was given; its secret must not come back in a message
        public_id = form[0]
    row = session.execute(select(Token.id, Token.revoked_at).where(Token.public_id == public_id)).first()
    if row is None:
        raise Refusal(
            table.TOKEN_UNKNOWN,
            says=say("there is no token with the id {id}", id=quoted(public_id)),
            do=say("see: flagee-server token list"),
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
