"""Which file the SQLite database is, and who uses it. Called by :mod:`server.storage.session` and by restore.

SQLite goes on with a file that was replaced or removed under it: what is revoked in the new file is never seen, and a new file
beside the log (``-wal``) of an old one is damaged by it. So every process that opens the database holds a shared lock on
``<database>.lock``, where the first one notes which file is in use; a process that finds another file there is refused. The lock
is not on the database itself, because the database is what gets replaced. It ends with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from server.storage.causes import BackupInPlace, DatabaseAbsent, DatabaseInUse, DatabaseReplaced
from server.storage.write_status import WriteStatus

_log = structlog.get_logger("server.storage")

_WAIT = 3.0  # seconds; others hold the exclusive lock for moments only, unless a restore is at work
_AGREE = 0.2  # seconds after which those who share the lock are believed to use another file
BACKUP_MARK = 0x464C4255  # SQLite's application_id of a backup; a database at work has 0
_HEADER, _APPLICATION_ID = 72, 68  # bytes of an SQLite file that are read; where its application_id begins
_LENGTH = 96  # bytes; always as many, so that a full disk does not keep them from being written


@dataclass(frozen=True, slots=True)
class Identity:
    """A file whatever its name: device and inode."""

    device: int
    inode: int


def identity(path: Path) -> Identity | None:
    """None when there is no file of this name, or none that can be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def is_backup(path: Path) -> bool:
    """Whether the file itself says so, whatever is in a log beside it. Never for a file that this process has connections to:
    closing it would end SQLite's locks on them."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(_HEADER)[_APPLICATION_ID:] == BACKUP_MARK.to_bytes(4, "big")
    return False


Held = Literal["alone", "shared", "not"]


class DatabaseFile:
    """One a process tree: made before the fork, so that all workers agree on which file it is.

    ``log_every`` is how many seconds pass between two checks of the log, which cost twice what the file's does.
    """

    def __init__(self, path: Path, status: WriteStatus) -> None:
        self.path = path
        self.lock_path = beside(path, ".lock")
        self.log_every = 1.0
        self._status = status
        self._lock: int | None = None
        self._file: Identity | None = None
        self._open: set[int] = set()  # connections of this process
        self._log: tuple[Identity | None, Identity | None] = None, None  # the files -wal and -shm that they have open
        self._log_checked = 0.0

    def attach(self) -> None:
        """Before a connection is opened. Raises DatabaseAbsent, DatabaseReplaced; DatabaseInUse while a restore is at work."""
        if self._file is not None:
            self.check()
            return
        if self._status.replaced():
            raise self._refusal()
        self._file = self._enter()

    @contextlib.contextmanager
    def creating(self) -> Iterator[bool]:
        """Whether the caller is to make the file; nobody else does, and nobody uses the database, until the block ends."""
        if self._file is not None:
            self.check()
            yield False
            return
        lock = _open_lock(self.lock_path, make=True)
        try:
            met = time.monotonic()
            while identity(self.path) is None:
                held = _hold(lock)
                if held == "alone" and identity(self.path) is None:
                    self._refuse_orphan()
                    yield True
                    return
                self._give_up(held, time.monotonic() - met)
                time.sleep(0.02)
            yield False
        finally:
            if lock is not None:
                os.close(lock)

    def check(self) -> None:
        """Before a connection is used, and after a transaction was committed. Raises DatabaseReplaced."""
        if self._status.replaced():
            raise self._refusal()
        if self._file is None:
            return
        if identity(self.path) != self._file:
            self._notice()
        now = time.monotonic()
        if self._open and now - self._log_checked >= self.log_every:
            self._log_checked = now
            self._check_log()

    def opened(self, connection: int) -> None:
        """A connection was opened; ``connection`` identifies it. Its log is noted for the first one to start after a crash."""
        if self._open:
            self._check_log()
        self._open.add(connection)
        self._log = self._log_now()
        if self._file is not None:
            _note(self._lock, self._file, self._log[0])

    def closed(self, connection: int) -> None:
        self._open.discard(connection)

    def _check_log(self) -> None:
        if self._log[0] is not None and self._log_now() != self._log:
            self._notice()

    def _beside(self, suffix: str) -> Path:
        """SQLite puts the log beside the file itself, when the database's name is a symbolic link."""
        return beside(self.path.resolve(), suffix)

    def _log_now(self) -> tuple[Identity | None, Identity | None]:
        return identity(self._beside("-wal")), identity(self._beside("-shm"))

    @contextlib.contextmanager
    def alone(self) -> Iterator[Callable[[], None]]:
        """While the block runs nobody else can open the database. Raises DatabaseInUse when somebody has.

        Call what it gives when another file was put there on purpose.
        """
        lock = _open_lock(self.lock_path, make=True)
        if lock is None:
            raise DatabaseInUse(f"{self.lock_path} cannot be locked; check the owner and mode of the folder")
        try:
            if _hold(lock) != "alone":
                raise DatabaseInUse(
                    f"{self.path} is in use by a server or another command of flagee-server; nothing was changed. "
                    "Stop the server first"
                )
            if found := identity(self.path):
                self._put_stale_log_aside(lock, found)
            yield lambda: self._note_now(lock)
        finally:
            os.close(lock)

    def _note_now(self, lock: int | None) -> None:
        if found := identity(self.path):
            _note(lock, found, identity(self._beside("-wal")))

    def close(self) -> None:
        """Only this process's part of the lock: what it was forked from keeps its own."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _enter(self) -> Identity:
        """Take the shared lock and agree on the file with those who have it."""
        met = time.monotonic()
        lock = _open_lock(self.lock_path, make=identity(self.path) is not None)
        try:
            while True:
                found, held = identity(self.path), _hold(lock)
                if found is None and held == "alone":
                    raise DatabaseAbsent(self.path)
                if found is not None and held == "alone":
                    self._refuse_backup()  # before SQLite applies a log to it; nobody is disturbed by reading the file
                    self._put_stale_log_aside(lock, found)
                    self._note_now(lock)
                    _hold(lock, share=True)
                if found is not None and (held == "alone" or (held == "shared" and _noted(lock)[0] in (None, found))):
                    self._lock, lock = lock, None
                    return found
                self._give_up(held, time.monotonic() - met)
                _release(lock)
                time.sleep(0.02)
        finally:
            if lock is not None:
                os.close(lock)

    def _give_up(self, held: Held, waited: float) -> None:
        if held == "shared" and waited > _AGREE:
            raise self._refusal()
        if waited > _WAIT:
            raise DatabaseInUse(f"{self.path} is being restored; try again when that has ended")

    def _notice(self) -> None:
        error = self._refusal()
        if self._status.mark_replaced():
            _log.error("database_replaced", message=str(error))
        raise error

    def _refusal(self) -> DatabaseReplaced:
        return DatabaseReplaced(_replaced(self.path) if identity(self.path) else _removed(self.path))

    def _put_stale_log_aside(self, lock: int | None, found: Identity) -> None:
        """SQLite would write the log of the file that was here before into this one."""
        was, log_was = _noted(lock)
        log = self._beside("-wal")
        if was is None or log_was is None or was.device != found.device or was == found or identity(log) != log_was:
            return
        if not log.stat().st_size:
            return
        kept = self._beside(time.strftime("-wal.of-replaced-file-%Y%m%dT%H%M%SZ", time.gmtime()))
        log.rename(kept)
        self._beside("-shm").unlink(missing_ok=True)
        _log.warning(
            "stale_log_put_aside",
            message=f"{self.path} is another file than at the last use, and the log beside it belongs to that one. "
            f"It was not applied; it is kept as {kept}.",
        )

    def _refuse_backup(self) -> None:
        if is_backup(self.path):
            raise BackupInPlace(
                f"the file {self.path} is a backup that was copied there by hand; nothing was changed. With it, tokens that "
                "were revoked since would work again. Rename it, and put it in place with: flagee-server restore FILE"
            )

    def _refuse_orphan(self) -> None:
        log = self._beside("-wal")
        if log.exists() and log.stat().st_size:
            raise DatabaseReplaced(
                f"there is no database at {self.path}, but the log of one: {log}. It would damage a new database; nothing was "
                "changed. Put the database back (flagee-server restore FILE), or move the log away to start with an empty one"
            )


def _replaced(path: Path) -> str:
    return (
        f"the file {path} was replaced while it was in use. Nothing more is read from the database or written to it. "
        "Stop the server, put the right file there (a backup with: flagee-server restore FILE), and start it again"
    )


def _removed(path: Path) -> str:
    return (
        f"the file {path} was removed or renamed while it was in use. Nothing more is read from the database or written to it. "
        "Stop the server, put the file back or restore a backup (flagee-server restore FILE), and start it again"
    )


def _open_lock(path: Path, *, make: bool) -> int | None:
    """None where there is none and none can be made: then no database can be opened there either."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
    try:
        lock = os.open(path, flags, 0o600)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        if os.geteuid() == 0:  # made by root for a server that runs as another account, as SQLite does with its log
            owner = path.with_suffix("").stat()
            os.fchown(lock, owner.st_uid, owner.st_gid)
    return lock


def _hold(lock: int | None, *, share: bool = False) -> Held:
    """Take the lock: alone when nobody has it, unless ``share``. Without a lock file everybody is alone."""
    if lock is None:
        return "alone"
    kinds: list[tuple[int, Held]] = [(fcntl.LOCK_EX, "alone"), (fcntl.LOCK_SH, "shared")]
    for kind, held in kinds[share:]:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return held
    return "not"


def _release(lock: int | None) -> None:
    if lock is not None:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _note(lock: int | None, file: Identity, log: Identity | None) -> None:
    if lock is None:
        return
    line = f"{file.device} {file.inode} {log.inode if log else 0}".ljust(_LENGTH - 1) + "\n"
    with contextlib.suppress(OSError):  # a full disk; without a note others are let in, as before there were any
        if os.pread(lock, _LENGTH, 0) != line.encode():
            os.pwrite(lock, line.encode(), 0)


def _noted(lock: int | None) -> tuple[Identity | None, Identity | None]:
    """The database file and its log that were in use last; None for what is not known."""
    if lock is None:
        return None, None
    try:
        device, inode, log = map(int, os.pread(lock, _LENGTH, 0).split())
    except (OSError, ValueError):
        return None, None
    return Identity(device, inode), Identity(device, log) if log else None
