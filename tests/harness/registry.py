"""A real image registry on loopback, which engines accept without TLS. Called by tests that publish and update images."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness import process
from tests.harness.docker_host import DockerHost
from tests.harness.need import need_program
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.workdir import workdir

_SETTINGS = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}/store}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
"""


@dataclass(slots=True)
class Registry:
    """`address` is HOST:PORT, the first part of its images' names."""

    address: str
    folder: Path
    _child: process.Child | None = None

    def push(self, host: DockerHost, image: str, name: str) -> str:
        """Push a local image as `name` (repository:tag, without the registry): its digest."""
        full = f"{self.address}/{name}"
        host.must("docker", "tag", image, full)
        said = host.must("docker", "push", full)
        return next(word for line in said.splitlines() for word in line.split() if word.startswith("sha256:"))

    def start(self) -> None:
        """Listen again, with everything that was pushed."""
        program = need_program("docker-registry", "docker-registry")
        port = int(self.address.rpartition(":")[2])
        self._child = process.start(
            [program, "serve", self.folder / "registry.yml"], name="registry", folder=self.folder
        )
        self._child.wait_ready(lambda: accepts(LOOPBACK, port), within=120)

    def stop(self) -> None:
        """Be away."""
        if self._child is not None:
            self._child.stop()
            self._child = None


@contextlib.contextmanager
def running() -> Iterator[Registry]:
    """An empty registry."""
    with workdir("registry") as folder:
        address = f"{LOOPBACK}:{free_port()}"
        (folder / "registry.yml").write_text(_SETTINGS.format(folder=folder, address=address))
        registry = Registry(address, folder)
        registry.start()
        try:
            yield registry
        finally:
            registry.stop()
