"""A host for each shell that the scripts must run under."""

from pathlib import Path
from zlib import crc32

import pytest

from tests.unit.shell.host import SHELLS, Host
from tests.unit.shell.install_host import InstallHost


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path / "host", request.param)


@pytest.fixture
def a_host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """For tests with many parameters, and those whose lines others run under every shell: each has one, always the same."""
    return Host(tmp_path / "host", list(SHELLS)[crc32(request.node.name.encode()) % len(SHELLS)])


@pytest.fixture(params=SHELLS)
def new_host(request: pytest.FixtureRequest, tmp_path: Path) -> InstallHost:
    """For install.sh, under every shell."""
    return InstallHost(tmp_path / "host", request.param)


@pytest.fixture
def a_new_host(request: pytest.FixtureRequest, tmp_path: Path) -> InstallHost:
    """For install.sh, under one of the shells, always the same for a test."""
    return InstallHost(tmp_path / "host", list(SHELLS)[crc32(request.node.name.encode()) % len(SHELLS)])
