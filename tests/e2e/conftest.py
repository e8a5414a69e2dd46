"""Fixtures of the end-to-end tests: one control plane and one Zabbix a session, a network of its own for each module."""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.e2e import fleet as store
from tests.e2e import plane as control_plane
from tests.e2e.fleet import Fleet
from tests.e2e.plane import Plane
from tests.e2e.site import Site
from tests.harness import terminals, zabbix
from tests.harness.fixtures import StartTerminal

NewSite = Callable[[], Site]


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """The session's control plane, on SQLite."""
    with control_plane.running(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def new_site(plane: Plane, zabbix_running: zabbix.Zabbix, tmp_path_factory: pytest.TempPathFactory) -> NewSite:
    """A new network at the control plane and in Zabbix, without configuration."""
    numbers = itertools.count(1)
    token = plane.token()

    def make() -> Site:
        code = f"REDE{next(numbers)}"
        plane.add_network(code)
        return Site(code, plane, zabbix_running, tmp_path_factory.mktemp(code), token, plane.url)

    return make


@pytest.fixture(scope="module")
def site(new_site: NewSite) -> Site:
    """The module's network."""
    return new_site()


@pytest.fixture(scope="session")
def fleet(new_site: NewSite) -> Iterator[Fleet]:
    """A terminal of every kind, for tests that only look."""
    with store.running(new_site()) as running:
        yield running


@pytest.fixture(scope="module")
def start() -> Iterator[StartTerminal]:
    """Start a terminal that lives as long as the module."""
    with contextlib.ExitStack() as stack:
        yield lambda spec: stack.enter_context(terminals.start(spec))
