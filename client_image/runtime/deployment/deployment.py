"""Everything that one call of deploy works with, in one place. Made by runtime.deploy, or by a test."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from runtime.deployment.engine import Engine, Pace, Tell
from runtime.deployment.environment import DeploySettings
from runtime.deployment.facts import Container, EngineFacts, Image
from runtime.deployment.names import HostOs, Names
from runtime.deployment.records import Memory
from runtime.deployment.reference import Reference
from runtime.deployment.results import DeployError
from runtime.deployment.shield import Shield
from runtime.deployment.specification import Sources, Specification, runtime_spec

HEALTH_COMMAND = ("python", "-m", "runtime.health")
# For runs at work. The timer comes again in five minutes: a repair never keeps the door closed for long.
WAIT_S, REPAIR_WAIT_S = 600.0, 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """Seconds. ``soak``: that a new container must stay healthy before the previous one goes; ``proof``: that an image must have
    been up for to be trusted. ``force``: do not wait for runs, and update although pinned."""

    wait: float = WAIT_S
    health_timeout: float = 120.0
    soak: float = 10.0
    proof: float = 600.0
    force: bool = False


@dataclass(frozen=True, slots=True)
class Folders:
    """Where this process sees the host's folders, and the image's own."""

    etc: Path
    data: Path
    bin: Path
    image: Path


@dataclass(frozen=True, slots=True)
class Site:
    """One runtime on one host."""

    settings: DeploySettings
    engine: Engine
    facts: EngineFacts
    memory: Memory
    folders: Folders
    sources: Sources
    options: Options
    pace: Pace
    tell: Tell
    shield: Shield
    system: HostOs = "linux"

    @property
    def names(self) -> Names:
        return self.settings.names

    def now(self) -> dt.datetime:
        return self.pace.now().replace(microsecond=0)

    def runtime(self) -> Container | None:
        """Our runtime container. Raises DeployError when another one has its name."""
        return self.ours(self.names.runtime)

    def ours(self, name: str) -> Container | None:
        """A container of this runtime. Raises DeployError for one that we did not make: it is not ours to touch."""
        found = self.engine.container(name)
        if found is not None and not found.belongs(self.names.runtime):
            raise DeployError(
                "failed",
                f"a container {name} exists that FlageeMonitor did not make",
                f"look at it (`docker inspect {name}`), then rename or remove it, or choose another runtime name",
            )
        return found

    def followed(self) -> str:
        """The reference that the runtime is to be made from: the pin while there is one, else the tag."""
        pin = self.memory.records.pinned
        return pin.reference if pin else str(self.settings.image)

    def spec(self, reference: str = "") -> Specification:
        return runtime_spec(self.settings, self.facts, self.sources, reference or self.followed())

    def have(self, reference: str) -> Image:
        """The image that the reference stands for here; pulled when it was cleaned away. Raises DeployError."""
        return self.engine.image(reference) or self.pull(reference)

    def obtain(self, reference: str, image_id: str) -> tuple[Image, str]:
        """An image of the history, and what surely stands for it on this host: its reference, else its id. Raises DeployError.

        ``reference``: repository@digest or an id. An engine may have the image and yet not know it by its digest.
        """
        try:
            return self.have(reference), reference
        except DeployError:
            there = self.engine.image(image_id)
            if there is None:
                raise
            return there, there.id

    def pull(self, reference: str) -> Image:
        """Raises DeployError (image_unavailable)."""
        if reference.startswith("sha256:"):
            raise DeployError(
                "image_unavailable",
                f"image {reference[:19]} is gone from this host, and no registry ever had it",
                "load it again (`docker load`), or put a newer image under the tag and update",
            )
        wanted = _parsed(reference)
        self.tell("pulling", f"pulling {reference}")
        return self.engine.pull(wanted)


def _parsed(reference: str) -> Reference:
    from runtime.deployment.reference import parse_reference

    try:
        return parse_reference(reference)
    except ValueError as error:
        raise DeployError("image_unavailable", str(error), "see deploy.json") from error
