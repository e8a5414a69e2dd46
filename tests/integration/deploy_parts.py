"""A host on which `deploy` works for real: an engine, folders, and small images in which a shell script plays the runtime.

Called by the tests of deploy. Candidate, health check, stop and crash are the engine's own; only the program inside is small.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from tests.harness.docker_host import DockerHost
from tests.harness.need import need_program

REPOSITORY = "flagee-test/proxy"
TAG = f"{REPOSITORY}:stable"
NAME = "wtd-one"

ENTRY = """\
#!/bin/busybox sh
kind=$(cat /kind)
echo "runtime $kind in mode $RUN_MODE"
trap 'echo stopping; exit 0' TERM
case $kind/$RUN_MODE in
    (crash/* | late-crash/daemon) echo "cannot go on"; exit 3 ;;
esac
case $RUN_MODE/$(cat /flageemonitor/data/door 2>/dev/null) in
    (candidate/* | */*deploy) ;;
    (*) rm -f /flageemonitor/data/door ;;
esac
id -u >/flageemonitor/data/uid
while :; do sleep 1 & wait $!; done
"""

HEALTH = """\
#!/bin/busybox sh
[ "$*" = "-m runtime.container.health" ] || exit 9
case $(cat /kind)/$RUN_MODE in
    (unhealthy/* | late/daemon) echo '{"status": "failed", "problems": ["nothing beats here"]}'; exit 1 ;;
esac
touch /flageemonitor/data/touched
"""

HOOK = """\
#!/bin/busybox sh
touch /flageemonitor/data/hooked
"""

# Runs deploy in a process of its own, which gets a signal at a given step.
DRIVER = """\
import os, signal, sys
from pathlib import Path
from runtime.deployment import calls
from runtime.deployment.deployment import Folders, Options
from runtime.deployment.specification import Sources

verb, runtime, host, engine, socket, step, number = sys.argv[1:]
host = Path(host)

def notify(reached, text):
    if reached == step:
        os.kill(os.getpid(), getattr(signal, number))

place = calls.Place(
    runtime,
    Folders(host / "etc", host / "data", host / "bin", host / "image"),
    Sources(str(host / "etc/config"), str(host / "data"), socket),
    engine, Options(wait=2, health_timeout=60, soak=1), notify,
)
result, report = calls.deploy(place, verb)
print(result.reason)
sys.exit(result.exit_code)
"""


@dataclass(frozen=True, slots=True)
class Deployed:
    """How a call of deploy ended: its exit code, the JSON answer, and all its output."""

    code: int
    answer: dict[str, Any]
    output: str

    @property
    def reason(self) -> str:
        return str(self.answer.get("reason"))


@dataclass(frozen=True, slots=True)
class TestHost:
    """One runtime's folders below `host`, and an engine. Nothing of it is shared with another test."""

    __test__ = False

    client: docker.DockerClient
    url: str
    socket: str
    host: Path
    watchtower: str

    def deploy(self, verb: str, *arguments: str, health: int = 60, wait: int = 2) -> Deployed:
        """`python -m runtime.deploy VERB …` as in the one-shot container."""
        argv = self.argv(verb, *arguments, health=health, wait=wait)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
        answer = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        return Deployed(done.returncode, answer, done.stdout + done.stderr)

    def argv(self, verb: str, *arguments: str, health: int = 60, wait: int = 2) -> list[str]:
        """Its command line; the form of the answer comes last."""
        host = self.host
        words = [
            *(sys.executable, "-m", "runtime.deploy", verb, "--runtime-name", NAME),
            *("--host", host, "--engine", self.url, "--socket", self.socket, "--image-root", host / "image"),
            *("--config-source", host / "etc/config", "--data-source", host / "data"),
            *("--health-timeout", health, "--wait", wait, "--soak", 1, *arguments, "--output", "json"),
        ]
        return [str(word) for word in words]

    def interrupted(self, verb: str, step: str, number: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
        """The same, but the process gets a signal when it reaches `step`."""
        words = [verb, NAME, self.host, self.url, self.socket, step, number]
        return subprocess.run(
            [sys.executable, "-c", DRIVER, *map(str, words)], capture_output=True, text=True, check=False, timeout=240
        )

    def write_env(self, **more: str) -> None:
        values = {
            "FLAGEEMONITOR_IMAGE": TAG,
            "FLAGEEMONITOR_WATCHTOWER_IMAGE": self.watchtower,
            "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "3600",
            "FLAGEEMONITOR_REDE": "acme",
            **more,
        }
        (self.host / "etc/flageemonitor.env").write_text("".join(f"{key}={value}\n" for key, value in values.items()))

    def image(self, kind: str, version: str, tag: str = TAG, *, check: bool = True, first_release: bool = False) -> str:
        """Make an image in which the runtime is of this kind, under the tag: its id."""
        return make_image(self.client, kind, version, tag, check=check, first_release=first_release)

    def container(self, suffix: str = "") -> Mapping[str, Any] | None:
        try:
            return dict(self.client.api.inspect_container(NAME + suffix))
        except docker.errors.NotFound:
            return None

    def state(self) -> dict[str, str]:
        """Our containers by name without the runtime's own, with their state."""
        found = self.client.api.containers(all=True, filters={"name": NAME})
        return {one["Names"][0].removeprefix(f"/{NAME}"): one["State"] for one in found}

    def runs(self) -> str:
        """Image id of the running runtime."""
        found = self.container()
        assert found is not None
        assert found["State"]["Status"] == "running"
        return str(found["Image"])

    def records(self) -> dict[str, Any]:
        return dict(json.loads((self.host / "etc/deploy.json").read_text()))

    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.host / "data/deployment.json").read_text()))

    def settled(self) -> bool:
        """As every deploy must leave a host: both run, nothing is left over, and runs may start."""
        volumes = self.client.api.volumes(filters={"name": NAME})["Volumes"] or []
        return (
            self.state() == {"": "running", "-watchtower": "running"}
            and not volumes
            and not (self.host / "data/door").exists()
            and self.records()["swap"] is None
        )


@contextlib.contextmanager
def running_host(engine: DockerHost, folder: Path, watchtower: str) -> Iterator[TestHost]:
    """Folders as the installer leaves them, with a real state; containers of ours are removed at the end."""
    for name in ("etc/config", "data/runs", "bin"):
        (folder / name).mkdir(parents=True)
    for name in ("etc/config", "data", "data/runs"):
        os.chown(folder / name, 10001, 10001)
    for shared in ("wrappers", "locale"):
        shutil.copytree(shared, folder / "image" / shared)
    with contextlib.closing(sqlite3.connect(folder / "data/state.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE kept (what TEXT)")
        database.execute("INSERT INTO kept VALUES ('a run')")
        database.commit()
    os.chown(folder / "data/state.db", 10001, 10001)
    with engine.client() as client:
        made = TestHost(client, engine.url, f"{engine.folder}/run/docker.sock", folder, watchtower)
        made.write_env()
        try:
            yield made
        finally:
            for container in client.api.containers(all=True, filters={"name": NAME}):
                client.api.remove_container(container["Id"], force=True, v=True)
            for image in client.images.list(REPOSITORY):
                client.images.remove(str(image.id), force=True)


def make_image(
    client: docker.DockerClient,
    kind: str,
    version: str,
    tag: str = TAG,
    *,
    check: bool = True,
    first_release: bool = False,
) -> str:
    """`check`: with a health check of the engine's, as the real image has. `first_release`: its deploy refuses unknown keys."""
    repository, _, name = tag.rpartition(":")
    health = [
        'HEALTHCHECK --interval=1s --timeout=5s --retries=3 CMD ["/bin/python", "-m", "runtime.container.health"]'
    ] * check
    changes = [
        'ENTRYPOINT ["/entry"]',
        "ENV PATH=/bin",
        "USER 10001:10001",
        f"LABEL org.opencontainers.image.version={version}",
        *([] if first_release else ["LABEL flageemonitor.environment=2"]),
        *health,
    ]
    client.api.import_image_from_data(_root(kind, version), repository=repository, tag=name, changes=changes)
    return str(client.images.get(tag).id)


def _root(kind: str, version: str) -> bytes:
    busybox = Path(need_program("busybox", "busybox"))
    linked = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    libraries = [Path(word) for line in linked.splitlines() for word in line.split() if word.startswith("/")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "tmp", "flageemonitor/config", "flageemonitor/data"):
            _add(archive, folder, None, 0o755, 10001 if "/" in folder else 0)
        _add(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        for library in libraries:
            _add(archive, str(library).lstrip("/"), library.read_bytes(), 0o755)
        for name in ("sh", "cat", "rm", "id", "sleep", "touch", "ls", "test"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        _add(archive, "entry", ENTRY.encode(), 0o755)
        _add(archive, "bin/python", HEALTH.encode(), 0o755)
        for name in ("pre-check", "pre-update"):
            _add(archive, f"flageemonitor/scripts/watchtower-{name}.sh", HOOK.encode(), 0o755)
        _add(archive, "kind", f"{kind}\n".encode(), 0o644)
        _add(archive, "version", f"{version}\n".encode(), 0o644)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes | None, mode: int, owner: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid = mode, owner, owner
    if content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
