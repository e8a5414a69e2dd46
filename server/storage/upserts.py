"""INSERT with ON CONFLICT, which both databases have, each in a class of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from server.storage.models import Base


def insert_into(session: Session, model: type[Base]) -> Any:
    """The dialect's insert into the model's table: rows are given as dictionaries of columns, all of them in one statement. Many
    rows go faster by :mod:`server.storage.bulk`."""
    return insert_for(session.get_bind().dialect.name, model)


def insert_for(dialect: str, model: type[Base]) -> Any:
    """The same by the name of the dialect, for a statement that is made once and kept."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(model.__table__)  # type: ignore[arg-type]
