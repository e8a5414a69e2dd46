"""Partitions of ``envelopes`` by day, on PostgreSQL; SQLite has one table, and nothing to do. Called by telemetry's retention.

Days ahead get theirs before a row of that day can be in the default partition, which takes whatever has no other: it then never
has to be looked through.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

_AHEAD = 7
_NAME = "envelopes_day_"
_LISTED = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
    "WHERE inhparent = 'envelopes'::regclass ORDER BY child.relname"
)


def is_partitioned(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def make_ahead(session: Session, today: int) -> int:
    """The partitions of tomorrow and the days after; how many were made. A day that the default partition has rows of stays
    there. Waits for nobody: what cannot be had at once is made the next time."""
    connection = session.connection()
    known = set(_names(connection))
    made = 0
    for day in range(today + 1, today + 1 + _AHEAD):
        if f"{_NAME}{day}" in known:
            continue
        try:
            with session.begin_nested():
                connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
                connection.exec_driver_sql(
                    f"CREATE TABLE {_NAME}{day} PARTITION OF envelopes FOR VALUES FROM ({day}) TO ({day + 1})"
                )
            made += 1
        except DBAPIError:
            continue
    return made


def past_days(session: Session, before: int) -> list[int]:
    """Days with a partition, all of them earlier than ``before``."""
    return [day for name in _names(session.connection()) if (day := int(name.removeprefix(_NAME))) < before]


def drop_day(session: Session, day: int) -> None:
    """The partition of a day, with what is in it."""
    connection = session.connection()
    connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
    connection.exec_driver_sql(f"DROP TABLE {_NAME}{day}")


def _names(connection: Connection) -> Iterator[str]:
    return (name for name in connection.scalars(_LISTED) if name.startswith(_NAME))
