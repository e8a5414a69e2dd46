"""A host for each shell that the scripts must run under."""

from pathlib import Path

import pytest

from tests.unit.shell.host import SHELLS, Host


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path / "host", request.param)
