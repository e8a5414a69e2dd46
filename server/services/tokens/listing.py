"""Tokens as they may be shown. Called by the CLI."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Row, select

from server.services.clients import find_client
from server.services.tokens.access import State, state_at
from server.storage.models import Agent, Client, Network, Token, TokenNetwork
from server.storage.session import Reader


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
