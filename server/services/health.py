"""Whether the control plane can do its work. Called by the health answer and, before it starts gunicorn, by ``serve``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

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
    problems: tuple[str, ...]

    @property
    def status(self) -> Literal["ok", "degraded", "error"]:
        """error: nothing can be served. degraded: some network's configuration was stored under another key."""
        if not self.problems:
            return "ok"
        return "degraded" if self.key == "mismatch" else "error"


def check(database: Database, vault: Vault | None) -> Health:
    """Look at the database, its schema, and whether the secret key opens what is stored. Never raises for a broken part."""
    problems: list[str] = []
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
        return Health("unavailable", None, key, (*problems, explain(error, database)))
    return Health("ok", schema, key, tuple(problems))
