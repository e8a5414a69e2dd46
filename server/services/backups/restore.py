"""Puts a backup in place of the SQLite database, while no server runs. Called by ``flagee-server restore``.

A backup does not know what was revoked after it was made, so revocations are carried over from the database that it replaces:
a token that somebody had a reason to end must not work again because of a restore.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, func, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError

from contracts.text import say
from server.plain_file import not_plain
from server.services.backups.operators import (
    end_tokens_of_operators,
    ended_since,
    issued_since,
    operator_tokens,
)
from server.services.configurations.in_force import foreign_keys
from server.storage.causes import DatabaseInUse
from server.storage.copies import Contents, CopyFailed, Progress, check, copy_file, make_lasting, using
from server.storage.crypto import Vault
from server.storage.models import Agent, Client, Configuration, Network, Token
from server.storage.schema import Schema, judge
from server.storage.sqlite.database_file import DatabaseFile, beside
from server.storage.sqlite.file_header import is_backup, new_application_id, set_application_id

_MAGIC = b"SQLite format 3\0"

Ended = Literal["revoked", "used"]


@dataclass(frozen=True, slots=True)
class TokenNote:
    """A token by its public id, with its client and, when it is one agent's own, the agent's id; or with its operator."""

    id: str
    client: str | None
    agent: str | None
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class EndedSince(TokenNote):
    """Valid in the backup, but ended in the database that it replaces."""

    state: Ended = "revoked"


@dataclass(frozen=True, slots=True)
class Fallback:
    """A network whose configuration is an older version after the restore; 0 for none."""

    client: str
    network: str
    was: int
    now: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What the replaced database knew and the backup does not. ``issued`` are valid tokens, which no longer work."""

    ended: tuple[EndedSince, ...]
    issued: tuple[TokenNote, ...]
    configurations: tuple[Fallback, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """``kept`` is the replaced database, None when there was none; ``difference`` is None when it could not be read.

    ``foreign_keys`` are ids of keys other than FLAGEE_SECRET_KEY that configurations need; None when that is not set.
    """

    contents: Contents
    schema: Schema
    foreign_keys: tuple[str, ...] | None
    kept: Path | None
    difference: Difference | None
    revocations: Literal["unknown", "none", "carried_over", "dropped"]


def restore(
    file: DatabaseFile, source: Path, vault: Vault | None, *, carry_over: bool, now: dt.datetime, progress: Progress
) -> Restored:
    """Replace the database by a copy of ``source``. Raises CopyFailed, DatabaseInUse, OSError; then nothing was changed."""
    path = file.path.resolve()
    if not source.is_file():
        raise CopyFailed(say("there is no file {source}; nothing was changed", source=source))
    if path.exists() and source.samefile(path):
        raise CopyFailed(
            say("{source} is the database itself; rename it first, then restore it under its new name", source=source)
        )
    if path.exists() and (kind := not_plain(path.stat().st_mode)):
        raise CopyFailed(
            say("{path} is {kind}, not a file; nothing was changed. Correct FLAGEE_DATABASE_URL", path=path, kind=kind)
        )
    with file.alone() as in_place, tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        draft = Path(folder) / "copy"
        copy_file(source, draft, progress)
        found, schema = _judged(source, draft)
        replaced = _settled(path)
        difference = _compared(path, draft) if replaced == "readable" else None
        with using(draft) as connection:
            if carry_over and difference:
                _end_again(connection, path)
            foreign = tuple(foreign_keys(connection, vault)) if vault and "configurations" in found.counts else None
        _make_ready(draft, path)
        kept = _exchange(draft, path, now)
        in_place()
    return Restored(found, schema, foreign, kept, difference, _revocations(difference, carry_over=carry_over))


def _revocations(
    difference: Difference | None, *, carry_over: bool
) -> Literal["unknown", "none", "carried_over", "dropped"]:
    if difference is None:
        return "unknown"
    if not difference.ended:
        return "none"
    return "carried_over" if carry_over else "dropped"


def _judged(source: Path, draft: Path) -> tuple[Contents, Schema]:
    try:
        found = check(draft)
    except CopyFailed as error:
        raise CopyFailed(say("{source}: {cause}. Nothing was changed", source=source, cause=error)) from None
    schema = judge(found.revision)
    if schema.state == "absent":
        raise CopyFailed(say("{source} is no database of flagee-server. Nothing was changed", source=source))
    if schema.state == "newer":
        raise CopyFailed(
            say(
                "{source} is at revision {revision}, which this version does not know; nothing was changed. "
                "Install the version that made it",
                source=source,
                revision=schema.revision,
            )
        )
    return found, schema


def _settled(path: Path) -> Literal["absent", "readable", "damaged"]:
    """Have the database that is there in one file, when it can be read, and be sure that nobody else has it open."""
    if not path.exists():
        return "absent"
    if is_backup(path):  # copied there by hand: a log beside it is another database's
        return "damaged"
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:  # SQLite would discard the log beside it
            return "damaged"
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1)) as connection:
            # Writes the log into the file, and is refused while any other connection exists, of whatever program.
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise DatabaseInUse(
                say("{path} is in use by another program; nothing was changed. Stop it first", path=path)
            ) from None
        return "damaged"
    except sqlite3.DatabaseError:
        return "damaged"
    return "readable"


def _compared(path: Path, draft: Path) -> Difference | None:
    try:
        with using(path) as connection:
            here, versions_here = _tokens(connection), _versions(connection)
            operators_here = operator_tokens(connection)
        with using(draft) as connection:
            there, versions_there = _tokens(connection), _versions(connection)
            operators_there = operator_tokens(connection)
    except SQLAlchemyError:
        return None
    ended = [
        EndedSince(id, row.name, row.agent_id, state=state)
        for id, row in here.items()
        if (state := _state(row)) and id in there and not _state(there[id])
    ]
    issued = [TokenNote(id, row.name, row.agent_id) for id, row in here.items() if id not in there and not _state(row)]
    ended += [EndedSince(id, None, None, name) for id, name in ended_since(operators_here, operators_there)]
    issued += [TokenNote(id, None, None, name) for id, name in issued_since(operators_here, operators_there)]
    older = [
        Fallback(client, network, was, now)
        for (client, network), was in versions_here.items()
        if (now := versions_there.get((client, network), 0)) < was
    ]
    return Difference(tuple(ended), tuple(issued), tuple(older))


def _tokens(connection: Connection) -> dict[str, Any]:
    """By public id. Columns that the revision does not have are None."""
    there = _token_columns(connection)
    columns = [getattr(Token, name) for name in ("revoked_at", "used_at", "agent_id") if name in there]
    rows = connection.execute(
        select(Token.public_id, Client.name, *columns).join(Client, Client.id == Token.client_id).order_by(Token.id)
    )
    agents = _agents(connection)
    return {row.public_id: _Row(row._asdict(), agents) for row in rows}


def _agents(connection: Connection) -> dict[str, str]:
    """What tokens refer to -> the id that the host made. Until revision 0004 both were one."""
    there = inspect(connection)
    if not there.has_table("agents") or all(column["name"] != "id" for column in there.get_columns("agents")):
        return {}
    return {row.id: row.agent_id for row in connection.execute(select(Agent.id, Agent.agent_id))}


class _Row:
    def __init__(self, values: Mapping[str, Any], agents: Mapping[str, str]) -> None:
        self.name: str = values["name"]
        self.revoked_at: dt.datetime | None = values.get("revoked_at")
        self.used_at: dt.datetime | None = values.get("used_at")
        key: str | None = values.get("agent_id")
        self.agent_id = None if key is None else agents.get(key, key)


def _state(row: _Row) -> Ended | None:
    if row.revoked_at is not None:
        return "revoked"
    return "used" if row.used_at is not None else None


def _versions(connection: Connection) -> dict[tuple[str, str], int]:
    """The configuration that is served, by client and network."""
    rows = connection.execute(
        select(Client.name, Network.code, func.max(Configuration.version))
        .join(Network, Network.client_id == Client.id)
        .join(Configuration, Configuration.network_id == Network.id)
        .group_by(Client.name, Network.code)
    )
    return {(client, network): version for client, network, version in rows}


def _end_again(draft: Connection, path: Path) -> None:
    """End in the draft what is ended in the database at ``path``, at the same instants."""
    with using(path) as connection:
        here, operators = _tokens(connection), operator_tokens(connection)
    end_tokens_of_operators(draft, operators)
    there = _token_columns(draft)
    for name in ("revoked_at", "used_at"):
        if name not in there:
            continue
        column = getattr(Token, name)
        for public_id, row in here.items():
            if (at := getattr(row, name)) is not None:
                draft.execute(update(Token).where(Token.public_id == public_id, column.is_(None)).values({name: at}))


def _token_columns(connection: Connection) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(Token.__tablename__)}


def _make_ready(draft: Path, path: Path) -> None:
    """In the mode of a database at work, private, owned as the one before, and on the disk."""
    set_application_id(draft, new_application_id())
    with contextlib.closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    draft.chmod(0o600)
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.chown(draft, owner.st_uid, owner.st_gid)
    make_lasting(draft)


def _exchange(draft: Path, path: Path, now: dt.datetime) -> Path | None:
    """The database and what belongs to it aside, the draft in its place: all of it, or OSError and nothing.

    A log that was left without its database goes aside too.
    """
    kept = beside(path, f".replaced-{now:%Y%m%dT%H%M%SZ}")
    beside(path, "-shm").unlink(missing_ok=True)  # an index of the log, made from it again when it is needed
    moved: list[tuple[Path, Path]] = []
    try:
        for suffix in ("", "-wal", "-journal"):
            if beside(path, suffix).exists():
                beside(path, suffix).rename(beside(kept, suffix))
                moved.append((beside(kept, suffix), beside(path, suffix)))
        draft.rename(path)
    except OSError:
        for aside, back in reversed(moved):
            aside.rename(back)
        raise
    make_lasting(path.parent)
    return kept if kept.exists() else None
