"""Pytest fixtures over the harness: what is slow to start lives as long as the session, the rest as long as the test.

Named by tests/conftest.py in `pytest_plugins`.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.harness import faults, postgres, ssh_offer, terminals, zabbix
from tests.harness.agents import Agent, enrolled
from tests.harness.control_plane import ControlPlane, prepared

StartTerminal = Callable[[terminals.TerminalSpec], terminals.Terminal]


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A private PostgreSQL cluster."""
    with postgres.cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _database_names() -> Iterator[str]:
    return (f"test_{number}" for number in itertools.count(1))


@pytest.fixture
def postgres_url(postgres_cluster: postgres.Cluster, _database_names: Iterator[str]) -> str:
    """SQLAlchemy URL of a new empty database."""
    return postgres_cluster.create_database(next(_database_names))


@pytest.fixture(params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    """A control plane of the test's own, once on each database; modules that need another have one of the same name."""
    return prepared(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
def app(plane: ControlPlane) -> Iterator[Flask]:
    """Its application in this process."""
    with plane.app() as made:
        yield made


@pytest.fixture
def agent(plane: ControlPlane, app: Flask) -> Agent:
    """An agent that has enrolled there."""
    return enrolled(plane, app)


@pytest.fixture(scope="session")
def zabbix_running() -> Iterator[zabbix.Zabbix]:
    """A real Zabbix, shared by the session: give your hosts a network (group) of their own."""
    with zabbix.running() as running:
        yield running


@pytest.fixture
def zabbix_faults(zabbix_running: zabbix.Zabbix) -> Iterator[faults.FaultProxy]:
    """A fault injector in front of the Zabbix API."""
    with zabbix_running.behind_faults() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def client_key(tmp_path_factory: pytest.TempPathFactory) -> ssh_offer.KeyPair:
    """An SSH key to log in with."""
    return ssh_offer.key_pair(tmp_path_factory.mktemp("client-key"))


@pytest.fixture(scope="session")
def client_rsa_key(tmp_path_factory: pytest.TempPathFactory) -> ssh_offer.KeyPair:
    """An RSA key, the only kind that old servers know."""
    return ssh_offer.key_pair(tmp_path_factory.mktemp("client-key"), "rsa")


@pytest.fixture
def start_terminal() -> Iterator[StartTerminal]:
    """Start a terminal of this test's own: `start_terminal(TerminalSpec(…))`."""
    with contextlib.ExitStack() as stack:
        yield lambda spec: stack.enter_context(terminals.start(spec))


@pytest.fixture(scope="session")
def shared_terminal() -> Iterator[StartTerminal]:
    """The session's one terminal of this kind, for tests that only look; it is started at the first request."""
    started: dict[str, terminals.Terminal] = {}
    with contextlib.ExitStack() as stack:

        def give(spec: terminals.TerminalSpec) -> terminals.Terminal:
            if repr(spec) not in started:
                started[repr(spec)] = stack.enter_context(terminals.start(spec))
            return started[repr(spec)]

        yield give
