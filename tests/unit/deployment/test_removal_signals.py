"""`deploy uninstall`: a signal does not leave half of a proxy on the host."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.deployment import calls, removal
from runtime.deployment.deployment import Folders, Options
from runtime.deployment.results import Result
from runtime.deployment.specification import Sources

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_removal_is_finished_in_spite_of_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(*_: Any, **__: Any) -> Result:
        os.kill(os.getpid(), number)
        return Result("removed", "")

    monkeypatch.setattr(removal, "uninstall", interrupted)
    monkeypatch.setattr(calls, "_with_engine", lambda _place, work, changes: work(None))
    signal.signal(number, signal.default_int_handler)  # would end it here
    folders = Folders(tmp_path, tmp_path, tmp_path, tmp_path, None)
    sources = Sources(config="/c", data="/d", socket="/s", credentials="")
    place = calls.Place("proxy", folders, sources, "unix:///nowhere.sock", Options(), lambda _step, _text: None)
    result, _ = calls.uninstall(place, delete_data=False, dry_run=False)
    assert result.reason == "removed"
