"""What can go wrong with the state's files, each with what to do about it. Every SQLite or OS error passes through here once."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from runtime.domain.errors import RunError

CORRUPT = "state_corrupt"

_ADVICE = {
    "state_full": "free space on the volume {volume}, then try again; nothing that was recorded is lost",
    "state_read_only": "let uid {uid} write to {path}: check its owner, its mode and that the volume is not mounted read-only",
    CORRUPT: "start again: the damaged database is then moved aside and a new one begun; check the disk of {path}",
    "state_no_file": "move what stands there to another place, then start again: a new database is begun, with the "
    "pinned keys and the identity from keepsake.jsonl",
    "state_busy": "another process has held the database in {path} for too long; see `flageemonitor-run runs`, then try again",
    "state_failed": "check the volume of {path}; `flageemonitor-run doctor` tells more",
}

STILL = "no run starts, because its results could not be recorded. doctor, runs, why, hosts and schedule still work"
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
    advice = _ADVICE[reason].format(path=path, uid=os.geteuid(), volume=room.volume if room else f"of {path}")
    text = f"local state in {path}: {cause}"
    if reason == "state_full":
        where = f"the volume {room.volume} of the local state is full ({room})" if room else text
        text = f"{where}: {STILL}"
    return StateUnavailable(reason, text, advice)


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
