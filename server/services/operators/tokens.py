"""Tokens of operators: issue, revoke, list. Called by the CLI."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contracts.secret import Secret
from contracts.text import say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.operators.managing import find_operator
from server.services.tokens.access import State, hash_of, state_at
from server.storage.models import Operator, OperatorToken
from server.storage.session import Reader

_WHOLE = re.compile(r"fo1\.([^.]*)\..*")


@dataclass(frozen=True, slots=True)
class OperatorTokenRow:
    """A token as it may be shown."""

    id: str
    operator: str
    state: State
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None


def issue_token(
    session: Session, name: str, expires_at: dt.datetime | None, now: dt.datetime
) -> tuple[OperatorTokenRow, Secret]:
    """Make a token; returns its text too, which cannot be had again. Refusal: operator_unknown."""
    operator = find_operator(session, name)
    public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    session.add(
        OperatorToken(
            public_id=public_id,
            operator_id=operator.id,
            secret_hash=hash_of(secret),
            created_at=now,
            expires_at=expires_at,
        )
    )
    session.flush()
    row = OperatorTokenRow(public_id, operator.name, "active", now, expires_at, None)
    return row, Secret(f"fo1.{public_id}.{secret}")


def revoke_token(session: Session, public_id: str, now: dt.datetime) -> tuple[str, bool]:
    """End a token at once: its public id, and False when it was revoked before. Refusal: token_unknown."""
    if form := _WHOLE.fullmatch(public_id):  # the whole token was given; its secret must not come back in a message
        public_id = form[1]
    mine = OperatorToken.public_id == public_id
    row = session.execute(select(OperatorToken.id, OperatorToken.revoked_at).where(mine)).first()
    if row is None:
        raise Refusal(
            table.TOKEN_UNKNOWN,
            says=say("no operator has a token with the id {id}", id=quoted(public_id)),
            do=say("see: flagee-server operator tokens"),
        )
    if row.revoked_at is not None:
        return public_id, False
    session.execute(update(OperatorToken).where(OperatorToken.id == row.id).values(revoked_at=now))
    return public_id, True


def list_operator_tokens(reader: Reader, now: dt.datetime, name: str | None = None) -> list[OperatorTokenRow]:
    """All tokens, or those of one operator, oldest first; also of operators that were removed."""
    query = (
        select(
            OperatorToken.public_id,
            Operator.name,
            OperatorToken.created_at,
            OperatorToken.expires_at,
            OperatorToken.revoked_at,
            OperatorToken.last_used_at,
        )
        .join(Operator, Operator.id == OperatorToken.operator_id)
        .order_by(Operator.name, OperatorToken.id)
    )
    if name is not None:
        if reader.scalar(select(Operator.id).where(Operator.name == name)) is None:
            raise Refusal(table.OPERATOR_UNKNOWN, operator=quoted(name))
        query = query.where(Operator.name == name)
    return [
        OperatorTokenRow(
            row.public_id,
            row.name,
            state_at(now, revoked_at=row.revoked_at, used_at=None, expires_at=row.expires_at),
            row.created_at,
            row.expires_at,
            row.last_used_at,
        )
        for row in reader.execute(query)
    ]
