"""An engine in memory, and hosts on it: for what deploy decides, and for calls that are killed at any step.

The real engine is in tests/integration/test_deploy_engine.py; this one is quick enough to die at every single call.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.deployment import verbs
from runtime.deployment.deployment import Folders, Options, Site
from runtime.deployment.environment import WATCHTOWER, DeploySettings, read_settings
from runtime.deployment.facts import Container, EngineFacts, Image, Probe
from runtime.deployment.records import Memory
from runtime.deployment.reference import Reference, parse_reference
from runtime.deployment.results import DeployError, Result
from runtime.deployment.shield import Shield
from runtime.deployment.specification import Sources, Specification

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
class Pace:
    """Time passes only while somebody sleeps. A test that moves `at` has the clock jump, and not the host's uptime."""

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
class Box:
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
    """`kinds`: image id -> how the runtime in it behaves: good, unhealthy, crash, late (as the real one only), hung (starting),
    brief (healthy, and ends after some seconds). `ailing`, `slow`: ids of containers that the engine calls unhealthy; one that is
    slow answers a probe that waits for a minute.

    `die_at`: at which changing call the process is killed, `die_after` whether the engine had done it by then; `refuse`: the
    engine only refuses that one call.
    """

    pace: Pace
    kinds: dict[str, str] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    registry: dict[str, Image] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    registry_up: bool = True
    ailing: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    calls: int = 0
    die_at: int | None = None
    die_after: bool = False
    refuse: bool = False
    log: list[str] = field(default_factory=list)
    _numbers: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def publish(self, kind: str, version: str, tag: str = TAG) -> Image:
        """Put a new image into the registry under the tag."""
        mark = f"{len(self.registry) + 1:064x}"
        reference = parse_reference(tag)
        image = Image(
            id=f"sha256:{mark[::-1]}",
            digests=(f"{reference.repository}@sha256:{mark}",),
            labels={"org.opencontainers.image.version": version},
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
        used = any(box.image_id == image_id for box in self.boxes.values())
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
        box = self._find(name)
        if box is None:
            return None
        if self._kind(box) == "brief" and box.started_at and self.pace.now() - box.started_at > BRIEF:
            box.started_at, box.restarts = self.pace.now(), box.restarts + 1
        image = self.images.get(box.image_id)
        inherited: Mapping[str, Any] = image.config if image else {}
        body = copy.deepcopy(box.body)
        config = {
            "Image": body["Image"],
            "Env": [*body["Env"], *inherited.get("Env", [])],
            "Labels": {**inherited.get("Labels", {}), **body["Labels"]},
            "User": body.get("User", inherited.get("User", "")),
            "StopTimeout": body["StopTimeout"],
            "Entrypoint": inherited.get("Entrypoint"),
            "Hostname": box.id[:12],
        }
        return Container(
            id=box.id,
            name=box.name,
            image_id=box.image_id,
            status=box.status,
            health=self._health(box),
            restarts=box.restarts,
            started_at=box.started_at,
            labels=config["Labels"],
            raw={"Config": config, "HostConfig": body["HostConfig"]},
        )

    def create(self, spec: Specification) -> str:
        self._may_die(f"create {spec.name}")
        if self._find(spec.name):
            raise DeployError("engine_error", f"{spec.name} exists")
        image = self.image(spec.image)
        if image is None:
            raise DeployError("image_unavailable", f"no {spec.image}")
        number = f"{next(iter(self._numbers)):064x}"
        self.boxes[number] = Box(number, spec.name, image.id, copy.deepcopy(dict(spec.body)))
        self._did("create")
        return number

    def start(self, name: str) -> None:
        self._may_die(f"start {name}")
        self._start(self._known(name))
        self._did("start")

    def stop(self, name: str, seconds: int) -> None:
        self._may_die(f"stop {name}")
        box = self._find(name)
        if box is not None and box.status in ("running", "restarting"):
            box.status = "exited"
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
        box = self._find(name)
        if box is not None:
            del self.boxes[box.id]
        self._did("remove")

    def probe(self, name: str, command: Sequence[str], seconds: float) -> Probe:
        box = self._find(name)
        return Probe(0, "{}") if box is not None and box.id in self.slow and seconds >= 60 else Probe(1, "not yet")

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
        for box in self.boxes.values():
            if box.status in ("running", "restarting"):
                self._start(box)

    # -- how it works --

    def _start(self, box: Box) -> None:
        kind, always = self._kind(box), box.body["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        box.started_at, box.restarts = self.pace.now(), 0
        box.status = "running"
        if kind == "crash":
            box.status, box.restarts = ("restarting", 3) if always else ("exited", 0)

    def _kind(self, box: Box) -> str:
        return self.kinds.get(box.image_id, "good")

    def _health(self, box: Box) -> str:
        kind = self._kind(box)
        if box.status != "running" or box.body["Labels"]["flageemonitor.role"] == "watchtower":
            return ""
        real = "RUN_MODE=daemon" in box.body["Env"]
        if kind == "hung":
            return "starting"
        bad = kind == "unhealthy" or (kind == "late" and real) or box.id in self.ailing | self.slow
        return "unhealthy" if bad else "healthy"

    def _find(self, name: str) -> Box | None:
        return next((box for box in self.boxes.values() if name in (box.name, box.id)), None)

    def _known(self, name: str) -> Box:
        box = self._find(name)
        if box is None:
            raise DeployError("engine_error", f"no {name}")
        return box

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
    said: list[tuple[str, str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=lambda: Options(wait=5, health_timeout=30))

    def settings(self) -> DeploySettings:
        values = {"FLAGEEMONITOR_IMAGE": TAG, "FLAGEEMONITOR_REDE": "acme", **self.env}
        return read_settings("".join(f"{key}={value}\n" for key, value in values.items()).encode(), RUNTIME)

    def site(self) -> Site:
        """As a new process sees it: what is remembered is read from the disk."""
        root = self.folder
        return Site(
            settings=self.settings(),
            engine=self.engine,
            facts=FACTS,
            memory=Memory(root / "etc"),
            folders=Folders(root / "etc", root / "data", root / "bin", root / "image"),
            sources=SOURCES,
            options=self.options,
            pace=self.engine.pace,
            tell=lambda step, text: self.said.append((step, text)),
            shield=Shield(),
        )

    def run(self, verb: str) -> Result:
        return verbs.run(self.site(), verb)[0]

    def update(self) -> Result:
        """The wrapper pulls, then applies."""
        self.engine.fetch()
        return self.run("apply")

    def status(self) -> dict[str, str]:
        """Our containers by name without the runtime's own."""
        return {box.name.removeprefix(RUNTIME): box.status for box in self.engine.boxes.values()}

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
        del self.engine.boxes[old.id]
        number = f"{next(iter(self.engine._numbers)):064x}"
        new = Box(number, RUNTIME, self.engine.tags[TAG], old.body)
        self.engine.boxes[number] = new
        self.engine._start(new)

    def settled(self) -> None:
        """As every deploy must leave a host."""
        assert self.status() == {"": "running", "-watchtower": "running"}
        assert self.engine.volumes == {}
        assert not (self.folder / "data/door").exists()
        assert not (self.folder / "etc/.candidate-state").exists()
        records = Memory(self.folder / "etc").records
        assert (records.swap, records.door) == (None, None)


def make_host(folder: Path) -> Host:
    for name in ("etc", "data/runs", "bin", "image"):
        (folder / name).mkdir(parents=True)
    engine = MemoryEngine(Pace())
    engine.publish("good", "1.7.1", WATCHTOWER)
    engine.publish("good", "1.0")
    return Host(folder, engine)
