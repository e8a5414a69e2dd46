"""One fresh state a test, copied from one that was made and migrated once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.adapters.state.store import State
from tests.unit.state.support import open_state


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blank") / "data"
    open_state(folder).close()
    return folder


@pytest.fixture
def state(blank: Path, tmp_path: Path) -> Iterator[State]:
    shutil.copytree(blank, tmp_path / "data")
    with open_state(tmp_path / "data") as opened:
        yield opened
