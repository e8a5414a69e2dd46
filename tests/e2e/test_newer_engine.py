"""The product on Docker Engine 29, which keeps images in containerd's store: publishing, installation, updates, rollback, repair.

The other tests of Docker run on Debian's engine; `make test-newer` runs them on this one.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e import customer as customers
from tests.e2e.customer import FIRST, INTERVAL_S, REPOSITORY, RUNTIME, SECOND, Customer
from tests.harness import cache
from tests.harness.process import wait_until
from tests.harness.zabbix import Zabbix

NETWORK = "NEWER"
LOG_OPTIONS = {"log-driver": "json-file", "log-opts": {"max-size": "20m", "max-file": "3", "labels": "status"}}
# A release whose deploy works and whose daemon does not: the candidate shows it.
FAILS = (
    "USER 0",
    "RUN sed -i 's/exec python -m runtime.daemon/exit 3/' /flageemonitor/entrypoint.sh",
    "USER 10001:10001",
)
SOON_S = 2 * INTERVAL_S + 300


@pytest.fixture(scope="module")
def customer(zabbix_running: Zabbix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    folder = tmp_path_factory.mktemp("newer")
    with customers.running(folder, zabbix_running, NETWORK, hurry=True, engine="newer") as running:
        running.host.configure_engine(LOG_OPTIONS)
        yield running


@pytest.fixture(scope="module")
def published(customer: Customer) -> str:
    """The digest of the first release, as `make publish` prints it."""
    said = publish(customer)
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(customer: Customer, published: str) -> Customer:
    said = customer.install()
    assert said.code == 0, said.out + said.err
    customer.wait_healthy()
    return customer


def test_a_release_is_published_by_its_digest(customer: Customer, published: str) -> None:
    with customer.host.client() as client:
        assert client.version()["Version"].startswith("29.")
        assert ["driver-type", "io.containerd.snapshotter.v1"] in client.info()["DriverStatus"]
    customer.host.must("docker", "pull", f"{customer.registry.address}/{REPOSITORY}@{published}")
    assert publish(customer).stdout.splitlines()[-1] == published  # again: the same digest
    other = customer.derive(FIRST)
    refused = publish(customer, other)
    assert (refused.returncode, "published already" in refused.stderr) == (1, True), refused.stderr


def test_one_line_installs_what_was_published(installed: Customer, published: str) -> None:
    assert installed.version() == FIRST
    assert installed.inspect()["Image"] == published  # this store's ids
    assert installed.state(f"{RUNTIME}-watchtower") == "running"


def test_repairs_replace_nothing(installed: Customer) -> None:
    before = ids(installed)
    for _ in range(3):
        said = installed.update("--repair", "--output", "json")
        assert (said.code, json.loads(said.out)["reason"]) == (0, "unchanged"), said
    assert ids(installed) == before


def test_watchtower_takes_a_release_and_a_rollback_stays_until_resume(installed: Customer) -> None:
    installed.release(installed.derive(SECOND))
    wait_until(lambda: version(installed) == SECOND, within=SOON_S, what="Watchtower took the release", every=1)
    installed.wait_healthy()
    newest = installed.inspect()["Image"]
    said = installed.update("--repair")
    assert said.code == 0, said.out + said.err

    said = installed.update("--rollback")
    assert said.code == 0, said.out + said.err
    assert (installed.version(), installed.healthy()) == (FIRST, True)
    assert "@sha256:" in installed.inspect()["Config"]["Image"]  # Watchtower leaves that alone
    pinned = ids(installed)
    assert installed.update("--repair").code == 0
    assert ids(installed) == pinned

    said = installed.update("--resume")
    assert said.code == 0, said.out + said.err
    assert (installed.inspect()["Image"], installed.healthy()) == (newest, True)


def test_a_broken_release_is_refused_and_its_image_is_removed(installed: Customer) -> None:
    installed.host.must("docker", "pause", f"{RUNTIME}-watchtower")  # no update in the meantime
    before = installed.inspect()["Id"]
    good = installed.version()
    name = installed.derive("0.6.6", *FAILS)
    broken = installed.release(name)
    installed.host.must("docker", "rmi", name)  # where it was built; a customer's host has it by one name only
    said = installed.update()
    assert said.code == 10, said
    assert (installed.inspect()["Id"], installed.version()) == (before, good)
    assert f"{RUNTIME}-candidate" not in installed.host.containers()
    installed.release(installed.derive("0.7.0"))
    said = installed.update()
    assert (said.code, installed.version()) == (0, "0.7.0"), said
    report = json.loads(installed.host.path(f"/var/lib/{RUNTIME}/deployment.json").read_text())
    assert report["refused"] == [broken]
    assert installed.host.run("docker", "image", "inspect", broken).code != 0


def publish(customer: Customer, image: str = "") -> subprocess.CompletedProcess[str]:
    """`make publish`, with a trial's image."""
    repository = f"{customer.registry.address}/{REPOSITORY}"
    command = [sys.executable, "-m", "tools.publish", repository, "--from", image or customer.first, "--allow-trial"]
    environment = {**customer.host.environment(), "DOCKER_HOST": customer.host.url}
    return subprocess.run(command, cwd=cache.REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def version(customer: Customer) -> str:
    """The version that runs, or nothing while it is being replaced."""
    said = customer.host.run("docker", "exec", RUNTIME, "cat", "/flageemonitor/build.json")
    return str(json.loads(said.out)["version"]) if said.code == 0 else ""


def ids(customer: Customer) -> tuple[str, str]:
    return customer.inspect()["Id"], customer.inspect(f"{RUNTIME}-watchtower")["Id"]
