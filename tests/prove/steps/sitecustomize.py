"""Ends a program at a named step of its work, as `kill -9` would: python loads this in every program that has this folder on its
PYTHONPATH.

A step is armed by a file of its name in the folder PROVE_STEPS; the first that reaches it takes the file away and is killed. The
product knows nothing of it: what is wrapped are functions of its modules, when they are imported.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

_ARMED = Path(os.environ.get("PROVE_STEPS", os.devnull))
_PUT: list[int] = []  # how many times rows were put into the outbox
_NEW: list[int] = []  # the same, by the transaction at work


def _claimed(step: str) -> bool:
    """Whether this process is the one that is to end here."""
    try:
        (_ARMED / step).unlink()
    except OSError:
        return False
    return True


def _end() -> None:
    """This program; or the one that the file `victim` names, with its children, if there is such a file."""
    victim = _ARMED / "victim"
    if not victim.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    pid = victim.read_text()
    victim.unlink()
    for one in [pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(one), signal.SIGKILL)


def _before(owner: Any, name: str, step: str) -> None:
    inner = getattr(owner, name)

    @wraps(inner)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if _claimed(step):
            _end()
        return inner(*arguments, **named)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, step: str) -> None:
    inner = getattr(owner, name)

    @wraps(inner)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        found = inner(*arguments, **named)
        if _claimed(step):
            _end()
        return found

    setattr(owner, name, wrapped)


def _ingest(module: Any) -> None:
    _after(module, "read_body", "body-read")
    _after(module, "take_batch", "after-commit")


def _storing(module: Any) -> None:
    _before(module, "_note_streams", "statement")
    _after(module, "store", "before-commit")


def _answering(module: Any) -> None:
    """In the middle of an answer."""
    write = module.Response.write

    def half(self: Any, content: bytes) -> None:
        if not _claimed("answer"):
            write(self, content)
            return
        self.send_headers()
        self.sock.sendall(content[: len(content) // 2])
        _end()

    module.Response.write = half


def _is_turn(step: str) -> bool:
    """Whether rows were put more often than the file says is to be let pass."""
    try:
        return len(_PUT) > int((_ARMED / step).read_text() or 0)
    except OSError:
        return False


def _ledger(module: Any) -> None:
    """Inside the transaction that records what happened, when its row of the outbox is put."""
    put = module.put

    def noted(*arguments: Any) -> None:
        put(*arguments)
        for times in (_PUT, _NEW):
            times.append(1)
        if _is_turn("row-put") and _claimed("row-put"):
            _end()

    module.put = noted


def _writer(module: Any) -> None:
    """After the commit of such a transaction, before anybody is told of it."""
    begin = module.Writer.__init__

    def made(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        transaction = self._transaction

        @contextlib.contextmanager
        def noted() -> Iterator[Any]:
            with transaction() as connection:
                yield connection
            if _NEW and _is_turn("row-written") and _claimed("row-written"):
                _end()
            _NEW.clear()

        self._transaction = noted

    module.Writer.__init__ = made


def _delivery(module: Any) -> None:
    _after(module, "lease", "leasing")
    _after(module, "packed", "packed")
    _after(module, "_ingested", "answer-read")
    _after(module, "acknowledge", "acknowledging")
    _before(module.Delivery, "_learn", "acknowledged")


def _http(module: Any) -> None:
    """A batch was sent: nobody knows of an answer, or there is one that nobody has read."""
    connection = module.HTTPConnection
    request, response = connection.putrequest, connection.getresponse

    def putrequest(self: Any, method: str, url: str, *arguments: Any, **named: Any) -> Any:
        self.asked_for = url
        return request(self, method, url, *arguments, **named)

    def getresponse(self: Any, *arguments: Any, **named: Any) -> Any:
        if getattr(self, "asked_for", "").endswith("/v1/ingest"):
            if _claimed("sent"):
                _end()
            if _claimed("answered"):
                select.select([self.sock], [], [], 60)
                _end()
        return response(self, *arguments, **named)

    connection.putrequest, connection.getresponse = putrequest, getresponse


_WRAPPED: dict[str, Callable[[ModuleType], None]] = {
    "server.api.ingest": _ingest,
    "server.services.telemetry.storing": _storing,
    "gunicorn.http.wsgi": _answering,
    "runtime.services.delivery": _delivery,
    "runtime.adapters.state.ledger": _ledger,
    "runtime.adapters.state.writer": _writer,
    "http.client": _http,
}


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        wrap = _WRAPPED.get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path) if wrap and path else None
        if spec is None or spec.loader is None or wrap is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            wrap(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "PROVE_STEPS" in os.environ:
    sys.meta_path.insert(0, _Finder())
