"""Whether a database holds the tables and columns that this release works with. Called when one is opened, before it is trusted.

A schema of a later release has them all, since migrations only add; one of an earlier release is looked at after its migration.
"""

from __future__ import annotations

import stat
from pathlib import Path

from sqlalchemy import Connection

from runtime.adapters.state.files import kind_of
from runtime.adapters.state.tables import metadata

_COLUMNS = "SELECT t.name, c.name FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table'"


def missing(connection: Connection) -> str:
    """The first table, or table.column, that is not there; empty when all are."""
    there: dict[str, set[str]] = {}
    for row in connection.exec_driver_sql(_COLUMNS):
        there.setdefault(row[0], set()).add(row[1])
    for table in metadata.tables.values():
        if table.name not in there:
            return table.name
        for column in table.columns:
            if column.name not in there[table.name]:
                return f"{table.name}.{column.name}"
    return ""


def not_a_file(path: Path) -> str:
    """What stands where the database is expected, as in "a folder"; empty for a file, or for nothing. Raises OSError."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ""
    return "" if stat.S_ISREG(mode) else kind_of(mode)
