"""Statements that a run needs for every host: compiled once, then handed to the driver as they are.

SQLAlchemy's own way through a statement takes ten times as long as SQLite does for a look-up by index. Made by hosts, identities
and the ledger; queries are asked through :meth:`runtime.adapters.state.store.State.one`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Insert, Select
from sqlalchemy.dialects.sqlite import dialect as sqlite
from sqlalchemy.engine.interfaces import DBAPICursor

_DIALECT = sqlite()


class PreparedQuery:
    """A SELECT of one row, with parameters of types that the driver takes as they are: texts, numbers, None."""

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement

    @cached_property
    def _compiled(self) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
        """The text, values that the statement itself holds, and the parameters in their order."""
        compiled = self.statement.compile(dialect=_DIALECT)
        return str(compiled), dict(compiled.params), tuple(compiled.positiontup or ())

    @cached_property
    def _row(self) -> Any:
        return namedtuple("Row", self.statement.selected_columns.keys())

    @cached_property
    def _readers(self) -> list[tuple[int, Any]]:
        """Columns whose values are not what the driver returns, as instants: their place and what reads them."""
        found = [column.type.result_processor(_DIALECT, None) for column in self.statement.selected_columns]
        return [(place, reader) for place, reader in enumerate(found) if reader is not None]

    def one(self, cursor: DBAPICursor, values: Mapping[str, Any]) -> Any:
        """The row, by column names; None when no row matches. Raises sqlite3.Error."""
        text, own, order = self._compiled
        cursor.execute(text, [values[name] if name in values else own[name] for name in order])
        found = cursor.fetchone()
        if found is None:
            return None
        row = list(found)
        for place, reader in self._readers:
            row[place] = reader(row[place])
        return self._row._make(row)


class PreparedInsert:
    """An INSERT, or an upsert, of rows that all have the columns of the first one ever given."""

    def __init__(self, statement: Insert) -> None:
        self._statement = statement
        self._text = ""
        self._own: Mapping[str, Any] = {}
        self._order: list[tuple[str, Callable[[Any], Any] | None]] = []

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many rows were written, in the transaction of ``connection``. Raises sqlite3.Error."""
        if not self._text:
            self._compile(tuple(rows[0]))
        with closing(connection.connection.cursor()) as cursor:
            cursor.executemany(self._text, [self._values({**self._own, **row}) for row in rows])
            return int(cursor.rowcount)

    def _values(self, row: Mapping[str, Any]) -> list[Any]:
        return [row[name] if write is None else write(row[name]) for name, write in self._order]

    def _compile(self, columns: tuple[str, ...]) -> None:
        compiled = self._statement.compile(dialect=_DIALECT, column_keys=columns)
        order = compiled.positiontup or ()
        self._own = {name: value for name, value in compiled.params.items() if name not in columns}
        self._order = [(name, compiled.binds[name].type.bind_processor(_DIALECT)) for name in order]
        self._text = str(compiled)
