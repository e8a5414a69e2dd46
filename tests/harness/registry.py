"""A real image registry on loopback, which engines accept without TLS. Called by tests that publish and update images."""

import base64
import contextlib
import json
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
_LOGIN = """\
auth:
  htpasswd: {{realm: test, path: {folder}/htpasswd}}
"""
USER = "till"
# By password, as htpasswd -B makes them; the registry takes no other kind.
PASSWORDS = {
    "pull-only-word": "$2b$05$abcdefghijklmnopqrstuuYCmvkve9UawQ6CelbiyG6cf5RxFRGAG",
    "a-newer-word": "$2b$05$bbcdefghijklmnopqrstuuWgw0jwvn.98IT2LXSEcqK7hszcyzs1q",
}


@dataclass(slots=True)
class Registry:
    """`address` is HOST:PORT, the first part of its images' names."""

    address: str
    folder: Path
    password: str = ""
    _child: process.Child | None = None

    def push(self, host: DockerHost, image: str, name: str) -> str:
        """Push a local image as `name` (repository:tag, without the registry): its digest."""
        full = f"{self.address}/{name}"
        host.must("docker", "tag", image, full)
        words = ("--config", self._credentials()) if self.password else ()
        said = host.must("docker", *words, "push", full)
        return next(word for line in said.splitlines() for word in line.split() if word.startswith("sha256:"))

    def _credentials(self) -> Path:
        """A folder of docker's own form, with the present password."""
        folder = self.folder / "login"
        folder.mkdir(exist_ok=True)
        auth = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": auth}}}))
        return folder

    def ask_for(self, password: str) -> None:
        """From now on another one of PASSWORDS."""
        self.stop()
        self.password = password
        self.start()

    def start(self) -> None:
        """Listen again, with everything that was pushed."""
        if self.password:
            (self.folder / "htpasswd").write_text(f"{USER}:{PASSWORDS[self.password]}\n")
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
def running(password: str = "") -> Iterator[Registry]:
    """An empty registry. With one of PASSWORDS it answers nobody but USER."""
    with workdir("registry") as folder:
        address = f"{LOOPBACK}:{free_port()}"
        settings = _SETTINGS + (_LOGIN if password else "")
        (folder / "registry.yml").write_text(settings.format(folder=folder, address=address))
        registry = Registry(address, folder, password)
        registry.start()
        try:
            yield registry
        finally:
            registry.stop()
