"""A customer's host with Docker: a real engine of its own, and folders of its own where the installer writes.

Called by tests of the image, the installer and updates. Its /etc, /usr/local, /var/lib and /run are layers over this machine's,
in a mount namespace; commands of a test run in there, and nothing of it is left when it ends.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import docker
import docker.errors

from tests.harness import newer_engine, process
from tests.harness.need import need_program, need_root
from tests.harness.workdir import workdir

Engine = Literal["debian", "newer"]
_BOOT = Path(__file__).with_suffix(".sh")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class DockerHost:
    """`url` is the engine's address from outside of the host's namespace; inside it is the default one."""

    folder: Path
    url: str
    _engine: process.Child

    def run(self, *argv: str | Path, stdin: bytes = b"", timeout: float = 300, **environ: str) -> Said:
        """Run a command on the host, as root, with a small environment; `environ` adds to it."""
        done = subprocess.run(
            self.argv(*argv),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=self.environment(environ),
            cwd="/",
        )
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def must(self, *argv: str | Path, stdin: bytes = b"", timeout: float = 300, **environ: str) -> str:
        """As `run`, for what has to work: its stdout."""
        said = self.run(*argv, stdin=stdin, timeout=timeout, **environ)
        assert said.code == 0, f"{argv}: {said}"
        return said.out

    def argv(self, *argv: str | Path) -> list[str]:
        """A command line that runs `argv` on the host."""
        return ["nsenter", f"--mount=/proc/{self._engine.pid}/ns/mnt", "--", *map(str, argv)]

    def environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """What a login of root's on the host would have."""
        # Debian's own client first: it builds with BuildKit, which another one may lack the plugin for.
        path = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
        return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **more}

    def path(self, path: str) -> Path:
        """Where a file that the host wrote below /etc, /usr/local or /var/lib is for us."""
        return self.folder / "host" / path.lstrip("/")

    def left(self) -> list[str]:
        """Everything that was ever written below those folders and is still there, as paths of the host."""
        base = self.folder / "host"
        files = (path for path in base.rglob("*") if path.is_symlink() or path.is_file())
        return sorted(f"/{path.relative_to(base)}" for path in files)

    @contextlib.contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """The engine's API."""
        client = docker.DockerClient(base_url=self.url, timeout=120)
        try:
            yield client
        finally:
            client.close()

    @property
    def pid(self) -> int:
        """Of a process in the host's mount namespace."""
        return self._engine.pid

    def restart_engine(self, *, kill: bool = False) -> None:
        """End the engine (`kill`: without a chance to stop its containers); it is started again at once, as at a reboot."""
        pid = int((self.folder / "run" / "docker.pid").read_text())
        os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        process.wait_until(lambda: not Path(f"/proc/{pid}").exists(), within=180, what="the engine ended")
        process.wait_until(lambda: _answers(self.url), within=180, what="the engine answers again")

    def configure_engine(self, settings: Mapping[str, object], **environ: str) -> None:
        """As an administrator would in daemon.json, and in its unit's environment; the engine starts again with both."""
        self.must("mkdir", "-p", "/etc/docker")
        self.must("sh", "-c", "cat >/etc/docker/daemon.json", stdin=json.dumps(settings).encode())
        lines = "".join(f"{key}='{value}'\n" for key, value in environ.items())
        self.must("sh", "-c", "cat >/etc/default/docker", stdin=lines.encode())
        self.restart_engine()

    def containers(self) -> dict[str, str]:
        """Name to state of every container, stopped ones too."""
        with self.client() as client:
            return {
                str(container.name): container.status
                for container in client.containers.list(all=True, ignore_removed=True)
            }


@contextlib.contextmanager
def running(engine: Engine | None = None) -> Iterator[DockerHost]:
    """A host with an engine that answers, and no container or image yet. The `engine` is what FLAGEE_TEST_ENGINE says, else
    Debian's."""
    newer = (engine or os.environ.get("FLAGEE_TEST_ENGINE", "debian")) == "newer"
    need_root("a host with Docker")
    need_program("dockerd", "docker.io")
    need_program("docker", "docker.io")
    need_program("nsenter", "util-linux")
    programs = newer_engine.programs() if newer else ""
    with workdir("docker") as folder:
        bridge = f"fm{os.getpid() % 100000}"
        (folder / f"{bridge}.link").touch()
        number = os.getpid() % 200 + 20
        process.run(["ip", "link", "add", bridge, "type", "bridge"])
        process.run(["ip", "address", "add", f"10.78.{number}.1/24", "dev", bridge])
        process.run(["ip", "link", "set", bridge, "up"])
        url = f"unix://{folder}/run/docker.sock"
        with process.running(
            ["unshare", "--mount", "--propagation", "private", "--", "/bin/sh", _BOOT, folder, bridge, programs],
            name="dockerd",
            folder=folder,
            ready=lambda: _answers(url),
            within=180,
        ) as child:
            host = DockerHost(folder, url, child)
            try:
                yield host
            finally:
                _empty(host)
        process.run(["ip", "link", "delete", bridge])


def _answers(url: str) -> bool:
    """Asked without the engine's client, which leaves sockets open when it gets no answer."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(url.removeprefix("unix://"))
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(64)
    return False


def _empty(host: DockerHost) -> None:
    """Nothing may go on when the engine is gone."""
    with contextlib.suppress(Exception), host.client() as client:
        for container in client.containers.list(all=True, ignore_removed=True):
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True)
