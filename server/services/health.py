"""Whether the control plane can do its work. Called by the health answer and, before it starts gunicorn, by ``serve``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from server.services.assets import Assets
from server.services.configurations import foreign_keys, key_mismatch
from server.storage.crypto import Vault
from server.storage.faults import explain
from server.storage.schema import Schema, inspect_schema
from server.storage.session import Database


@dataclass(frozen=True, slots=True)
class Health:
    """``problems`` are sentences for the operator, each with its fix. They name the database: not for strangers."""

    database: Literal["ok", "unavailable"]
    schema: Schema | None
    key: Literal["ok", "missing", "mismatch", "unknown"]
    assets: Literal["ok", "missing"]
    problems: tuple[str, ...]

    @property
    def status(self) -> Literal["ok", "degraded", "error"]:
        """error: nothing can be served. degraded: a network's configuration needs another key, or nothing can be installed."""
        if self.database == "unavailable" or self.key in ("missing", "unknown"):
            return "error"
        return "degraded" if self.problems else "ok"


def check(database: Database, vault: Vault | None, assets: Assets) -> Health:
    """Look at the database, its schema, whether the secret key opens what is stored, and at what the installer is made from.

    Never raises for a broken part.
    """
    problems: list[str] = []
    if found := assets.problem():
        problems.append(found)
    state: Literal["ok", "missing"] = "missing" if found else "ok"
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
    except SQLAlchemyError as error:
        return Health("unavailable", None, key, state, (*problems, explain(error, database)))
    return Health("ok", schema, key, state, tuple(problems))
