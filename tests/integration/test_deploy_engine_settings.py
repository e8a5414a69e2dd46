"""An engine with settings of its customer's: what it adds to every container is no drift, and a real difference still is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.harness import docker_host, images
from tests.harness.docker_host import DockerHost
from tests.harness.process import wait_until
from tests.integration.deploy_parts import NAME, TestHost, running_host

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")

# As daemon.json has them on hosts of customers, in the manner of the engine's manual. Three, because a repair acts three times an
# hour.
SETTINGS: dict[str, Mapping[str, object]] = {
    "options of the log": {
        "log-driver": "json-file",
        "log-opts": {"max-size": "20m", "max-file": "3", "compress": "true", "labels": "status", "env": "os,customer"},
        "init": True,
        "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 1024, "Soft": 512}},
    },
    "another driver of the log": {
        "log-driver": "local",
        "log-opts": {"max-size": "20m", "compress": "false"},
        "default-cgroupns-mode": "host",
        "default-ipc-mode": "shareable",
        "default-shm-size": "128M",
    },
    "networks and restarts": {
        "live-restore": True,
        "userland-proxy": False,
        "no-new-privileges": True,
        "dns": ["192.0.2.53"],
        "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
        "labels": ["site=one"],
        "shutdown-timeout": 30,
    },
}


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerHost]:
    with docker_host.running() as host:
        yield host


@pytest.fixture(scope="module")
def watchtower(engine: DockerHost) -> str:
    return images.watchtower(engine)


@pytest.fixture
def host(engine: DockerHost, watchtower: str, tmp_path: Path) -> Iterator[TestHost]:
    with running_host(engine, tmp_path / "host", watchtower) as made:
        yield made


def test_what_the_engine_adds_is_left_alone_and_a_difference_is_repaired_once(
    engine: DockerHost, host: TestHost
) -> None:
    host.image("good", "1.0")
    assert host.deploy("apply").reason == "installed"
    for name, settings in SETTINGS.items():
        before = _ids(host)
        engine.configure_engine(settings)
        wait_until(lambda: host.deploy("repair").reason == "unchanged", within=60, what="both run again", every=1)
        assert _ids(host) == before, name  # created before the engine had these settings

        host.client.api.update_container(NAME, mem_limit="300m", memswap_limit="600m")
        host.client.api.remove_container(f"{NAME}-watchtower", force=True)
        done = host.deploy("repair")
        assert (done.code, done.reason) == (0, "repaired"), f"{name}: {done.output}"
        assert "Memory" in done.answer["message"]
        created = _ids(host)
        assert not set(created) & set(before), name
        for _ in range(3):
            done = host.deploy("repair")
            assert (done.code, done.reason) == (0, "unchanged"), f"{name}: {done.output}"
        assert _ids(host) == created, name


def _ids(host: TestHost) -> tuple[str, str]:
    """Of the runtime's container and Watchtower's."""
    runtime, tower = host.container(), host.container("-watchtower")
    assert runtime is not None
    assert tower is not None
    return str(runtime["Id"]), str(tower["Id"])
