"""What can go wrong with the state's files, each with what to do about it. Every SQLite or OS error passes through here once."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from contracts.text import say
from runtime.domain.errors import RunError

if TYPE_CHECKING:
    from runtime.adapters.state.room import Room

CORRUPT = "state_corrupt"

_MAY_BE_FULL = ("state_full", "state_failed", "state_read_only")

_BY_ERRNO = {
    errno.ENOSPC: "state_full",
    errno.EDQUOT: "state_full",
    errno.EFBIG: "state_full",
    errno.EROFS: "state_read_only",
    errno.EACCES: "state_read_only",
    errno.EPERM: "state_read_only",
    errno.ENOTDIR: "state_read_only",
    errno.EEXIST: "state_read_only",
    errno.EINVAL: "state_no_file",
    errno.EISDIR: "state_no_file",
    errno.ELOOP: "state_no_file",
    errno.ENXIO: "state_no_file",
}

# Primary result codes of SQLite, the low byte of the extended ones.
_BY_SQLITE = {
    sqlite3.SQLITE_FULL: "state_full",
    sqlite3.SQLITE_READONLY: "state_read_only",
    sqlite3.SQLITE_CANTOPEN: "state_read_only",
    sqlite3.SQLITE_PERM: "state_read_only",
    sqlite3.SQLITE_CORRUPT: CORRUPT,
    sqlite3.SQLITE_NOTADB: CORRUPT,
    sqlite3.SQLITE_BUSY: "state_busy",
    sqlite3.SQLITE_LOCKED: "state_busy",
    sqlite3.SQLITE_IOERR: "state_failed",
}


# What SQLite says of a statement that is right for our schema, when the file has another one.
_OTHER_SCHEMA = re.compile(
    r"no such (table|column)|table .* has no column|(table|index) .* already exists|duplicate column name"
)


class StateUnavailable(RunError):
    """The local state cannot be read or written, so no host may be touched: what happens could not be recorded.

    ``reason`` is one of state_full, state_read_only, state_corrupt, state_no_file, state_busy, state_failed.
    """

    exit_code = 3


def unavailable(reason: str, path: Path, cause: object) -> StateUnavailable:
    """A full disk has many faces: SQLite cannot make its shared memory, a file cannot be opened. It is told by its room."""
    from runtime.adapters.state.room import room_at  # all goes well in nearly every process

    room = room_at(path)
    if room is not None and room.full and reason in _MAY_BE_FULL:
        reason = "state_full"
    text = say("local state in {path}: {cause}", path=path, cause=cause)
    if reason == "state_full":
        if room is not None:
            text = say("the volume {volume} of the local state is full ({space})", volume=room.volume, space=room)
        text = say(
            "{problem}: no run starts, because its results could not be recorded. "
            "doctor, runs, why, hosts and schedule still work",
            problem=text,
        )
    return StateUnavailable(reason, text, _advice(reason, path, room))


def _advice(reason: str, path: Path, room: Room | None) -> str:
    texts = {
        "state_full": say(
            "free space on the volume of {path}, then try again; nothing that was recorded is lost", path=path
        )
        if room is None
        else say(
            "free space on the volume {path}, then try again; nothing that was recorded is lost", path=room.volume
        ),
        "state_read_only": say(
            "let uid {uid} write to {path}: check its owner, its mode and that the volume is not mounted read-only",
            uid=os.geteuid(),
            path=path,
        ),
        CORRUPT: say(
            "start again: the damaged database is then moved aside and a new one begun; check the disk of {path}",
            path=path,
        ),
        "state_no_file": say(
            "move what stands there to another place, then start again: a new database is begun, with the "
            "pinned keys and the identity from keepsake.jsonl"
        ),
        "state_busy": say(
            "another process has held the database in {path} for too long; see `flageemonitor-run runs`, then try again",
            path=path,
        ),
        "state_failed": say("check the volume of {path}; `flageemonitor-run doctor` shows more", path=path),
    }
    return texts[reason]


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into StateUnavailable. Errors of the program itself (constraints, types) pass."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        reason = _BY_SQLITE.get(code & 0xFF) if isinstance(code, int) else None
        if reason is None and code == sqlite3.SQLITE_ERROR and _OTHER_SCHEMA.match(str(cause)):
            reason = CORRUPT
        if reason is None:
            raise
        if reason == CORRUPT:
            suspect(folder)
        raise unavailable(reason, folder, cause) from error
    except OSError as error:
        raise unavailable(_BY_ERRNO.get(error.errno or 0, "state_failed"), folder, error) from error


def suspicion(folder: Path) -> Path:
    return folder / "state.db.suspect"


def suspect(folder: Path) -> None:
    """Leave a mark, so that the next start looks through the whole database before it trusts it again."""
    with contextlib.suppress(OSError):
        suspicion(folder).touch(0o600)
