"""Who is let in: the one rule, over rows that were loaded for the request. Pure. Nothing else decides on tokens, in any path.

A token is ``fm1.<public id>.<secret>``: the prefix lets a search find one that leaked, the public id may be shown and logged.
The secret has 256 random bits, so a plain SHA-256 of it is safe to store: slow hashes protect what can be guessed, this cannot.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from enum import StrEnum
from typing import Literal, NamedTuple

from server.reasons import table
from server.reasons.refusal import Refusal

_FORM = re.compile(r"fm1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{43})")

State = Literal["active", "expired", "revoked", "used"]


class Scope(StrEnum):
    """What a token may be used for."""

    BOOTSTRAP = "bootstrap"
    CONFIG = "config"
    INGEST = "ingest"
    COMMANDS = "commands"


class NetworkRecord(NamedTuple):
    """A network of the token's client. ``listed``: the token names it."""

    id: int
    code: str
    listed: bool


# What is written in an agent's name, or told to it, needs a token that is that agent's own.
_OF_AN_AGENT = (Scope.INGEST, Scope.COMMANDS)


class AgentRecord(NamedTuple):
    """The agent that a token belongs to. ``id``: of its row; ``agent_id``: as the host knows it."""

    id: str
    agent_id: str
    enrolment: int


class TokenRecord(NamedTuple):
    """A stored token, with those networks of its client that a request may be about: the one it names, or without a name all.

    ``scopes``: words with one space between, as they are stored.
    """

    id: int
    public_id: str
    secret_hash: bytes
    client_id: int
    client: str
    scopes: str
    all_networks: bool
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    used_at: dt.datetime | None
    single_use: bool
    networks: tuple[NetworkRecord, ...]
    agent: AgentRecord | None = None


class Principal(NamedTuple):
    """Who is asking, and for which network: the owner of a token that :func:`admit` let in."""

    token_id: int
    public_id: str
    client_id: int
    client: str
    network_id: int
    network: str
    single_use: bool
    agent: AgentRecord | None = None


def admit(
    token: TokenRecord | None, secret: str, *, scope: Scope, network: str | None, now: dt.datetime
) -> Principal | Refusal:
    """Whether who sent ``secret`` may do for ``network`` what ``scope`` stands for. ``token``: the row of the public id that was
    sent, if any. ``network``: a code; None for the only one that the token is for.

    Refusals: token_unknown; and, told only to who has the secret, token_revoked, token_used, token_expired, scope_missing,
    agent_required, network_not_allowed, which does not tell whether there is such a network, and network_required.
    """
    if token is None or not hmac.compare_digest(token.secret_hash, hash_of(secret)):
        return Refusal(table.TOKEN_UNKNOWN)
    state = state_at(now, revoked_at=token.revoked_at, used_at=token.used_at, expires_at=token.expires_at)
    if state != "active":
        return _ended(token, state)
    if scope not in token.scopes.split():
        return Refusal(table.SCOPE_MISSING, token=token.public_id, scope=scope.value)
    if scope in _OF_AN_AGENT and token.agent is None:
        return Refusal(table.AGENT_REQUIRED, token=token.public_id)
    chosen = [one for one in allowed(token) if network in (None, one.code)]
    if len(chosen) != 1:
        return _not_one(token, chosen, network)
    [one] = chosen
    return Principal(
        token.id, token.public_id, token.client_id, token.client, one.id, one.code, token.single_use, token.agent
    )


def allowed(token: TokenRecord) -> list[NetworkRecord]:
    """Those of its networks that a token is for."""
    return [one for one in token.networks if token.all_networks or one.listed]


def state_at(
    now: dt.datetime,
    *,
    revoked_at: dt.datetime | None,
    used_at: dt.datetime | None,
    expires_at: dt.datetime | None,
) -> State:
    """A token has expired from its very instant on. One that was used says so, also when it has expired since: that is what its
    holder wonders about."""
    if revoked_at is not None:
        return "revoked"
    if used_at is not None:
        return "used"
    return "expired" if expires_at is not None and expires_at <= now else "active"


def used(public_id: str) -> Refusal:
    """For a token that works once, and has."""
    return Refusal(table.TOKEN_USED, token=public_id)


def parse(text: str) -> tuple[str, str] | None:
    """Public id and secret of a token's text; None for anything else."""
    form = _FORM.fullmatch(text)
    return (form[1], form[2]) if form else None


def is_of_operator(text: str) -> bool:
    """Whether it has the form of an operator's token, which nothing that is for proxies takes."""
    return text.startswith("fo1.")


def of_operator(scope: Scope) -> Refusal:
    """For an operator's token where a proxy's is expected. Whether it is a valid one is not looked up."""
    says, do = "this token is an operator's", "use the token of the proxy"
    return Refusal(table.AGENT_REQUIRED if scope in _OF_AN_AGENT else table.SCOPE_MISSING, says=says, do=do)


def malformed() -> Refusal:
    """For a text that :func:`parse` does not take."""
    says = "this is not a token of this server: one looks like fm1.<id>.<secret>"
    return Refusal(table.TOKEN_UNKNOWN, says=says, do="check what was pasted")


def hash_of(secret: str) -> bytes:
    """What is stored of a token's secret."""
    return hashlib.sha256(secret.encode()).digest()


def _ended(token: TokenRecord, state: Literal["revoked", "used", "expired"]) -> Refusal:
    if state == "used":
        return used(token.public_id)
    if state == "revoked":
        return Refusal(table.TOKEN_REVOKED, token=token.public_id)
    return Refusal(table.TOKEN_EXPIRED, token=token.public_id, at=f"{token.expires_at:%Y-%m-%dT%H:%M:%SZ}")


def _not_one(token: TokenRecord, several: list[NetworkRecord], network: str | None) -> Refusal:
    if network is not None:
        return Refusal(table.NETWORK_NOT_ALLOWED, token=token.public_id)
    if not several:
        return Refusal(
            table.NETWORK_REQUIRED,
            says="this token allows no network yet",
            do="add one with: flagee-server network add",
            token=token.public_id,
        )
    return Refusal(
        table.NETWORK_REQUIRED,
        number=len(several),
        networks=[one.code for one in several],
        token=token.public_id,
    )
