"""A customer as the installer meets one: a host with Docker, a control plane behind TLS of a private authority, a registry that
holds the released image, Zabbix, and terminals. Called by the end-to-end tests of Docker.
"""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.e2e import plane as control_plane
from tests.e2e.plane import Plane
from tests.e2e.site import TILL, Site
from tests.harness import authority, docker_host, images, process, registry, terminals
from tests.harness.docker_host import DockerHost, Engine, Said
from tests.harness.ports import LOOPBACK
from tests.harness.registry import Registry
from tests.harness.terminals import Terminal
from tests.harness.zabbix import Zabbix

FIRST, SECOND = "0.1.0", "0.2.0"
RUNTIME = "flageemonitor"
INTERVAL_S = 30  # the shortest that Watchtower may be told
REPOSITORY = "flageemonitor-client"
# A release that ends at once, and one that starts and never becomes healthy.
CRASHES = 'ENTRYPOINT ["/bin/false"]'
# The image's own deploy, satisfied with a new container after one second and not after ten.
HURRIES = (
    "RUN sed -i 's/(deploy) shift;/&"
    ' case " $* " in (*" apply "*|*" repair "*|*" rollback "*|*" resume "*) set -- "$@" --soak 1;; esac;'
    "/' /flageemonitor/entrypoint.sh && grep -q soak /flageemonitor/entrypoint.sh"
)
HANGS = 'ENTRYPOINT ["/usr/bin/tini", "--", "sleep", "86400"]'


@dataclass(frozen=True, slots=True)
class Customer:
    """One network's host. `image` is the image that the installer runs, a tag that moves; `first` the name of FIRST."""

    host: DockerHost
    plane: Plane
    registry: Registry
    site: Site
    ca: Path
    first: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def image(self) -> str:
        return f"{self.registry.address}/{REPOSITORY}:stable"

    # --- releases

    def release(self, name: str) -> str:
        """Push a local image as the current release: its digest."""
        self._keep_first()
        return self.registry.push(self.host, name, f"{REPOSITORY}:stable")

    def derive(self, version: str, *lines: str) -> str:
        """A further release, made of the first one: its local name. `lines` are added to its Dockerfile."""
        self._keep_first()
        number = next(self._numbers)
        name = f"flagee-test-client:{version}-{number}"
        build = json.dumps({"version": version, "revision": "test", "built_at": "", "licence": "trial"})
        body = [
            f"FROM {self.first}",
            "USER 0",
            f"RUN echo '{build}' > /flageemonitor/build.json",
            "USER 10001:10001",
            f'LABEL org.opencontainers.image.version="{version}" number="{number}"',  # no two are the same image
            *lines,
        ]
        self.host.must("docker", "build", "-q", "-t", name, "-", stdin="\n".join(body).encode())
        return name

    def _keep_first(self) -> None:
        """Watchtower removes an image that it has replaced, whatever other names it has."""
        if self.host.run("docker", "image", "inspect", self.first).code:
            self.host.must("docker", "pull", "-q", self.first)

    # --- the host's commands

    def line(self, *options: str) -> str:
        """A fresh line to paste, as the control plane prints it, with options for the installer."""
        words = ("install-command", control_plane.CLIENT, self.site.code, "--ca", str(self.ca))
        line = self.plane.command(*words).splitlines()[-1]
        return " ".join([line.replace("| sudo sh", "| sh"), *options])

    def paste(self, line: str) -> Said:
        """Run the line as root's shell would."""
        return self.host.run("sh", "-c", line, timeout=600)

    def install(self, *options: str) -> Said:
        """Install, or install again, with a fresh line; on the host's own network, where everything else is."""
        return self.paste(self.line("--docker-network", "host", *options))

    def run(self, *words: str, runtime: str = RUNTIME) -> Said:
        """`flageemonitor-run WORDS`."""
        return self.host.run(f"/usr/local/bin/{runtime}-run", *words)

    def start_run(self, *words: str) -> subprocess.Popen[bytes]:
        """The same, at work: it is registered when this returns, and the only one."""
        going = subprocess.Popen(
            self.host.argv(f"/usr/local/bin/{RUNTIME}-run", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.host.environment(),
        )
        process.wait_until(lambda: len(self.live()) == 1, within=120, what="the run is registered")
        return going

    def update(self, *words: str, runtime: str = RUNTIME) -> Said:
        """`flageemonitor-update-image WORDS`."""
        return self.host.run(f"/usr/local/bin/{runtime}-update-image", *words, timeout=900)

    # --- looking

    def inspect(self, name: str = RUNTIME) -> dict[str, Any]:
        """What the engine says of a container."""
        found: list[dict[str, Any]] = json.loads(self.host.must("docker", "container", "inspect", name))
        return found[0]

    def state(self, name: str = RUNTIME) -> str:
        """The container's state in one word."""
        said = self.host.run("docker", "container", "inspect", "--format", "{{.State.Status}}", name)
        return said.out.strip() or "absent"

    def healthy(self, name: str = RUNTIME) -> bool:
        """Asked by the health check itself, and not of the engine, which asks it only every half minute."""
        return self.host.run("docker", "exec", name, "python", "-m", "runtime.container.health").code == 0

    def wait_healthy(self, name: str = RUNTIME, within: float = 300) -> None:
        process.wait_until(lambda: self.healthy(name), within=within, what=f"{name} healthy", every=0.5)

    def version(self, runtime: str = RUNTIME) -> str:
        """The version that runs."""
        said = json.loads(self.host.must("docker", "exec", runtime, "cat", "/flageemonitor/build.json"))
        return str(said["version"])

    def doctor(self, runtime: str = RUNTIME) -> dict[str, list[Mapping[str, str]]]:
        """What the doctor says, by the name of the check."""
        checks: dict[str, list[Mapping[str, str]]] = {}
        for check in json.loads(self.run("doctor", "--output", "json", runtime=runtime).out):
            checks.setdefault(check["name"], []).append(check)
        return checks

    def live(self, runtime: str = RUNTIME) -> list[str]:
        """Ids of the runs that are registered now."""
        return [path.stem for path in self.host.path(f"/var/lib/{runtime}/runs").glob("*.lock")]

    def environment(self, runtime: str = RUNTIME) -> dict[str, str]:
        """The environment file, by key."""
        text = self.host.must("cat", f"/etc/{runtime}/flageemonitor.env")
        pairs = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
        return {key: value for key, _, value in pairs}


@contextlib.contextmanager
def running(
    folder: Path, zabbix: Zabbix, code: str, *, hurry: bool = False, engine: Engine | None = None
) -> Iterator[Customer]:
    """A host without a proxy, a release in the registry, a network with a configuration and no terminals yet.

    With `hurry` the release is the product's but for how long a new container has to stay healthy; for many updates in a row.
    `engine`: another one than the usual.
    """
    private = authority.new(folder)
    issued = private.issue(folder, LOOPBACK, "localhost")
    with (
        docker_host.running(engine) as host,
        registry.running() as store,
        control_plane.running(folder, tls=issued) as plane,
    ):
        plane.add_network(code)
        site = Site(code, plane, zabbix, folder, "", plane.url)
        images.watchtower(host)
        customer = Customer(host, plane, store, site, private.certificate, images.product(host, "client", FIRST))
        if hurry:
            customer = replace(customer, first=customer.derive(FIRST, "USER 0", HURRIES, "USER 10001:10001"))
        name = f"first:{FIRST}"
        store.push(host, customer.first, name)
        customer = replace(customer, first=f"{store.address}/{name}")
        customer.release(customer.first)
        publish(customer)
        yield customer


def publish(customer: Customer, **parts: Any) -> None:
    """Store the network's configuration, with the image that its host shall run."""
    image = {"reference": customer.image, "interval": INTERVAL_S}
    customer.site.publish(**{"image": image, "refresh_interval": 30, **parts})


@contextlib.contextmanager
def tills(customer: Customer, count: int = 3) -> Iterator[dict[str, Terminal]]:
    """Terminals of store 1, in Zabbix and for real, by their technical names."""
    with contextlib.ExitStack() as stack:
        found = {}
        for number in range(201, 201 + count):
            terminal = stack.enter_context(terminals.start(TILL))
            found[customer.site.add_host(f"LOJA001-PDV{number}", terminal.address)] = terminal
        yield found


@contextlib.contextmanager
def silent_till(customer: Customer) -> Iterator[str]:
    """A terminal in Zabbix whose cable is pulled: a run on it lasts until its time limit, or until it is cancelled. Its name."""
    with terminals.start(TILL) as terminal:
        name = customer.site.add_host(f"LOJA009-PDV{next(customer._numbers) + 500}", terminal.address)
        terminal.cut()
        yield name
