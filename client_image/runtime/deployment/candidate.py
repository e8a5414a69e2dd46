"""A trial of an image beside the running one, with a copy of the local state. Called by update; recovery discards leftovers.

The copy is consistent while the daemon writes, and the runtime's own files stay untouched: SQLite's backup makes a file in root's
own folder (memory may be small, and the data folder is not root's to write to), and a tar stream carries it into the candidate's
volume. A state that cannot be copied is no reason to refuse an image: the candidate then begins with an empty one, as a new proxy
does. Nor may it delay a rollback: the very runtime that is to be replaced may lock the state, let it grow or write all the time,
so time and space of the copy are limited.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from contracts.text import say
from runtime.adapters.state import recovery_log
from runtime.adapters.state.database import FILE
from runtime.adapters.untrusted_files import read_untrusted
from runtime.deployment.deployment import Deployment
from runtime.deployment.engine import Image
from runtime.deployment.health import HealthResult, wait_healthy
from runtime.deployment.names import DATA, LABEL_ROLE, LABEL_RUNTIME, UID
from runtime.deployment.results import DeployError
from runtime.deployment.specification import candidate_spec

FOLDER = ".candidate-state"
COPY_S = 60.0
MAX_COPY = 1024 * 1024 * 1024
# What the copy leaves free on the disk of root's folder.
SPARE = 256 * 1024 * 1024
_STOP_S = 10
_PIECE = 1024 * 1024
_BUSY_S = 5.0
_PAGES = 4096  # between two checks of the limits


def try_candidate(deployment: Deployment, image: Image, label: str) -> HealthResult:
    """Run the image without effect until it is healthy or failed. Leaves nothing behind. ``label``: the image, for a person."""
    names, engine, notify = deployment.names, deployment.engine, deployment.notify
    spec = candidate_spec(deployment.settings, deployment.facts, deployment.sources, image.id)
    discard_candidate(deployment)
    if engine.volume_labels(names.candidate) is not None:
        raise DeployError(
            "failed",
            say("a volume {candidate} exists that FlageeMonitor did not make", candidate=names.candidate),
            say(
                "inspect it (`docker volume inspect {candidate}`), then remove it, or choose another runtime name",
                candidate=names.candidate,
            ),
        )
    try:
        engine.make_volume(names.candidate, {LABEL_RUNTIME: names.runtime, LABEL_ROLE: "candidate"})
        engine.create(spec.name, spec.body)
        with state_archive(deployment.folders.data, deployment.folders.etc) as (archive, problem):
            engine.put(names.candidate, DATA, archive)
        if problem:
            notify("state_not_copied", say("{problem}; the candidate begins with an empty state", problem=problem))
        notify("candidate_created", say("trying {label} beside the running one", label=label))
        try:
            engine.start(names.candidate)
        except DeployError as error:
            return HealthResult(False, error.message, final=True)
        notify("candidate_started", say("the candidate starts"))
        result = wait_healthy(deployment, names.candidate)
        notify(
            "candidate_judged", say("the candidate is healthy") if result.healthy else say("the candidate is refused")
        )
        return result
    finally:
        discard_candidate(deployment)


def discard_candidate(deployment: Deployment) -> None:
    """The container and its volume, also those of an earlier call; a volume that deploy did not create stays."""
    name = deployment.names.candidate
    if deployment.own_container(name) is not None:
        deployment.engine.stop(name, _STOP_S)
        deployment.engine.remove(name)
    labels = deployment.engine.volume_labels(name)
    if labels is not None and labels.get(LABEL_RUNTIME) == deployment.names.runtime:
        deployment.engine.remove_volume(name)


@contextlib.contextmanager
def state_archive(data: Path, scratch: Path) -> Iterator[tuple[Iterator[bytes], str]]:
    """The tar stream of a data folder (its root belongs to the runtime's user), and why the state is not in it; empty if it is.

    ``scratch``: a folder of root's for a temporary copy. Raises OSError when it cannot be made.
    """
    folder = scratch / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed
    folder.mkdir(mode=0o700)
    try:
        problem = _copy(data, folder)
        yield _tar(sorted(folder.iterdir())), problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _LimitReached(Exception):
    """Why the copy was given up."""


def _copy(data: Path, folder: Path) -> str:
    with contextlib.suppress(OSError):
        (folder / recovery_log.FILE).write_bytes(read_untrusted(data / recovery_log.FILE, recovery_log.MAX_BYTES))
    source, target = data / FILE, folder / FILE
    try:
        if not stat.S_ISREG(source.lstat().st_mode):
            return say("{file} is not a plain file", file=FILE)
        _backup(source, target)
    except FileNotFoundError:
        return ""  # a first installation
    except (OSError, sqlite3.Error, _LimitReached) as error:
        target.unlink(missing_ok=True)
        return say("the local state could not be copied: {error}", error=error)
    return ""


def _backup(source: Path, target: Path) -> None:
    free = shutil.disk_usage(target.parent).free - SPARE
    limit = min(MAX_COPY, free)
    until = time.monotonic() + COPY_S

    def check_limits(_status: int, _remaining: int, pages: int) -> None:
        """Called after every step, also when the database is locked: SQLite alone would try for ever."""
        if pages * page_size > limit:
            raise _LimitReached(
                say(
                    "it has {needed} MB, there is room for {free} MB",
                    needed=pages * page_size >> 20,
                    free=max(limit, 0) >> 20,
                )
            )
        if time.monotonic() > until:
            raise _LimitReached(say("it was locked or written to for {seconds} s", seconds=f"{COPY_S:.0f}"))

    # Read-only, so that nothing is ever written into the database. The files that SQLite must make beside it (write-ahead log,
    # shared memory) get the database's own owner.
    address = f"{source.as_uri()}?mode=ro"
    with (
        contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as origin,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        page_size: int = origin.execute("PRAGMA page_size").fetchone()[0]
        origin.backup(copy, pages=_PAGES, progress=check_limits)
        # The candidate must beat for itself: with the running one's heartbeat it would be healthy before it has begun.
        with contextlib.suppress(sqlite3.OperationalError):  # of a release that has no such table
            copy.execute("UPDATE daemon_status SET heartbeat_at = NULL")
            copy.commit()


def _tar(paths: list[Path]) -> Iterator[bytes]:
    """In pieces, so that a large state is never in memory as a whole."""
    root = tarfile.TarInfo("./")
    root.type, root.mode, root.uid, root.gid = tarfile.DIRTYPE, 0o700, UID, UID
    yield root.tobuf(tarfile.PAX_FORMAT)
    for path in paths:
        with path.open("rb") as content:
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            entry.mode, entry.uid, entry.gid = 0o600, UID, UID
            yield entry.tobuf(tarfile.PAX_FORMAT)
            while piece := content.read(_PIECE):
                yield piece
            yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
