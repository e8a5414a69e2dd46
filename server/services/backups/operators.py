"""What a restore carries over of operators: tokens that were ended since the backup stay ended. Called by ``restore``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, inspect, select, update

from server.storage.models import Operator, OperatorToken


class Known(NamedTuple):
    """A token's operator, and when it ended."""

    operator: str
    revoked_at: dt.datetime | None


def operator_tokens(connection: Connection) -> dict[str, Known]:
    """By public id; empty for a revision that has no operators."""
    if not inspect(connection).has_table(OperatorToken.__tablename__):
        return {}
    rows = connection.execute(
        select(OperatorToken.public_id, Operator.name, OperatorToken.revoked_at)
        .join(Operator, Operator.id == OperatorToken.operator_id)
        .order_by(OperatorToken.id)
    )
    return {row.public_id: Known(row.name, row.revoked_at) for row in rows}


def ended_since(here: Mapping[str, Known], there: Mapping[str, Known]) -> Iterable[tuple[str, str]]:
    """Id and operator of those that are valid ``there``, in the backup, and ended ``here``, in what it replaces."""
    for public_id, known in here.items():
        before = there.get(public_id)
        if known.revoked_at is not None and before is not None and before.revoked_at is None:
            yield public_id, known.operator


def issued_since(here: Mapping[str, Known], there: Mapping[str, Known]) -> Iterable[tuple[str, str]]:
    """Id and operator of valid tokens that the backup does not know."""
    return ((id, known.operator) for id, known in here.items() if known.revoked_at is None and id not in there)


def end_tokens_of_operators(draft: Connection, here: Mapping[str, Known]) -> None:
    """End in the draft what is ended ``here``, at the same instants."""
    if not inspect(draft).has_table(OperatorToken.__tablename__):
        return
    for public_id, known in here.items():
        if known.revoked_at is not None:
            mine = (OperatorToken.public_id == public_id, OperatorToken.revoked_at.is_(None))
            draft.execute(update(OperatorToken).where(*mine).values(revoked_at=known.revoked_at))
