"""Which operator is let in: the one rule, over what was loaded for the request. Pure.

An operator's token is ``fo1.<public id>.<secret>``, a proxy's begins with ``fm1``: each kind is looked for in a table of its own,
so that none can ever do what the other can. Why a plain SHA-256 is enough is said in :mod:`server.services.tokens.access`.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
from enum import StrEnum
from typing import NamedTuple

from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.tokens.access import hash_of, is_of_operator, state_at

_FORM = re.compile(r"fo1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{43})")


class Role(StrEnum):
    """What an operator may do; each may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"


_RANKS = {role: rank for rank, role in enumerate(Role)}


class TokenRecord(NamedTuple):
    """A stored token with its operator. ``clients``: row ids; None: all."""

    id: int
    public_id: str
    secret_hash: bytes
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    operator_id: int
    name: str
    role: str
    removed_at: dt.datetime | None
    clients: frozenset[int] | None


class Operator(NamedTuple):
    """Who is asking. ``clients``: row ids of those whose agents this operator may see; None: all."""

    token_id: int
    public_id: str
    operator_id: int
    name: str
    role: Role
    clients: frozenset[int] | None


def public_id_of(text: str) -> tuple[str, str]:
    """Public id and secret of a token's text. Refusals: operator_required, token_unknown."""
    if not is_of_operator(text):
        raise Refusal(table.OPERATOR_REQUIRED)
    form = _FORM.fullmatch(text)
    if form is None:
        says = "this is not an operator's token: one looks like fo1.<id>.<secret>"
        raise Refusal(table.TOKEN_UNKNOWN, says=says, do="check what was pasted")
    return form[1], form[2]


def admit(token: TokenRecord | None, secret: str, *, role: Role, now: dt.datetime) -> Operator | Refusal:
    """Whether who sent ``secret`` may do what needs ``role``. ``token``: the row of the public id that was sent, if any.

    Refusals: token_unknown; and, told only to who has the secret, token_revoked, token_expired, role_missing.
    """
    if token is None or not hmac.compare_digest(token.secret_hash, hash_of(secret)):
        return Refusal(table.TOKEN_UNKNOWN)
    state = state_at(now, revoked_at=token.revoked_at or token.removed_at, used_at=None, expires_at=token.expires_at)
    if state == "revoked":
        return Refusal(table.TOKEN_REVOKED, token=token.public_id)
    if state == "expired":
        return Refusal(table.TOKEN_EXPIRED, token=token.public_id, at=f"{token.expires_at:%Y-%m-%dT%H:%M:%SZ}")
    held = Role(token.role)
    if _RANKS[held] < _RANKS[role]:
        return Refusal(
            table.ROLE_MISSING, token=token.public_id, operator=token.name, role=held.value, needed=role.value
        )
    return Operator(token.id, token.public_id, token.operator_id, token.name, held, token.clients)
