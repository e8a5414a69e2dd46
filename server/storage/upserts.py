"""INSERT with ON CONFLICT, which both databases have, each in a class of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from server.storage.models import Base


def insert_into(session: Session, model: type[Base]) -> Any:
    """The dialect's insert into the model's table: rows are given as dictionaries of columns, all of them in one statement."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(model.__table__)  # type: ignore[arg-type]
