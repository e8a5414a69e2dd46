"""Files in the data folder that cross a border of trust: root writes them for the runtime's user, or reads what that user wrote.

The folder belongs to the user, who may have put links, pipes or giants where a file is expected. So nothing is opened through a
link, nothing that is not a plain file is read, and nothing that was there before is written to. Called by the run barrier, by
deploy's report, and by those who read the notes of deploy and of Watchtower's hooks.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from runtime.adapters.state.files import read_plain, write_all

MAX_BYTES = 262144


def write_for_owner(folder: Path, name: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``folder/name`` atomically; it belongs to whom the folder belongs to. Raises OSError, and then the old one stays."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = os.fstat(place)
        temporary = f".{name}.{secrets.token_hex(8)}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o600, dir_fd=place)
        try:
            write_all(handle, content)
            os.fchmod(handle, mode)
            if os.geteuid() == 0:
                os.fchown(handle, owner.st_uid, owner.st_gid)
            os.fsync(handle)
            os.rename(temporary, name, src_dir_fd=place, dst_dir_fd=place)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=place)
            raise
        finally:
            os.close(handle)
        os.fsync(place)
    finally:
        os.close(place)


def read_untrusted(path: Path, limit: int = MAX_BYTES) -> bytes:
    """As ``read_plain``, and through no link. Raises OSError."""
    return read_plain(path, limit, follow_links=False)
