"""A SELECT for the hottest path: compiled once, run on the driver's own connection. Used by :mod:`server.services.polls`.

SQLAlchemy's execution costs several times what SQLite needs for a small indexed query. The statement still comes from the models.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Select

from server.storage.session import Database


class Prepared:
    """Each thread keeps a connection of its own. All parameters of the statement must be ``bindparam`` with a name."""

    def __init__(self, database: Database, statement: Select[*tuple[Any, ...]]) -> None:
        dialect = database.dialect
        compiled = statement.compile(dialect=dialect)
        self._database = database
        self._sql = str(compiled)
        self._order = compiled.positiontup  # None: the driver takes names
        self._convert: dict[str, Callable[[Any], Any]] = {
            name: convert for name, bind in compiled.binds.items() if (convert := bind.type.bind_processor(dialect))
        }
        self._mine = threading.local()

    def first(self, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The first row as the driver gives it. Raises SQLAlchemyError when connecting fails, else the driver's own errors."""
        values = {**parameters, **{name: convert(parameters[name]) for name, convert in self._convert.items()}}
        given = values if self._order is None else [values[name] for name in self._order]
        self._database.check()
        try:
            row: tuple[Any, ...] | None = self._connection().execute(self._sql, given).fetchone()
        except Exception:
            self._drop()
            raise
        return row

    def _connection(self) -> Any:
        try:
            return self._mine.driver
        except AttributeError:
            self._mine.connection = self._database.keep()
            self._mine.driver = self._mine.connection.connection.driver_connection
            return self._mine.driver

    def _drop(self) -> None:
        """Connect anew next time: the server may have been restarted."""
        connection: Connection | None = getattr(self._mine, "connection", None)
        self._mine.__dict__.clear()
        if connection is not None:
            self._database.drop(connection)
