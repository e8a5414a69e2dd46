"""SELECTs for the hottest path: compiled once, run on the driver's own connection. Made by :mod:`server.wiring`.

SQLAlchemy's execution costs several times what SQLite needs for a small indexed query. The statements still come from the models,
and so do the types of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Dialect, Select
from sqlalchemy.exc import DBAPIError

from server.storage.correlation import correlated
from server.storage.session import Database

_Convert = Callable[[Any], Any]


class Rows(Protocol):
    """Runs a SELECT; its rows, each with its columns in order. All parameters are ``bindparam`` with a name."""

    def __call__(self, statement: Select[*tuple[Any, ...]], /, **parameters: Any) -> Sequence[Sequence[Any]]: ...


class Prepared:
    """:class:`Rows` on the pool's connections. One a process; a statement is kept for ever, so it must be a module's constant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Select[*tuple[Any, ...]], _Statement] = {}

    def __call__(self, statement: Select[*tuple[Any, ...]], /, **parameters: Any) -> Sequence[Sequence[Any]]:
        """Raises SQLAlchemyError, and what opening the database raises."""
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = _Statement(self._database.dialect, statement)
        lent = None
        try:
            lent = self._database.lend()
            found = known.run(lent.driver_connection, parameters)
        except BaseException as error:  # the server may have been restarted, or the caller was stopped in the middle
            if lent is not None:
                lent.invalidate()
                lent.close()
            dialect = self._database.dialect
            errors = dialect.loaded_dbapi.Error
            # As SQLAlchemy does: what an error is must not depend on who ran the statement.
            if isinstance(error, errors):
                raise DBAPIError.instance(None, None, error, errors, hide_parameters=True, dialect=dialect) from error
            raise
        self._database.give_back(lent)
        return found


class _Statement:
    def __init__(self, dialect: Dialect, statement: Select[*tuple[Any, ...]]) -> None:
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._order = compiled.positiontup  # None: PostgreSQL, whose driver takes names
        self._given: list[tuple[str, _Convert]] = [
            (name, convert)
            for name, bind in compiled.binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect))
        ]
        self._taken: list[tuple[int, _Convert]] = [
            (place, convert)
            for place, column in enumerate(statement.selected_columns)
            if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

    def run(self, driver: Any, parameters: dict[str, Any]) -> list[list[Any]]:
        for name, convert in self._given:
            parameters[name] = convert(parameters[name])
        if self._order is None:
            answer = driver.execute(correlated(self._sql), parameters)
        else:
            answer = driver.execute(self._sql, [parameters[name] for name in self._order])
        found = [list(row) for row in answer.fetchall()]
        for row in found:
            for place, convert in self._taken:
                if row[place] is not None:
                    row[place] = convert(row[place])
        return found
