import compileall
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import powershell
from tests.harness.cache import cache_folder
from tests.harness.logs import logging_as_before, no_logger_kept

pytest_plugins = ["tests.harness.fixtures"]
collect_ignore = [*powershell.NOT_COLLECTED]
_REPOSITORY = Path(__file__).resolve().parents[1]
_WITH_PARTS = ("tests/e2e", "tests/integration", "tests")
_PREPARING = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    """Whoever starts the tests in the background may have them ignore signals, and programs that tests start would inherit that:
    a shell cannot even trap what was ignored when it began."""
    # The same examples every time in CI: what a desk's random search finds must not fail another change. No time limits anywhere.
    in_ci = os.environ.get("CI") == "true"
    settings.register_profile("ours", derandomize=in_ci, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("ours")
    sys.dont_write_bytecode = False  # what pytest makes of each assert is kept: half of the time of collecting
    if not hasattr(config, "workerinput"):
        # Tests start programs by the hundred; each would compile the product where PYTHONDONTWRITEBYTECODE is set.
        for package in ("contracts", "commandline", "server", "client_image", "demo", "tools"):
            compileall.compile_dir(_REPOSITORY / package, quiet=2)
    os.umask(0o022)  # nor is theirs ours: some programs run as other accounts
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _nothing)  # ours to ignore, and the default again for whatever we start


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests and what they import stay until the end: none of it needs to be looked at again


def pytest_sessionstart(session: pytest.Session) -> None:
    """Whoever asks for all tests of a slow layer needs nearly every part: they are made beside the tests that need none."""
    config = session.config
    whole = {Path(word).resolve() for word in config.args} & {_REPOSITORY / name for name in _WITH_PARTS}
    if whole and not config.option.collectonly and not hasattr(config, "workerinput"):
        log = cache_folder() / "prepare.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as said:
            command = [sys.executable, "-m", "tests.harness.prepare"]
            config.stash[_PREPARING] = subprocess.Popen(command, cwd=_REPOSITORY, stdout=said, stderr=said)


def pytest_unconfigure(config: pytest.Config) -> None:
    if preparing := config.stash.get(_PREPARING, None):
        preparing.terminate()
        preparing.wait()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if powershell.NOT_COLLECTED:
        terminalreporter.write_line(powershell.ABSENT)


@pytest.fixture(scope="session", autouse=True)
def _no_logger_is_kept() -> Iterator[None]:
    with no_logger_kept():
        yield


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    with logging_as_before():
        yield


def _nothing(*_: object) -> None:
    pass
