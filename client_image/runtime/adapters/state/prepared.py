"""Queries that a run asks for every host: compiled once, then handed to the driver as they are.

SQLAlchemy's own way to a row takes ten times as long as SQLite does for a look-up by index. Made by hosts and identities, called
through :meth:`runtime.adapters.state.store.State.one`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Select
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
        """The row, by column names; None where there is none. Raises sqlite3.Error."""
        text, own, order = self._compiled
        cursor.execute(text, [values[name] if name in values else own[name] for name in order])
        found = cursor.fetchone()
        if found is None:
            return None
        row = list(found)
        for place, reader in self._readers:
            row[place] = reader(row[place])
        return self._row._make(row)
