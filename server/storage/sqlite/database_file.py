"""Which file the SQLite database is, and who uses it. Called by :mod:`server.storage.session` and by restore.

SQLite goes on with a file that was replaced or removed under it: what is revoked in the new file is never seen, and a new file
beside the log (``-wal``) of an old one is damaged by it. So every process that opens the database holds a shared lock on
``<database>.lock``, where the first one notes which file is in use; a process that finds another file there is refused. The lock
is not on the database itself, because the database is what gets replaced. It ends with the process, however that ends.
What was copied over the same file is told by its header, see :mod:`server.storage.sqlite.file_header`.
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

from contracts.bounded import whole
from contracts.text import say
from server.reasons import table
from server.storage.causes import BackupInPlace, DatabaseAbsent, DatabaseInUse, DatabaseReplaced
from server.storage.sqlite.file_header import BACKUP_MARK, FileHeader, Identity, application_id_of, identity
from server.storage.write_status import WriteStatus

_log = structlog.get_logger(__name__)

_WAIT = 3.0  # seconds; others hold the exclusive lock for moments only, unless a restore is at work
_AGREE = 0.2  # seconds after which those who share the lock are believed to use another file
_LENGTH = 96  # bytes; always as many, so that a full disk does not keep them from being written


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@dataclass(frozen=True, slots=True)
class Note:
    """What was in use last: the file, its application_id, and its log; None for what is not known."""

    file: Identity | None = None
    application_id: int | None = None
    log: Identity | None = None


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
        self._header: FileHeader | None = None
        self._application_id: int | None = None  # of the file when it was opened; None until it has a header
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
        self._enter()

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
        """Before a connection is used or closed, and after a transaction was committed. Raises DatabaseReplaced."""
        if self._status.replaced():
            self._keep_log_out()
            raise self._refusal()
        if self._file is None:
            return
        if identity(self.path) != self._file or self._overwritten():
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
            _note(self._lock, Note(self._file, self._application_id, self._log[0]))

    def closed(self, connection: int) -> None:
        self._open.discard(connection)

    def _overwritten(self) -> bool:
        """Whether another database was copied into the file that is open."""
        if self._header is None:
            return False
        found = self._header.application_id()
        if self._application_id is None and found != BACKUP_MARK:  # an empty file becomes a database
            self._application_id = found
        return found != self._application_id

    def _keep_log_out(self) -> None:
        """What was copied there must not be mixed with the log of the database before, which SQLite would apply at the end."""
        if self._header is not None:
            self._header.keep_log_out()

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
            raise DatabaseInUse(
                say("{path} cannot be locked; check the owner and mode of the folder", path=self.lock_path)
            )
        try:
            if _hold(lock) != "alone":
                raise DatabaseInUse(
                    say(
                        "{path} is in use by a server or another command of flagee-server; nothing was changed. "
                        "Stop the server first",
                        path=self.path,
                    )
                )
            if found := identity(self.path):
                self._put_stale_log_aside(lock, found, application_id_of(self.path))
            yield lambda: self._note_now(lock)
        finally:
            os.close(lock)

    def _note_now(self, lock: int | None) -> None:
        if found := identity(self.path):
            _note(lock, Note(found, application_id_of(self.path), identity(self._beside("-wal"))))

    def close(self) -> None:
        """Only this process's part of the lock: what it was forked from keeps its own."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._header is not None and not self._open and not self._status.replaced():
            self._header.close()
            self._header = None

    def _enter(self) -> None:
        """Take the shared lock and agree on the file with those who have it."""
        met = time.monotonic()
        lock = _open_lock(self.lock_path, make=identity(self.path) is not None)
        header: FileHeader | None = None
        try:
            while True:
                held, header = _hold(lock), FileHeader.of(self.path)
                if header is None and held == "alone":
                    raise DatabaseAbsent(self.path)
                if header is not None and held != "not":
                    if (application_id := header.application_id()) == BACKUP_MARK:
                        raise self._is_backup()  # before SQLite applies a log to it; also while others have the lock
                    if held == "alone":
                        self._put_stale_log_aside(lock, header.file, application_id)
                        self._note_now(lock)
                        _hold(lock, share=True)
                    if held == "alone" or _agrees(_noted(lock), header.file, application_id):
                        self._file, self._application_id = header.file, application_id
                        self._lock, lock = lock, None
                        self._header, header = header, None
                        return
                if header is not None:
                    header.close()
                    header = None
                self._give_up(held, time.monotonic() - met)
                _release(lock)
                time.sleep(0.02)
        finally:
            if header is not None:
                header.close()
            if lock is not None:
                os.close(lock)

    def _give_up(self, held: Held, waited: float) -> None:
        if held == "shared" and waited > _AGREE:
            raise self._refusal()
        if waited > _WAIT:
            raise DatabaseInUse(say("{path} is being restored; try again when that has ended", path=self.path))

    def _notice(self) -> None:
        self._keep_log_out()
        error = self._refusal()
        if self._status.mark_replaced():
            _log.error("database_replaced", message=str(error))
        raise error

    def _refusal(self) -> DatabaseReplaced:
        return DatabaseReplaced(_replaced(self.path) if identity(self.path) else _removed(self.path))

    def _put_stale_log_aside(self, lock: int | None, found: Identity, application_id: int | None) -> None:
        """SQLite would write the log of the file that was here before into this one."""
        was, log = _noted(lock), self._beside("-wal")
        if was.file is None or was.log is None or was.file.device != found.device or identity(log) != was.log:
            return
        if _agrees(was, found, application_id):
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

    def _is_backup(self) -> BackupInPlace:
        return BackupInPlace(table.BACKUP_IN_PLACE.text(path=self.path))

    def _refuse_orphan(self) -> None:
        log = self._beside("-wal")
        if log.exists() and log.stat().st_size:
            raise DatabaseReplaced(
                say(
                    "there is no database at {path}, but the log of one: {log}. It would damage a new database; "
                    "nothing was changed. Put the database back (flagee-server restore FILE), or move the log "
                    "away to start with an empty one",
                    path=self.path,
                    log=log,
                )
            )


def _replaced(path: Path) -> str:
    return say(
        "the file {path} was replaced while it was in use. Nothing more is read from the database or written to "
        "it. Stop the server, put the right file there (a backup with: flagee-server restore FILE), and start it "
        "again",
        path=path,
    )


def _removed(path: Path) -> str:
    return say(
        "the file {path} was removed or renamed while it was in use. Nothing more is read from the database or "
        "written to it. Stop the server, put the file back or restore a backup (flagee-server restore FILE), and "
        "start it again",
        path=path,
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


def _agrees(note: Note, file: Identity, application_id: int | None) -> bool:
    """Whether the file can be the one that was noted. What is not known speaks against none."""
    return note.file in (None, file) and (
        None in (note.application_id, application_id) or note.application_id == application_id
    )


def _note(lock: int | None, note: Note) -> None:
    if lock is None or note.file is None:
        return
    application_id = "-" if note.application_id is None else note.application_id
    text = f"{note.file.device} {note.file.inode} {note.log.inode if note.log else 0} {application_id}"
    line = (text.ljust(_LENGTH - 1) + "\n").encode()
    with contextlib.suppress(OSError):  # a full disk; without a note others are let in, as before there were any
        if os.pread(lock, _LENGTH, 0) != line:
            os.pwrite(lock, line, 0)


def _noted(lock: int | None) -> Note:
    """An earlier version noted no application_id."""
    if lock is None:
        return Note()
    try:
        device, inode, log, *rest = os.pread(lock, _LENGTH, 0).decode().split()
    except (OSError, ValueError):
        return Note()
    numbers = [whole(text) for text in (device, inode, log)]
    if None in numbers:
        return Note()
    file = Identity(numbers[0] or 0, numbers[1] or 0)
    return Note(file, whole(rest[0]) if rest else None, Identity(file.device, numbers[2]) if numbers[2] else None)
