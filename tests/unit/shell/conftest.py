"""A host for each shell that the scripts must run under."""

from pathlib import Path
from zlib import crc32

import pytest

from tests.unit.shell.host import SHELLS, Host


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path / "host", request.param)


@pytest.fixture
def a_host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """For tests with many parameters: each has one of the shells, always the same."""
    return Host(tmp_path / "host", list(SHELLS)[crc32(request.node.name.encode()) % len(SHELLS)])
