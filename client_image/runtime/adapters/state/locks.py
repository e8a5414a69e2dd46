"""Kernel file locks on hosts and jobs, across processes and within one. Content says who. The kernel frees what the dead held.

Handed to process_one (HostLocks) and to the daemon (overlap of scheduled jobs) by the composition roots.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from contracts.bounded import read_json
from contracts.text import say
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.errors import translated
from runtime.adapters.state.files import locked, private_folder, write_all
from runtime.adapters.untrusted_files import read_untrusted
from runtime.domain.model import Host
from runtime.domain.ports import Clock

_POLL_S = 0.5


class FileLocks:
    """Lock files below ``<data>/locks``. They stay when free: removing one while another process takes it would make two."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """``folder``: the data folder. Raises StateUnavailable."""
        self._data, self._folder, self._clock = folder, folder / "locks", clock
        with translated(folder):
            private_folder(self._folder)

    @contextlib.asynccontextmanager
    async def try_lock(self, host: Host, owner: str, name: str = "") -> AsyncIterator[str | None]:
        """One holder for each machine, whatever the action; with ``name`` one for each machine and name. None when it is ours,
        else who holds it since when.

        By the names of all entries that reach the machine, not by the rollout's identity, which a PDV001 and a SELF001 of one
        store share; and by where it is connected to, for a run whose inventory had another name for it.
        """
        places = (*host.machine.locks, *([f"{host.address}:{host.port}"] if host.address else []))
        with contextlib.ExitStack() as held:
            for place in places:
                holder = held.enter_context(self._hold("host", f"{place} {name}".strip(), owner))
                if holder is not None:
                    yield holder
                    return
            yield None

    @contextlib.asynccontextmanager
    async def job(self, job_id: str, owner: str, *, wait: bool = False) -> AsyncIterator[str | None]:
        """The same for a scheduled job. ``wait``: until its previous run is over (overlap: wait); cancel to give up."""
        while True:
            with self._hold("job", job_id, owner) as holder:
                if holder is None or not wait:
                    yield holder
                    return
            await asyncio.sleep(_POLL_S)

    @contextlib.contextmanager
    def _hold(self, kind: str, name: str, owner: str) -> Iterator[str | None]:
        path = self._folder / f"{kind}-{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}.lock"
        with contextlib.ExitStack() as stack:
            with translated(self._data):
                handle = stack.enter_context(locked(path))
                if handle is not None:
                    content = {"name": name, "owner": owner, "pid": os.getpid(), "since": self._clock.now()}
                    _rewrite(handle, dumps(content).encode())
            if handle is None:
                yield _holder(path)
                return
            try:
                yield None
            finally:
                _rewrite(handle, b"")


def _rewrite(handle: int, content: bytes) -> None:
    """The words are for people; the lock holds without them, also on a full disk."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        write_all(handle, content)


def _holder(path: Path) -> str:
    try:
        content = read_json(read_untrusted(path))
        since = dt.datetime.fromisoformat(content["since"])
        return say(
            "locked by {owner}, pid {pid}, since {time}",
            owner=content["owner"],
            pid=content["pid"],
            time=f"{since:%Y-%m-%d %H:%M:%S %Z}",
        )
    except (OSError, ValueError, KeyError, TypeError):
        return say("locked by another run")
