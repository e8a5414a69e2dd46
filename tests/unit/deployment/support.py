"""An engine in memory, and hosts on it: for what deploy decides, and for calls that are killed at any step.

The real engine is in tests/integration/test_deploy_engine.py; this one is quick enough to die at every single call.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.image_reference import Reference, parse_reference
from runtime.deployment import verbs
from runtime.deployment.deployment import Deployment, Folders, Options
from runtime.deployment.engine import Container, EngineFacts, Image, Probe
from runtime.deployment.environment import WATCHTOWER_IMAGE, DeploySettings, read_settings
from runtime.deployment.interruptions import StopSignals
from runtime.deployment.records import RecordFile
from runtime.deployment.results import DeployError, Result
from runtime.deployment.specification import Sources

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
RUNTIME = "proxy"
REPOSITORY = "registry.example/proxy"
TAG = f"{REPOSITORY}:stable"
BRIEF = dt.timedelta(seconds=5)
FACTS = EngineFacts("20.10.24", "1.41", "1.12")
SOURCES = Sources("/etc/proxy/config", "/var/lib/proxy")


class Killed(BaseException):
    """The process is gone; nothing after this line of its ran."""


@dataclass
class MemoryClock:
    """Time passes only during a sleep. A test that moves `at` has the clock jump, and not the host's uptime."""

    at: dt.datetime = NOW
    uptime: float = 5000.0

    def now(self) -> dt.datetime:
        return self.at

    def monotonic(self) -> float:
        return self.uptime

    def sleep(self, seconds: float) -> None:
        self.at += dt.timedelta(seconds=seconds)
        self.uptime += seconds


@dataclass
class StoredContainer:
    """A container in memory."""

    id: str
    name: str
    image_id: str
    body: dict[str, Any]
    status: str = "created"
    restarts: int = 0
    started_at: dt.datetime | None = None


@dataclass
class MemoryEngine:
    """`kinds`: image id -> how the runtime in it behaves: good, unhealthy, crash, late (as the runtime only), hung (starting),
    brief (healthy, and ends after some seconds). `unhealthy_ids`, `slow_ids`: containers that the engine calls unhealthy; a slow
    one answers a probe that waits for a minute.

    `die_at`: at which changing call the process is killed, `die_after` whether the engine had done it by then; `refuse`: the
    engine only refuses that one call. `program`: what a container does that runs once, from its body and its stdin.
    """

    clock: MemoryClock
    kinds: dict[str, str] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    registry: dict[str, Image] = field(default_factory=dict)
    containers: dict[str, StoredContainer] = field(default_factory=dict)
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    registry_up: bool = True
    unhealthy_ids: set[str] = field(default_factory=set)
    slow_ids: set[str] = field(default_factory=set)
    calls: int = 0
    die_at: int | None = None
    die_after: bool = False
    refuse: bool = False
    log: list[str] = field(default_factory=list)
    probes: list[tuple[str, ...]] = field(default_factory=list)
    networks: set[str] = field(default_factory=set)
    program: Callable[[Mapping[str, Any], bytes], Probe] = lambda _body, _stdin: Probe(0, "")
    _numbers: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def publish(self, kind: str, version: str, tag: str = TAG, *, first_release: bool = False) -> Image:
        """Put a new image into the registry under the tag. ``first_release``: its deploy refuses keys that it does not know."""
        mark = f"{len(self.registry) + 1:064x}"
        reference = parse_reference(tag)
        image = Image(
            id=f"sha256:{mark[::-1]}",
            digests=(f"{reference.repository}@sha256:{mark}",),
            labels={
                "org.opencontainers.image.version": version,
                **({} if first_release else {"flageemonitor.environment": "2"}),
            },
            config={"Env": ["PATH=/bin"], "Entrypoint": ["/entry"], "User": "10001", "Labels": {"org.x": "y"}},
        )
        self.kinds[image.id] = kind
        self.registry[tag] = self.registry[image.digests[0]] = image
        return image

    def fetch(self, tag: str = TAG) -> None:
        """As the wrapper does before an update."""
        image = self.registry[tag]
        self.images[image.id] = image
        self.tags[tag] = image.id

    # -- the engine's own calls --

    def facts(self) -> EngineFacts:
        return FACTS

    def image(self, reference: str) -> Image | None:
        if reference in self.images:
            return self.images[reference]
        if reference in self.tags:
            return self.images.get(self.tags[reference])
        return next((image for image in self.images.values() if reference in image.digests), None)

    def pull(self, reference: Reference) -> Image:
        self._may_die("pull")
        image = self.registry.get(str(reference))
        if image is None or not self.registry_up:
            raise DeployError("image_unavailable", f"no {reference}")
        self.images[image.id] = image
        if reference.tag:
            self.tags[str(reference)] = image.id
        self._did("pull")
        return image

    def tag(self, image_id: str, reference: Reference) -> None:
        self._may_die("tag")
        self.tags[str(reference)] = image_id
        self._did("tag")

    def remove_image(self, image_id: str) -> bool:
        self._may_die("remove_image")
        used = any(stored.image_id == image_id for stored in self.containers.values())
        if not used:
            self.images.pop(image_id, None)
            self.tags = {name: one for name, one in self.tags.items() if one != image_id}
        self._did("remove_image")
        return not used

    def tag_digest(self, reference: Reference) -> str:
        if not self.registry_up or str(reference) not in self.registry:
            raise DeployError("image_unavailable", "the registry does not answer")
        return self.registry[str(reference)].digests[0].partition("@")[2]

    def container(self, name: str) -> Container | None:
        stored = self._find(name)
        if stored is None:
            return None
        if self._kind(stored) == "brief" and stored.started_at and self.clock.now() - stored.started_at > BRIEF:
            stored.started_at, stored.restarts = self.clock.now(), stored.restarts + 1
        image = self.images.get(stored.image_id)
        inherited: Mapping[str, Any] = image.config if image else {}
        body = copy.deepcopy(stored.body)
        config = {
            "Image": body["Image"],
            "Env": [*body["Env"], *inherited.get("Env", [])],
            "Labels": {**inherited.get("Labels", {}), **body["Labels"]},
            "User": body.get("User", inherited.get("User", "")),
            "StopTimeout": body["StopTimeout"],
            "Entrypoint": inherited.get("Entrypoint"),
            "Healthcheck": inherited.get("Healthcheck"),
            "Hostname": stored.id[:12],
        }
        return Container(
            id=stored.id,
            name=stored.name,
            image_id=stored.image_id,
            status=stored.status,
            health=self._health(stored),
            restarts=stored.restarts,
            started_at=stored.started_at,
            labels=config["Labels"],
            raw={"Config": config, "HostConfig": body["HostConfig"]},
        )

    def list_containers(self) -> tuple[Container, ...]:
        found = (self.container(stored.name) for stored in list(self.containers.values()))
        return tuple(one for one in found if one is not None)

    def has_network(self, name: str) -> bool:
        return name in self.networks

    def stop_for_good(self, name: str, seconds: int) -> None:
        self._known(name).body["HostConfig"]["RestartPolicy"] = {"Name": "no"}
        self.stop(name, seconds)

    def run_once(self, name: str, body: Mapping[str, Any], stdin: bytes, seconds: float) -> Probe:
        made = self.create(name, body)
        try:
            self._may_die("run_once")
            answer = self.program(body, stdin)
            self._did("run_once")
        finally:
            self.containers.pop(made, None)
        return answer

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        self._may_die(f"create {name}")
        if self._find(name):
            raise DeployError("engine_error", f"{name} exists")
        image = self.image(body["Image"])
        if image is None:
            raise DeployError("image_unavailable", f"no {body['Image']}")
        number = f"{next(iter(self._numbers)):064x}"
        self.containers[number] = StoredContainer(number, name, image.id, copy.deepcopy(dict(body)))
        self._did("create")
        return number

    def start(self, name: str) -> None:
        self._may_die(f"start {name}")
        self._start(self._known(name))
        self._did("start")

    def stop(self, name: str, seconds: int) -> None:
        self._may_die(f"stop {name}")
        stored = self._find(name)
        if stored is not None and stored.status in ("running", "restarting"):
            stored.status = "exited"
        self._did("stop")

    def restart(self, name: str, seconds: int) -> None:
        self._may_die(f"restart {name}")
        self._start(self._known(name))
        self._did("restart")

    def rename(self, name: str, to: str) -> None:
        self._may_die(f"rename {to}")
        if self._find(to):
            raise DeployError("engine_error", f"{to} exists")
        self._known(name).name = to
        self._did("rename")

    def remove(self, name: str) -> None:
        self._may_die(f"remove {name}")
        stored = self._find(name)
        if stored is not None:
            del self.containers[stored.id]
        self._did("remove")

    def probe(self, name: str, command: Sequence[str], seconds: float) -> Probe:
        self.probes.append(tuple(command))
        stored = self._find(name)
        return (
            Probe(0, "{}")
            if stored is not None and stored.id in self.slow_ids and seconds >= 60
            else Probe(1, "not yet")
        )

    def logs(self, name: str, lines: int) -> str:
        return f"last words of {name}"

    def make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._may_die("make_volume")
        self.volumes.setdefault(name, dict(labels))
        self._did("make_volume")

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        return self.volumes.get(name)

    def remove_volume(self, name: str) -> None:
        self._may_die("remove_volume")
        self.volumes.pop(name, None)
        self._did("remove_volume")

    def put(self, name: str, path: str, archive: Iterable[bytes]) -> None:
        self._may_die("put")
        assert b"".join(archive)
        self._did("put")

    def reboot(self) -> None:
        """The host was switched off and on: what was stopped by hand stays stopped."""
        for stored in self.containers.values():
            if stored.status in ("running", "restarting"):
                self._start(stored)

    # -- how it works --

    def _start(self, stored: StoredContainer) -> None:
        kind, always = self._kind(stored), stored.body["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        stored.started_at, stored.restarts = self.clock.now(), 0
        stored.status = "running"
        if kind == "crash":
            stored.status, stored.restarts = ("restarting", 3) if always else ("exited", 0)

    def _kind(self, stored: StoredContainer) -> str:
        return self.kinds.get(stored.image_id, "good")

    def _health(self, stored: StoredContainer) -> str:
        kind = self._kind(stored)
        if stored.status != "running" or stored.body["Labels"]["flageemonitor.role"] == "watchtower":
            return ""
        real = "RUN_MODE=daemon" in stored.body["Env"]
        if kind == "hung":
            return "starting"
        bad = kind == "unhealthy" or (kind == "late" and real) or stored.id in self.unhealthy_ids | self.slow_ids
        return "unhealthy" if bad else "healthy"

    def _find(self, name: str) -> StoredContainer | None:
        return next((stored for stored in self.containers.values() if name in (stored.name, stored.id)), None)

    def _known(self, name: str) -> StoredContainer:
        stored = self._find(name)
        if stored is None:
            raise DeployError("engine_error", f"no {name}")
        return stored

    def _may_die(self, what: str) -> None:
        self.calls += 1
        self.log.append(what)
        if self.calls == self.die_at and self.refuse:
            raise DeployError("engine_error", f"the engine refuses: {what}")
        if self.calls == self.die_at and not self.die_after:
            raise Killed

    def _did(self, _what: str) -> None:
        if self.calls == self.die_at and self.die_after:
            raise Killed


@dataclass
class Host:
    """A host of its own folders, on an engine in memory."""

    folder: Path
    engine: MemoryEngine
    steps: list[tuple[str, str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=lambda: Options(wait=5, health_timeout=30))
    facts: EngineFacts = FACTS
    _written: str = ""

    def settings(self) -> DeploySettings:
        """Of the environment file, once a verb was run; before that, of `env`."""
        return read_settings(self.environment_file.read_bytes() if self._written else self._text().encode(), RUNTIME)

    def _text(self) -> str:
        values = {"FLAGEEMONITOR_IMAGE": TAG, "FLAGEEMONITOR_REDE": "acme", **self.env}
        return "".join(f"{key}={value}\n" for key, value in values.items())

    def _write(self) -> None:
        """An operator writes the environment file when a test has changed `env`; deploy may change it too."""
        (self.folder / "etc/config").mkdir(exist_ok=True)  # runtime.deploy prepares it
        text = self._text()
        if text != self._written and (
            self._written or not self.environment_file.exists()
        ):  # else an installation wrote it
            self.environment_file.write_text(text)
        self._written = text

    @property
    def environment_file(self) -> Path:
        return self.folder / "etc/flageemonitor.env"

    def deployment(self) -> Deployment:
        """As a new process makes it: the records are read from the disk."""
        root = self.folder
        return Deployment(
            settings=self.settings(),
            engine=self.engine,
            facts=self.facts,
            record_file=RecordFile(root / "etc"),
            folders=Folders(root / "etc", root / "data", root / "bin", root / "image"),
            sources=SOURCES,
            options=self.options,
            clock=self.engine.clock,
            notify=lambda step, text: self.steps.append((step, text)),
            defer_signals=StopSignals().defer,
        )

    def run(self, verb: str) -> Result:
        self._write()
        return verbs.run(self.deployment(), verb)[0]

    def update(self) -> Result:
        """The wrapper pulls, then applies."""
        self.engine.fetch()
        return self.run("apply")

    def status(self) -> dict[str, str]:
        """Our containers by name without the runtime's own."""
        return {stored.name.removeprefix(RUNTIME): stored.status for stored in self.engine.containers.values()}

    def runs(self) -> str:
        """Version of the image that runs."""
        found = self.engine.container(RUNTIME)
        assert found is not None
        assert found.running
        return self.engine.images[found.image_id].version

    def watchtower_updates(self) -> None:
        """What Watchtower does with a new image: the same container from the tag's image, whatever that is."""
        old = self.engine._known(RUNTIME)
        self.engine.fetch()
        del self.engine.containers[old.id]
        number = f"{next(iter(self.engine._numbers)):064x}"
        new = StoredContainer(number, RUNTIME, self.engine.tags[TAG], old.body)
        self.engine.containers[number] = new
        self.engine._start(new)

    def assert_settled(self) -> None:
        """As every deploy must leave a host."""
        assert self.status() == {"": "running", "-watchtower": "running"}
        assert self.engine.volumes == {}
        assert not (self.folder / "data/door").exists()
        assert not (self.folder / "etc/.candidate-state").exists()
        records = RecordFile(self.folder / "etc").records
        assert (records.pending_update, records.barrier_until) == (None, None)


def make_host(folder: Path) -> Host:
    for name in ("etc", "data/runs", "bin", "image"):
        (folder / name).mkdir(parents=True)
    engine = MemoryEngine(MemoryClock())
    engine.publish("good", "1.7.1", WATCHTOWER_IMAGE)
    engine.publish("good", "1.0")
    return Host(folder, engine)
