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

from server.services.configurations.in_force import foreign_keys, key_mismatch
from server.services.installer.assets import Assets
from server.storage.causes import DatabaseReplaced, DatabaseUnavailable
from server.storage.crypto import Vault
from server.storage.faults import explain
from server.storage.schema import Schema, inspect_schema
from server.storage.session import Database
from server.storage.sqlite.disk import Disk, disk_of
from server.storage.write_status import Failure

_STALE = 10.0  # seconds after which a finding is waited for, while another request is at it

Reason = Literal[
    "database_unavailable",
    "database_replaced",
    "schema_absent",
    "schema_behind",
    "schema_newer",
    "secret_key_missing",
    "secret_key_mismatch",
    "assets_missing",
    "write_failed",
    "disk_full",
    "disk_nearly_full",
    "disk_read_only",
]
# With these nothing can be served; with the others something can, and reading always.
_ERRORS: frozenset[Reason] = frozenset(
    {
        "database_unavailable",
        "database_replaced",
        "schema_absent",
        "schema_behind",
        "schema_newer",
        "secret_key_missing",
    }
)
# Of the others, those that a load balancer is to know of: another server may be set up well. A disk is not, as all share it.
_NOT_READY = _ERRORS | {"secret_key_mismatch", "assets_missing"}


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
    reasons: tuple[Reason, ...]

    @property
    def status(self) -> Literal["ok", "degraded", "error"]:
        """error: nothing can be served. degraded: something cannot be served or stored."""
        if _ERRORS.intersection(self.reasons):
            return "error"
        return "degraded" if self.reasons else "ok"

    @property
    def not_ready(self) -> tuple[Reason, ...]:
        """Why a load balancer should send requests elsewhere; empty when it need not."""
        return tuple(reason for reason in self.reasons if reason in _NOT_READY)

    @property
    def problems(self) -> tuple[str, ...]:
        """For the operator, not for strangers."""
        disk = f"{self.disk} where the database is; below that writes fail" if self.disk else ""
        return (
            *self.found.problems,
            *([disk] if "disk_nearly_full" in self.reasons else []),
            *([disk.replace("below that writes fail", "writes fail")] if "disk_full" in self.reasons else []),
            *(["the volume of the database is mounted read-only"] if "disk_read_only" in self.reasons else []),
        )


class HealthCheck:
    """One a process. ``now`` costs microseconds while the finding is fresh; to renew it one request at a time is held up.

    ``age`` is for how many seconds a finding is good. While writing fails a test write is made, at most one in ``prove_every``
    seconds by all processes together: else nothing would show that it works again.
    """

    def __init__(self, database: Database, vault: Vault | None, assets: Assets) -> None:
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


def _ask(database: Database, vault: Vault | None, assets: Assets) -> Finding:
    problems: list[str] = []
    if missing := assets.problem():
        problems.append(missing)
    state: Literal["ok", "missing"] = "missing" if missing else "ok"
    key: Literal["ok", "missing", "mismatch", "unknown"] = "unknown" if vault else "missing"
    if vault is None:
        problems.append("FLAGEE_SECRET_KEY is not set; configurations can neither be stored nor served without it")
    try:
        schema = inspect_schema(database)
        if advice := schema.advice():
            problems.append(f"{database.location}: {advice}")
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


_SCHEMA: dict[str, Reason] = {"absent": "schema_absent", "behind": "schema_behind", "newer": "schema_newer"}
_DISK: dict[str, Reason] = {"full": "disk_full", "nearly_full": "disk_nearly_full", "read_only": "disk_read_only"}


def _reasons(found: Finding, writing: Literal["ok", "failing"], disk: Disk | None) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if found.database == "replaced":
        reasons.append("database_replaced")
    elif found.database == "unavailable":
        reasons.append("database_unavailable")
    elif found.schema and found.schema.state in _SCHEMA:
        reasons.append(_SCHEMA[found.schema.state])
    if found.key == "missing":
        reasons.append("secret_key_missing")
    elif found.key == "mismatch":
        reasons.append("secret_key_mismatch")
    if found.assets == "missing":
        reasons.append("assets_missing")
    if writing == "failing":
        reasons.append("write_failed")
    if disk and disk.state in _DISK:
        reasons.append(_DISK[disk.state])
    return tuple(reasons)
