"""Try every change of one module against its tests, each in a process of its own that is forked when all tests are collected.

A change inside a function is tried by the tests that call it, the quick ones first. A change of what runs at import is tried by
importing the product again in the fork, and costs a second or two.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tools.mutants.changes import Change, changes
from tools.mutants.replacing import Difference, Functions, Key, differences, key_of

PACKAGES = ("commandline", "contracts", "runtime", "server")
_FOLDERS = ("client_image", "commandline", "contracts", "server", "tests")
_REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_S = 60.0  # for one change, beside five times what its tests take
_OURS = ("-q", "-x", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "default")


@dataclass(frozen=True, slots=True)
class Trial:
    """``noticed``: a test failed, or went on for too long. ``tests``: how many were asked."""

    line: int
    before: str
    after: str
    noticed: bool
    tests: int


def tried(
    path: Path,
    module: str,
    tests: Sequence[str],
    report: Callable[[Trial], None],
    concerns: Callable[[Change], bool] = lambda change: True,
) -> list[Trial]:
    """Every change, or those that ``concerns`` chooses. Raises RuntimeError when the tests do not pass without any change."""
    plugin = _Plugin(path, module, tests, report, concerns)
    code = pytest.main([*_OURS, *tests], plugins=[plugin])
    if plugin.failure or code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(plugin.failure or f"nothing was tried: pytest ended with {code}")
    return plugin.trials


class _Plugin:
    def __init__(
        self,
        path: Path,
        module: str,
        tests: Sequence[str],
        report: Callable[[Trial], None],
        concerns: Callable[[Change], bool],
    ) -> None:
        self._path, self._module, self._tests, self._report, self._concerns = path, module, tests, report, concerns
        self.trials: list[Trial] = []
        self.failure = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        importlib.import_module(self._module)
        filename, source = str(self._path), self._path.read_text()
        original = compile(source, filename, "exec")
        functions = Functions(filename, PACKAGES)
        callers, durations = self._who_calls(session.items, functions)
        if self.failure:
            return True
        for change in changes(source, filename):
            if not self._concerns(change):
                continue
            found = differences(original, change.code)
            if found == []:
                continue  # the compiler makes the same of both
            chosen: list[int] = []
            if found is not None:
                wanted = min(found, key=lambda one: not one.own).key
                chosen = sorted(callers[wanted], key=lambda at: durations[at])
            if found is not None and chosen:
                noticed = self._warm(session.items, chosen, functions, found, durations)
            else:  # what no test calls may be called by an import
                noticed = self._fresh(change.code, {session.items[at].nodeid: took for at, took in durations.items()})
            trial = Trial(change.line, change.before, change.after, noticed, len(chosen) or len(session.items))
            self.trials.append(trial)
            self._report(trial)
        return True

    def _who_calls(
        self, items: Sequence[pytest.Item], functions: Functions
    ) -> tuple[dict[Key, list[int]], dict[int, float]]:
        """The tests by place that call each function of the file, and the seconds that each test takes."""
        reading, writing = os.pipe()

        def observe() -> int:
            called: set[Key] = set()
            filename = str(self._path)

            def trace(frame: FrameType, event: str, _: Any) -> None:
                if event == "call" and frame.f_code.co_filename == filename:
                    called.add(key_of(frame.f_code))

            with os.fdopen(writing, "w") as answer:
                for at, item in enumerate(items):
                    called.clear()
                    functions.forget()
                    began = time.monotonic()
                    sys.settrace(trace)
                    threading.settrace(trace)
                    failed = _fails(item, items[at + 1] if at + 1 < len(items) else None)
                    sys.settrace(None)
                    answer.write(json.dumps([at, time.monotonic() - began, failed, sorted(called)]) + "\n")
            return 0

        pid = _forked(observe)
        os.close(writing)
        callers: dict[Key, list[int]] = defaultdict(list)
        durations: dict[int, float] = {}
        with os.fdopen(reading) as answer:
            for line in answer:
                at, took, failed, called = json.loads(line)
                durations[at] = took
                if failed:
                    self.failure = f"{items[at].nodeid} fails without any change"
                for first_line, name in called:
                    callers[first_line, name].append(at)
        if _ended(pid, LONGEST_S) != 0 or len(durations) != len(items):
            self.failure = self.failure or "the tests did not end"
        return callers, durations

    def _warm(
        self,
        items: Sequence[pytest.Item],
        chosen: Sequence[int],
        functions: Functions,
        found: Sequence[Difference],
        durations: dict[int, float],
    ) -> bool:
        def attempt() -> int:
            functions.replace(found)
            for place, at in enumerate(chosen):
                following = chosen[place + 1 : place + 2]
                if _fails(items[at], items[following[0]] if following else None):
                    return 1
            return 0

        return _ended(_forked(attempt), LONGEST_S + 5 * sum(durations[at] for at in chosen)) != 0

    def _fresh(self, code: CodeType, durations: dict[str, float]) -> bool:
        def attempt() -> int:
            for name in [name for name, one in sys.modules.items() if _is_ours(one)]:
                del sys.modules[name]
            sys.meta_path.insert(0, _Finder(self._module, self._path, code))
            return int(pytest.main([*_OURS, *self._tests], plugins=[_QuickFirst(durations)]))

        return _ended(_forked(attempt), LONGEST_S + 5 * sum(durations.values())) != 0


def _is_ours(module: ModuleType) -> bool:
    """By its file: pytest names a module of tests after the folders that have an ``__init__.py``."""
    file = str(getattr(module, "__file__", None) or "")
    return any(file.startswith(f"{_REPOSITORY / folder}/") for folder in _FOLDERS)


class _QuickFirst:
    def __init__(self, durations: dict[str, float]) -> None:
        self._durations = durations

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._durations.get(item.nodeid, 0.0))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module with other code than its file's."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self._module, self._path, self._code = module, path, code

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self._path))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))  # noqa: S102  # the module's own code, with one fault


def _fails(item: pytest.Item, following: pytest.Item | None) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _forked(attempt: Callable[[], int]) -> int:
    """A process of its own group, silent, that ends with what ``attempt`` returns, or with 1 when it raises."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    with contextlib.suppress(BaseException):
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        code = attempt()
    os._exit(code)


def _ended(pid: int, limit: float) -> int:
    """How the process ended; -1 when it was killed after ``limit`` seconds. Nothing that it started outlives it."""
    until = time.monotonic() + limit
    ended, status, pause = 0, 0, 0.002
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if not ended:
        os.waitpid(pid, 0)
        return -1
    return os.waitstatus_to_exitcode(status)


def as_json(trials: Sequence[Trial]) -> str:
    return json.dumps([asdict(trial) for trial in trials], indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> list[Trial]:
    return [Trial(**trial) for trial in json.loads(text)]
