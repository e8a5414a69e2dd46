"""Operators: add, change, remove, list. Called by the CLI."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from contracts.text import say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.clients import find_client
from server.services.operators.access import Role
from server.storage.models import Client, Operator, OperatorClient, OperatorToken
from server.storage.session import Reader

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """An operator as shown. ``tokens``: how many are valid now."""

    name: str
    role: str
    clients: tuple[str, ...] | Literal["all"]
    tokens: int
    created_at: dt.datetime


def add_operator(session: Session, name: str, role: Role, clients: Collection[str], now: dt.datetime) -> OperatorRow:
    """No ``clients``: all of them, also later ones. One that was removed is taken back, without its earlier tokens.

    Refusals: name_invalid, name_taken, client_unknown.
    """
    if not _NAME.fullmatch(name):
        raise Refusal(
            table.NAME_INVALID,
            name=quoted(name),
            noun=say("operator"),
            allowed=say("1 to 64 letters, digits or . _ @ + -, with a letter or digit at both ends"),
        )
    operator = session.scalars(select(Operator).where(Operator.name == name)).one_or_none()
    if operator is None:
        operator = Operator(name=name, role=role, all_clients=True, created_at=now)
        session.add(operator)
    elif operator.removed_at is None:
        taken = say("operator {name}", name=quoted(name))
        raise Refusal(table.NAME_TAKEN, name=taken, command="flagee-server operator list")
    operator.role, operator.created_at, operator.removed_at = role, now, None
    session.flush()
    _give_clients(session, operator, clients)
    return _shown(session, name, now)


def change_operator(
    session: Session, name: str, now: dt.datetime, *, role: Role | None, clients: Collection[str] | None
) -> OperatorRow:
    """What is None stays; empty ``clients``: all of them. It counts from the next request on. Refusals: operator_unknown,
    client_unknown."""
    operator = find_operator(session, name)
    if role is not None:
        operator.role = role
    if clients is not None:
        _give_clients(session, operator, clients)
    session.flush()
    return _shown(session, name, now)


def remove_operator(session: Session, name: str, now: dt.datetime) -> int:
    """End all tokens of an operator at once; how many. Refusal: operator_unknown."""
    operator = find_operator(session, name)
    operator.removed_at = now
    mine = (OperatorToken.operator_id == operator.id, OperatorToken.revoked_at.is_(None))
    ended = session.execute(update(OperatorToken).where(*mine).values(revoked_at=now).returning(OperatorToken.id)).all()
    _give_clients(session, operator, ())
    return len(ended)


def list_operators(reader: Reader, now: dt.datetime) -> list[OperatorRow]:
    query = (
        select(
            Operator.id,
            Operator.name,
            Operator.role,
            Operator.all_clients,
            Operator.created_at,
            Client.name.label("client"),
        )
        .outerjoin(OperatorClient, OperatorClient.operator_id == Operator.id)
        .outerjoin(Client, Client.id == OperatorClient.client_id)
        .where(Operator.removed_at.is_(None))
        .order_by(Operator.name, Client.name)
    )
    valid = select(OperatorToken.operator_id).where(
        OperatorToken.revoked_at.is_(None), OperatorToken.expires_at.is_(None) | (OperatorToken.expires_at > now)
    )
    owners: Sequence[int] = list(reader.scalars(valid))
    found = []
    for _, group in groupby(reader.execute(query), key=lambda row: row.id):
        rows = list(group)
        one = rows[0]
        clients = tuple(row.client for row in rows if row.client is not None)
        tokens = owners.count(one.id)
        found.append(OperatorRow(one.name, one.role, "all" if one.all_clients else clients, tokens, one.created_at))
    return found


def find_operator(session: Session, name: str) -> Operator:
    """Refusal: operator_unknown."""
    found = session.scalars(select(Operator).where(Operator.name == name, Operator.removed_at.is_(None))).one_or_none()
    if found is None:
        raise Refusal(table.OPERATOR_UNKNOWN, operator=quoted(name))
    return found


def _give_clients(session: Session, operator: Operator, clients: Collection[str]) -> None:
    ids = {find_client(session, name) for name in clients}
    session.execute(delete(OperatorClient).where(OperatorClient.operator_id == operator.id))
    session.add_all(OperatorClient(operator_id=operator.id, client_id=client_id) for client_id in sorted(ids))
    operator.all_clients = not ids
    session.flush()


def _shown(session: Session, name: str, now: dt.datetime) -> OperatorRow:
    [found] = [row for row in list_operators(session, now) if row.name == name]
    return found
