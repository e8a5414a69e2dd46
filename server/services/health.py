"""Whether the control plane can do its work. Called by the health and ready answers, and by ``serve`` before it starts.

What the database says is asked once in a while, however often strangers ask. What costs microseconds (the last writes, which file
the database is, free space) is true at the moment of asking.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from contracts.text import say
from server.reasons import table
from server.reasons.row import Row
from server.services.configurations.in_force import foreign_keys, key_mismatch
from server.services.installer.assets import InstallerFiles
from server.storage.causes import DatabaseReplaced, DatabaseUnavailable
from server.storage.crypto import Vault
from server.storage.faults import explain
from server.storage.schema import Schema, inspect_schema
from server.storage.session import Database
from server.storage.sqlite.disk import Disk, disk_of
from server.storage.write_status import Failure

_STALE = 10.0  # seconds after which a finding is waited for, while another request is at it

# With these nothing can be served; with the others something can, and reading always.
_ERRORS = frozenset(
    {
        table.DATABASE_UNAVAILABLE,
        table.DATABASE_REPLACED,
        table.SCHEMA_ABSENT,
        table.SCHEMA_BEHIND,
        table.SCHEMA_NEWER,
        table.SECRET_KEY_MISSING,
    }
)
# Of the others, those that a load balancer is to know of: another server may be set up well. A disk is not, as all share it.
_NOT_READY = _ERRORS | {table.SECRET_KEY_MISMATCH, table.ASSETS_MISSING}


@dataclass(frozen=True, slots=True)
class Finding:
    """What had to be asked. ``problems`` are sentences for the operator, each with its fix; they name the database."""

    database: Literal["ok", "unavailable", "replaced"]
    schema: Schema | None
    key: Literal["ok", "missing", "mismatch", "unknown"]
    assets: Literal["ok", "missing"]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """``disk`` is None for PostgreSQL, or when it cannot be asked; ``last_failure`` may have been put right since."""

    found: Finding
    writing: Literal["ok", "failing"]
    last_failure: Failure | None
    disk: Disk | None
    reasons: tuple[Row, ...]

    @property
    def status(self) -> Literal["ok", "degraded", "error"]:
        """error: nothing can be served. degraded: something cannot be served or stored."""
        if _ERRORS.intersection(self.reasons):
            return "error"
        return "degraded" if self.reasons else "ok"

    @property
    def not_ready(self) -> tuple[Row, ...]:
        """Why a load balancer should send requests elsewhere; empty when it need not."""
        return tuple(reason for reason in self.reasons if reason in _NOT_READY)

    @property
    def problems(self) -> tuple[str, ...]:
        """For the operator, not for strangers."""
        of_disk = (table.DISK_NEARLY_FULL, table.DISK_FULL, table.DISK_READ_ONLY)
        return (
            *self.found.problems,
            *(self._of_disk(row) for row in of_disk if row in self.reasons),
        )

    def _of_disk(self, row: Row) -> str:
        if row is table.DISK_FULL:
            return row.text(says=say("{disk} where the database is, and writes fail", disk=self.disk))
        return row.text(disk=self.disk)


class HealthCheck:
    """One a process. ``now`` costs microseconds while the finding is fresh; to renew it one request at a time is held up.

    ``age`` is for how many seconds a finding is good. While writing fails a test write is made, at most one in ``prove_every``
    seconds by all processes together: else nothing would show that it works again.
    """

    def __init__(self, database: Database, vault: Vault | None, assets: InstallerFiles) -> None:
        self.age = 1.0
        self.prove_every = 5.0
        self._database = database
        self._vault = vault
        self._assets = assets
        self._lock = threading.Lock()
        self._found: tuple[float, Finding] | None = None

    def now(self) -> Health:
        """Never raises for a broken part."""
        found = self._finding()
        status = self._database.status
        try:
            self._database.check()
        except DatabaseReplaced:
            found = Finding("replaced", found.schema, found.key, found.assets, found.problems)
        writing: Literal["ok", "failing"] = "failing" if status.failing() else "ok"
        disk = self._disk()
        return Health(found, writing, status.last_failure(), disk, _reasons(found, writing, disk))

    def _finding(self) -> Finding:
        known, now = self._found, time.monotonic()
        if known and now - known[0] < self.age:
            return known[1]
        patient = known is None or now - known[0] > _STALE
        if not self._lock.acquire(blocking=patient):
            assert known is not None  # noqa: S101 -- the one who has no finding waits
            return known[1]
        try:
            if self._found is not known and self._found is not None:  # made while this request waited
                return self._found[1]
            status = self._database.status
            if status.failing() and self._has_room() and status.may_try(self.prove_every):
                self._database.prove_writing()
            found = _ask(self._database, self._vault, self._assets)
            self._found = time.monotonic(), found
            return found
        finally:
            self._lock.release()

    def _has_room(self) -> bool:
        """On a full disk a small write may still fit where a larger one failed; that would prove nothing."""
        disk = self._disk()
        return disk is None or disk.state in ("ok", "nearly_full")

    def _disk(self) -> Disk | None:
        file = self._database.file
        return disk_of(file.path) if file else None


def _ask(database: Database, vault: Vault | None, assets: InstallerFiles) -> Finding:
    problems: list[str] = []
    if missing := assets.problem():
        problems.append(missing)
    state: Literal["ok", "missing"] = "missing" if missing else "ok"
    key: Literal["ok", "missing", "mismatch", "unknown"] = "unknown" if vault else "missing"
    if vault is None:
        problems.append(
            table.SECRET_KEY_MISSING.text(do=say("configurations can neither be stored nor served without it"))
        )
    try:
        schema = inspect_schema(database)
        if advice := schema.advice():
            problems.append(say("{database}: {advice}", database=database.location, advice=advice))
        elif vault:
            with database.reading() as connection:
                foreign = foreign_keys(connection, vault)
            key = "mismatch" if foreign else "ok"
            problems += [key_mismatch(vault, other) for other in foreign]
    except DatabaseReplaced as error:
        return Finding("replaced", None, key, state, (*problems, str(error)))
    except (SQLAlchemyError, DatabaseUnavailable) as error:
        return Finding("unavailable", None, key, state, (*problems, explain(error, database)))
    return Finding("ok", schema, key, state, tuple(problems))


_SCHEMA = {"absent": table.SCHEMA_ABSENT, "behind": table.SCHEMA_BEHIND, "newer": table.SCHEMA_NEWER}
_DISK = {"full": table.DISK_FULL, "nearly_full": table.DISK_NEARLY_FULL, "read_only": table.DISK_READ_ONLY}
# Every row that the answer may name.
REASONS = (*_NOT_READY, table.WRITE_FAILED, *_DISK.values())


def _reasons(found: Finding, writing: Literal["ok", "failing"], disk: Disk | None) -> tuple[Row, ...]:
    reasons: list[Row] = []
    if found.database == "replaced":
        reasons.append(table.DATABASE_REPLACED)
    elif found.database == "unavailable":
        reasons.append(table.DATABASE_UNAVAILABLE)
    elif found.schema and found.schema.state in _SCHEMA:
        reasons.append(_SCHEMA[found.schema.state])
    if found.key == "missing":
        reasons.append(table.SECRET_KEY_MISSING)
    elif found.key == "mismatch":
        reasons.append(table.SECRET_KEY_MISMATCH)
    if found.assets == "missing":
        reasons.append(table.ASSETS_MISSING)
    if writing == "failing":
        reasons.append(table.WRITE_FAILED)
    if disk and disk.state in _DISK:
        reasons.append(_DISK[disk.state])
    return tuple(reasons)
