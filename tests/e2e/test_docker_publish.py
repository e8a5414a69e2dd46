"""The publish gate on real images and a real registry: what may not reach customers is refused, what may is pushed by digest."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from tests.harness import docker_host, images, registry
from tests.harness.cache import REPOSITORY
from tests.harness.control_plane import new_key
from tests.harness.docker_host import DockerHost
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.process import wait_until
from tests.harness.registry import Registry

VERSION = "0.1.0"


@pytest.fixture(scope="module")
def host() -> Iterator[DockerHost]:
    with docker_host.running() as running:
        yield running


@pytest.fixture(scope="module")
def released(host: DockerHost) -> str:
    """The proxy's image as customers get it: its name on the host's engine."""
    return images.product(host, "client", VERSION)


@pytest.fixture(scope="module")
def store() -> Iterator[Registry]:
    with registry.running() as running:
        yield running


def publish(host: DockerHost, store: Registry, image: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.publish", f"{store.address}/proxy", "--from", image, *options]
    environment = {**host.environment(), "DOCKER_HOST": host.url}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def derived(host: DockerHost, released: str, name: str, *lines: str) -> str:
    body = "\n".join([f"FROM {released}", "USER 0", *lines, "USER 10001:10001"])
    host.must("docker", "build", "-q", "-t", name, "-", stdin=body.encode())
    return name


# First, while another worker may still be building the proxy's image.
def test_the_control_plane_s_image_serves_on_a_read_only_root(host: DockerHost) -> None:
    image = images.product(host, "server", VERSION)
    port = free_port()
    settings = [
        f"--env=FLAGEE_SECRET_KEY={new_key()}",
        f"--env=FLAGEE_BIND={LOOPBACK}:{port}",
        "--volume=plane:/var/lib/flagee",
    ]
    apart = ["--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]
    refused = host.run("docker", "run", "--rm", *settings, *apart, image)
    assert (refused.code, "init-db" in refused.err) == (1, True)
    host.must("docker", "run", "--rm", *settings, *apart, image, "init-db")
    host.must("docker", "run", "--detach", "--name=plane", *settings, *apart, image)
    try:
        wait_until(lambda: accepts(LOOPBACK, port), within=60, what="the control plane listens")
        answer = requests.get(f"http://{LOOPBACK}:{port}/health", timeout=20).json()
        assert (answer["status"], answer["assets"]["status"]) == ("ok", "ok")
    finally:
        host.must("docker", "rm", "--force", "plane")


def test_a_trial_is_pushed_only_with_the_option_and_by_digest(host: DockerHost, store: Registry, released: str) -> None:
    refused = publish(host, store, released)
    assert (refused.returncode, "trial" in refused.stderr) == (1, True)
    pushed = publish(host, store, released, "--allow-trial")
    assert pushed.returncode == 0, pushed.stderr
    digest = pushed.stdout.splitlines()[-1]
    for tag in (VERSION, "stable"):
        host.must("docker", "pull", f"{store.address}/proxy:{tag}")
    host.must("docker", "pull", f"{store.address}/proxy@{digest}")
    assert publish(host, store, released, "--allow-trial").stdout == pushed.stdout  # again: the same digest


def test_a_version_is_never_replaced(host: DockerHost, store: Registry, released: str) -> None:
    assert publish(host, store, released, "--allow-trial").returncode == 0
    other = derived(host, released, "other:1", "RUN echo other > /flageemonitor/utilities/other")
    refused = publish(host, store, other, "--allow-trial")
    assert (refused.returncode, "published already" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RUN echo 'x = 1' > /flageemonitor/runtime/domain/extra.py", "readable source"),
        ("RUN rm /flageemonitor/providers/arius/provider.yaml", "self-test"),
        ("RUN cd /flageemonitor/runtime/actions && rm diagnose_env.py __pycache__/diagnose_env.*", "self-test"),
        ('LABEL flageemonitor.licence="full"', "licence"),
        ("RUN echo secret > /flageemonitor/config/token", "some installation"),
        ('LABEL org.opencontainers.image.version="9.9.9"', "version"),
    ],
)
def test_a_damaged_image_is_refused(host: DockerHost, store: Registry, released: str, line: str, why: str) -> None:
    refused = publish(host, store, derived(host, released, "damaged:1", line), "--allow-trial")
    assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    assert "damaged" not in host.run("docker", "pull", f"{store.address}/proxy:9.9.9").out


def test_an_unprotected_image_is_refused(host: DockerHost, store: Registry) -> None:
    name = images.product(host, "client", "0.1.1", licence="none")
    refused = publish(host, store, name, "--allow-trial")
    assert (refused.returncode, "readable source" in refused.stderr) == (1, True), refused.stderr


def test_the_protected_image_passes_its_own_self_test_as_it_will_run(host: DockerHost, released: str) -> None:
    said = host.must(
        *("docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"),
        *("--entrypoint=python", released, "-m", "runtime.container.selftest"),
    )
    found = json.loads(said)
    assert (found["ok"], found["actions"]) == (True, 5)
