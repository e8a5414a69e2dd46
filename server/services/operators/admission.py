"""Loads what the rule of :mod:`server.services.operators.access` decides on, and lets it decide. One indexed read, no write;
nothing is remembered, so that what was revoked a moment ago is refused by the next request."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import bindparam, select

from server.reasons.refusal import Refusal
from server.services.operators import access
from server.services.operators.access import Role, TokenRecord
from server.storage.models import Operator, OperatorClient, OperatorToken
from server.storage.prepared import Rows

_OF_TOKEN = (
    OperatorToken.id,
    OperatorToken.public_id,
    OperatorToken.secret_hash,
    OperatorToken.expires_at,
    OperatorToken.revoked_at,
    Operator.id,
    Operator.name,
    Operator.role,
    Operator.removed_at,
)
_ONE: Any = (
    select(*_OF_TOKEN, Operator.all_clients, OperatorClient.client_id)
    .join(Operator, Operator.id == OperatorToken.operator_id)
    .outerjoin(OperatorClient, OperatorClient.operator_id == Operator.id)
    .where(OperatorToken.public_id == bindparam("public_id"))
)
_ALL_CLIENTS, _CLIENT = len(_OF_TOKEN), len(_OF_TOKEN) + 1


def operator_of(rows: Rows, text: str, role: Role, now: dt.datetime) -> access.Operator:
    """For a token's text. Refusals: operator_required, and those of :func:`server.services.operators.access.admit`."""
    public_id, secret = access.public_id_of(text)
    found = rows(_ONE, public_id=public_id)
    token = None
    if found:
        first = found[0]
        clients = None if first[_ALL_CLIENTS] else frozenset(row[_CLIENT] for row in found if row[_CLIENT] is not None)
        token = TokenRecord._make([*first[:_ALL_CLIENTS], clients])
    outcome = access.admit(token, secret, role=role, now=now)
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
