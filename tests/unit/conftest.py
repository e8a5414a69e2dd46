"""Files of the unit tests are kept in memory where the machine has a folder for that.

Much of what they try commits each step to the disk, as it has to, and most of their time would be spent on waiting for that. What
a real disk does is for the integration tests.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")
_ENOUGH = 1 << 30  # bytes; in a container there often is far less


def _in_memory() -> bool:
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(_MEMORY)
    return found.f_bavail * found.f_frsize >= _ENOUGH and not found.f_flag & os.ST_NOEXEC


@pytest.fixture(scope="session")
def tmp_path_factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.TempPathFactory]:
    """pytest's own, in memory; on the disk where there is no such folder, or where ``--basetemp`` names another."""
    config = request.config
    named_by_xdist = hasattr(config, "workerinput")
    if not _in_memory() or (config.option.basetemp and not named_by_xdist):
        yield tmp_path_factory
        return
    given, root = config.option.basetemp, os.environ.get("PYTEST_DEBUG_TEMPROOT")
    try:
        config.option.basetemp, os.environ["PYTEST_DEBUG_TEMPROOT"] = None, str(_MEMORY)
        factory = pytest.TempPathFactory.from_config(config, _ispytest=True)
        folder = factory.getbasetemp()
    finally:
        config.option.basetemp = given
        if root is None:
            del os.environ["PYTEST_DEBUG_TEMPROOT"]
        else:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = root
    yield factory
    shutil.rmtree(folder, ignore_errors=True)
