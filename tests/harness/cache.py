"""Things that are slow to make, made once: roots of terminals, a loaded Zabbix database.

Called by the parts that need them. An entry appears under its final name only when it is whole, so a killed build is never
used; the name carries a hash of the recipe, so a changed recipe makes a new one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.harness.workdir import discard

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`$FLAGEE_TEST_CACHE`, else `.cache/test-parts` in the repository (ignored by git).

    A checkout in a private folder (/root, say) is closed to the users that databases run as: then one in /var/tmp.
    """
    if given := environ.get("FLAGEE_TEST_CACHE"):
        return Path(given).absolute()
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in (REPOSITORY, *REPOSITORY.parents)):
        mark = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:12]
        return Path(f"/var/tmp/flageemonitor-test-parts-{mark}")  # made and owned by root
    return REPOSITORY / ".cache" / "test-parts"


def cached(name: str, recipe: Mapping[str, object], build: Callable[[Path], None], folder: Path | None = None) -> Path:
    """The folder that `build(empty folder)` filled for this `recipe` (JSON-able): built now, or found from an earlier run.

    Builders in other processes wait for each other; what a killed one left is thrown away. The entry is for reading.
    """
    base = folder or cache_folder()
    base.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    entry = base / f"{name}-{key}"
    if entry.exists():
        return entry
    with _only_one(base / f".{entry.name}.lock"):
        if not entry.exists():
            partial = base / f".{entry.name}.partial"
            try:
                _afresh(build, partial)
            except (RuntimeError, OSError, AssertionError):
                _afresh(build, partial)  # most of these download something, and one fault of the network is no finding
            partial.rename(entry)
    return entry


def _afresh(build: Callable[[Path], None], partial: Path) -> None:
    discard(partial)
    partial.mkdir()
    build(partial)


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
