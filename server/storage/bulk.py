"""INSERT of many rows by a statement that is written once and handed to the driver.

SQLAlchemy's and the driver's work for each single value costs several times what the database needs for it. SQLite gets rows by
``executemany``. PostgreSQL gets each column as one text, which it splits again: two thirds as fast as COPY, and it still knows
ON CONFLICT and RETURNING. Tables and types come from the models.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from sqlalchemy import Column, Connection, String, Table, Uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from server.storage.correlation import correlated
from server.storage.models import Base
from server.storage.models.base import Instant

# Between the values of a column, and for one that is NULL: JSON allows neither in a text, and `visible` writes both out.
_BETWEEN, _NULL = "\x1f", "\x1e"
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]

Row = tuple[Any, ...]
_Convert = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(slots=True)
class New:
    """``rows``: those that were not there, after the block."""

    rows: Sequence[Row]


@contextmanager
def together(connection: Connection) -> Iterator[Any]:
    """What is executed in the block goes to PostgreSQL one after the other, with one wait at the end for all answers. Statements
    in it return nothing; what fails is raised at the end of the block. Gives the driver's connection; SQLite works as ever."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        yield driver
        return
    errors = connection.dialect.loaded_dbapi.Error
    try:
        with driver.pipeline():
            yield driver
    except errors as error:  # as SQLAlchemy does: what an error is must not depend on who ran the statement
        if driver.closed:
            connection.invalidate()
        raise DBAPIError.instance(
            None, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error


class Bulk:
    """Inserts rows of ``model``; one whose primary key is there already is left out. ``shared``: columns with one value for all
    rows; ``each``: columns of a row, in its order, the last column of the primary key among them.

    Values are what the columns take, but for a UUID, which is its 32 hexadecimal digits. Texts have no control characters but tab
    and line feed; where such a text would be taken apart wrongly, ValueError is raised and nothing is sent.
    """

    def __init__(self, model: type[Base], *, shared: Sequence[str], each: Sequence[str]) -> None:
        table = model.__table__
        assert isinstance(table, Table)  # noqa: S101  # of every model here
        names = (*shared, *each)
        *group, key = (column.name for column in table.primary_key)
        self._group = [names.index(name) for name in group]
        self._key = each.index(key)
        self._is_uuid = isinstance(table.c[key].type, Uuid)
        columns = [table.c[name] for name in names]
        into = f"INSERT INTO {table.name} ({', '.join(names)})"
        self._sqlite = f"{into} VALUES ({', '.join('?' * len(names))}) ON CONFLICT DO NOTHING"
        self._known = (
            f"SELECT {key} FROM {table.name} WHERE "  # noqa: S608  # names of the models
            f"{''.join(f'{name} = ? AND ' for name in group)}{key} IN (SELECT value FROM json_each(?))"
        )
        self._for_sqlite = [_for_sqlite(column) for column in columns]
        given = "".join(f"%(s{place})s, " for place in range(len(shared)))
        split = ", ".join(_split(f"c{place}", table.c[name]) for place, name in enumerate(each))
        chosen = f"SELECT {given}each.* FROM unnest({split}) AS each"  # noqa: S608
        self._postgresql = f"{into} {chosen} ON CONFLICT DO NOTHING"
        self._new = f"{self._postgresql} RETURNING {key}"
        self._for_postgresql = [_for_postgresql(column) for column in columns[len(shared) :]]

    def insert(self, connection: Connection, shared: Row, rows: Sequence[Row]) -> None:
        """In the transaction of ``connection``; the order of rows is kept."""
        if not rows:
            return
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(self._sqlite, self._whole(shared, rows))
        else:
            connection.exec_driver_sql(self._postgresql, self._texts(shared, rows))

    @contextmanager
    def inserting(self, connection: Connection, shared: Row, rows: Sequence[Row]) -> Iterator[New]:
        """As ``insert``; after the block the rows are known that were not there. PostgreSQL works while the block does, so that
        it is the place for what needs no database. No two of ``rows`` may have the same last column of the primary key."""
        new = New(rows)
        if not rows:
            yield new
            return
        if connection.dialect.name == "sqlite":
            # Nobody else writes in between: a transaction for writing has SQLite's lock from its start.
            known = self._stored(connection, shared, rows)
            if known:
                new.rows = [row for row in rows if row[self._key] not in known]
            self.insert(connection, shared, new.rows)
            yield new
            return
        with together(connection) as driver:
            # SQLAlchemy would ask for the answer at once.
            cursor = driver.execute(correlated(self._new), self._texts(shared, rows))
            yield new
        if cursor.rowcount < len(rows):
            keys = {row[0].hex if self._is_uuid else row[0] for row in cursor}
            new.rows = [row for row in rows if row[self._key] in keys]

    def _stored(self, connection: Connection, shared: Row, rows: Sequence[Row]) -> set[Any]:
        """The keys of those that are there."""
        groups: defaultdict[Row, list[Any]] = defaultdict(list)
        for row in rows:
            whole = shared + row
            groups[tuple([whole[place] for place in self._group])].append(row[self._key])
        found: set[Any] = set()
        for group, keys in groups.items():
            found.update(connection.exec_driver_sql(self._known, (*group, json.dumps(keys))).scalars())
        return found

    def _whole(self, shared: Row, rows: Sequence[Row]) -> list[Row]:
        [given] = zip(*_converted([(value,) for value in shared], self._for_sqlite[: len(shared)]), strict=True)
        each = _converted(list(zip(*rows, strict=True)), self._for_sqlite[len(shared) :])
        return list(zip(*[repeat(value, len(rows)) for value in given], *each, strict=True))

    def _texts(self, shared: Row, rows: Sequence[Row]) -> dict[str, Any]:
        given = {f"s{place}": value for place, value in enumerate(shared)}
        for place, values in enumerate(_converted(list(zip(*rows, strict=True)), self._for_postgresql)):
            text = _BETWEEN.join([_NULL if value is None else value for value in values])
            if text.count(_BETWEEN) != len(rows) - 1:
                raise ValueError("a text holds the character that separates texts")
            given[f"c{place}"] = text
        return given


def _converted(columns: Iterable[Iterable[Any]], converts: Iterable[_Convert | None]) -> list[Iterable[Any]]:
    return [convert(column) if convert else column for column, convert in zip(columns, converts, strict=True)]


def _for_sqlite(column: Column[Any]) -> _Convert | None:
    """Instants as SQLAlchemy writes them there: in UTC, with all digits, without a zone."""
    return (lambda values: map(_utc, values)) if isinstance(column.type, Instant) else None


def _utc(value: dt.datetime | None) -> str | None:
    return value.astimezone(dt.UTC).isoformat(" ", "microseconds")[: -len("+00:00")] if value else None


def _for_postgresql(column: Column[Any]) -> _Convert | None:
    if isinstance(column.type, String | Uuid):
        return None
    if isinstance(column.type, Instant):
        return lambda values: (None if value is None else value.isoformat() for value in values)
    return lambda values: (None if value is None else str(value) for value in values)


def _split(name: str, column: Column[Any]) -> str:
    """The column's values out of one text. Of a text without a character, PostgreSQL makes no value instead of an empty one."""
    split = f"string_to_array(%({name})s, E'\\x1f', E'\\x1e')"
    if isinstance(column.type, String):
        return f"coalesce(nullif({split}, '{{}}'), ARRAY[''])"  # not varchar(n), which would cut in silence
    return f"{split}::{column.type.compile(_DIALECT)}[]"
