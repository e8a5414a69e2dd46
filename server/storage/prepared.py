"""A SELECT for the hottest path: compiled once, run on the driver's own connection. Used by :mod:`server.services.polls`.

SQLAlchemy's execution costs several times what SQLite needs for a small indexed query. The statement still comes from the models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Select

from server.storage.session import Database


class Prepared:
    """Connections are kept, and lent to one caller at a time. All parameters of the statement must be named ``bindparam``."""

    def __init__(self, database: Database, statement: Select[*tuple[Any, ...]]) -> None:
        dialect = database.dialect
        compiled = statement.compile(dialect=dialect)
        self._database = database
        self._sql = str(compiled)
        self._order = compiled.positiontup  # None: the driver takes names
        self._convert: dict[str, Callable[[Any], Any]] = {
            name: convert for name, bind in compiled.binds.items() if (convert := bind.type.bind_processor(dialect))
        }
        self._free: list[Connection] = []

    def first(self, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The first row as the driver gives it. Raises SQLAlchemyError when connecting fails, else the driver's own errors."""
        values = {**parameters, **{name: convert(parameters[name]) for name, convert in self._convert.items()}}
        given = values if self._order is None else [values[name] for name in self._order]
        self._database.check()
        connection = self._free.pop() if self._free else self._database.keep()
        try:
            driver: Any = connection.connection.driver_connection
            row: tuple[Any, ...] | None = driver.execute(self._sql, given).fetchone()
        except BaseException:  # the server may have been restarted, or the caller was stopped in the middle
            self._database.drop(connection)
            raise
        self._free.append(connection)
        return row
