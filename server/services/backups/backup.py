"""A copy of the SQLite database, made while the server runs. Called by ``flagee-server backup``."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from contracts.text import say
from server.plain_file import not_plain
from server.storage.causes import cause_of
from server.storage.copies import Contents, CopyFailed, Progress, check, copy_from_use, make_lasting
from server.storage.session import Database
from server.storage.sqlite.file_header import BACKUP_MARK, set_application_id


@dataclass(frozen=True, slots=True)
class Backup:
    """``size`` in bytes."""

    file: Path
    size: int
    contents: Contents


def back_up(database: Database, target: Path, *, overwrite: bool, now: dt.datetime, progress: Progress) -> Backup:
    """Copy the database to ``target``, a file or a folder. Raises CopyFailed.

    The copy is checked, on the disk and readable by its owner alone before it gets its name.
    """
    if target.is_dir():
        target /= f"flagee-{now:%Y%m%dT%H%M%SZ}.db"
    if database.file and target.exists() and target.samefile(database.file.path):
        raise CopyFailed(say("{target} is the database itself; name another file", target=target))
    _refuse_occupied(target, overwrite=overwrite)
    try:
        with _folder_beside(target) as folder:
            draft = Path(folder) / "copy"
            copy_from_use(database, draft, progress)
            set_application_id(draft, BACKUP_MARK)
            found = _checked(draft)
            draft.chmod(0o600)
            make_lasting(draft)
            if overwrite:
                draft.replace(target)
            else:
                os.link(draft, target)
        make_lasting(target.parent)
    except FileExistsError:
        raise CopyFailed(
            say("{target} was made by another process meanwhile and was not changed", target=target)
        ) from None
    except sqlite3.Error as error:
        cause = cause_of(error)
        raise CopyFailed(say("no copy was made: {cause}", cause=cause.advice if cause else error)) from None
    except OSError as error:
        raise CopyFailed(say("no copy was made: {cause}: {target}", cause=error.strerror, target=target)) from None
    return Backup(target, target.stat().st_size, found)


def _refuse_occupied(target: Path, *, overwrite: bool) -> None:
    """A symbolic link is refused too: following it would write where its owner chose, and replacing it would hide its file."""
    try:
        found = target.lstat()
    except OSError:  # nothing there; or the folder takes no file, which is told when the copy is begun
        return
    if kind := not_plain(found.st_mode):
        raise CopyFailed(
            say("{target} is {kind}, not a file, and was not changed; name a file", target=target, kind=kind)
        )
    if not overwrite:
        raise CopyFailed(
            say("{target} exists and was not changed; name another file, or give --overwrite", target=target)
        )


def _folder_beside(target: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise CopyFailed(
            say(
                "no copy was made: no file can be made in the folder {folder} ({cause}); name another folder",
                folder=target.parent,
                cause=error.strerror,
            )
        ) from None


def _checked(draft: Path) -> Contents:
    try:
        return check(draft)
    except CopyFailed as error:
        raise CopyFailed(
            say("no copy was kept: {cause}. The database is damaged too; restore an earlier backup", cause=error)
        ) from None
