"""Tokens: issue, list, revoke, and telling whose a presented one is. Called by the CLI, and by :mod:`server.auth` for requests.

A token is ``fm1.<public id>.<secret>``: the prefix lets a search find one that leaked, the public id may be shown and logged.
The secret has 256 random bits, so a plain SHA-256 of it is safe to store: slow hashes protect what can be guessed, this cannot.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.orm import Session

from contracts.secret import Secret
from server.services.refusal import Refusal
from server.services.registry import Reader, find_client, find_network
from server.storage.models import Client, Network, Token, TokenNetwork

_FORM = re.compile(r"fm1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a token may be used for."""

    BOOTSTRAP = "bootstrap"
    CONFIG = "config"
    INGEST = "ingest"
    COMMANDS = "commands"


# No process keeps a use unwritten for so long.
_LATEST_WRITE = dt.timedelta(days=7)

State = Literal["active", "expired", "revoked", "used"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. ``networks`` are row ids; None stands for every network of the client, those of tomorrow included."""

    token_id: int
    public_id: str
    client_id: int
    client: str
    networks: frozenset[int] | None
    scopes: frozenset[str]
    single_use: bool

    def allows(self, network_id: int) -> bool:
        return self.networks is None or network_id in self.networks


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
    agent_id: str | None = None,
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
        agent_id=agent_id,
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
        agent=agent_id,
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
            Token.agent_id,
            Token.single_use,
            Token.used_at,
            Network.code,
        )
        .join(Client, Client.id == Token.client_id)
        .outerjoin(TokenNetwork, TokenNetwork.token_id == Token.id)
        .outerjoin(Network, Network.id == TokenNetwork.network_id)
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
        raise Refusal("token_unknown", f"there is no token with the id {public_id!r}; see: flagee-server token list")
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
        raise _used(principal.public_id)


def revoke_of_agent(session: Session, agent_id: str, now: dt.datetime) -> None:
    """End every token that is this agent's own."""
    session.execute(update(Token).where(Token.agent_id == agent_id, Token.revoked_at.is_(None)).values(revoked_at=now))


_BY_PUBLIC_ID = (
    select(
        Token.id,
        Token.secret_hash,
        Token.client_id,
        Client.name,
        Token.scopes,
        Token.all_networks,
        Token.expires_at,
        Token.revoked_at,
        Token.single_use,
        Token.used_at,
        TokenNetwork.network_id,
    )
    .join(Client, Client.id == Token.client_id)
    .outerjoin(TokenNetwork, TokenNetwork.token_id == Token.id)
    .where(Token.public_id == bindparam("public_id"))
)


def authenticate(connection: Connection, text: str, now: dt.datetime) -> Principal:
    """Whose token this is. One indexed query, nothing is cached: a revoked token is refused by the next request.

    Refusals: token_unknown; and, told only to who has the secret, token_revoked, token_used, token_expired.
    """
    form = parse(text)
    if form is None:
        raise Refusal(
            "token_unknown",
            "this is not a token of this server: one looks like fm1.<id>.<secret>; check what was pasted",
        )
    public_id, secret = form
    rows = connection.execute(_BY_PUBLIC_ID, {"public_id": public_id}).all()
    if not rows or not hmac.compare_digest(rows[0].secret_hash, hash_of(secret)):
        raise Refusal(
            "token_unknown", "this token is not known here; check the server's address, or ask for a new token"
        )
    token = rows[0]
    match _state(token, now):
        case "revoked":
            raise Refusal("token_revoked", f"token {public_id} was revoked; ask for a new one")
        case "used":
            raise _used(public_id)
        case "expired":
            raise Refusal(
                "token_expired",
                f"token {public_id} expired at {token.expires_at:%Y-%m-%dT%H:%M:%SZ}; ask for a new one",
            )
    networks = None if token.all_networks else _network_ids(rows)
    scopes = frozenset(token.scopes.split())
    return Principal(token.id, public_id, token.client_id, token.name, networks, scopes, token.single_use)


def require(principal: Principal, scope: Scope) -> None:
    """Refusal: scope_missing."""
    if scope not in principal.scopes:
        raise Refusal(
            "scope_missing",
            f"token {principal.public_id} has no scope {scope!s}; ask for a token with: --scope {scope!s}",
        )


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
        state=_state(token, now),
        agent=token.agent_id,
        single_use=token.single_use,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
        last_used_at=token.last_used_at,
    )


def _network_ids(rows: Sequence[Row[*tuple[Any, ...]]]) -> frozenset[int]:
    return frozenset(row.network_id for row in rows if row.network_id is not None)


def _state(token: Row[*tuple[Any, ...]], now: dt.datetime) -> State:
    """A token that was used says so, also when it has expired since: that is what its holder wonders about."""
    if token.revoked_at is not None:
        return "revoked"
    if token.used_at is not None:
        return "used"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "active"


def _used(public_id: str) -> Refusal:
    return Refusal(
        "token_used",
        f"token {public_id} works for one enrolment and was used; get a new line with: flagee-server install-command",
    )


def parse(text: str) -> tuple[str, str] | None:
    """Public id and secret of a token's text; None for anything else."""
    form = _FORM.fullmatch(text)
    return (form[1], form[2]) if form else None


def hash_of(secret: str) -> bytes:
    """What is stored of a token's secret."""
    return hashlib.sha256(secret.encode()).digest()
