"""One runtime on one host, with everything that one call of deploy works with. Made by runtime.deploy, or by a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.image_reference import parse_reference
from contracts.text import joined, say
from runtime.deployment.engine import Container, Engine, EngineFacts, Image
from runtime.deployment.environment import DeploySettings
from runtime.deployment.names import HostOs, Names
from runtime.deployment.records import RecordFile, Records
from runtime.deployment.results import DeployError
from runtime.deployment.specification import Sources, Specification, runtime_spec
from runtime.deployment.web_proxies import Decided, decide

# For runs at work. The timer calls again in five minutes: a repair never keeps new runs from starting for long.
WAIT_S, REPAIR_WAIT_S = 600.0, 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """Seconds. ``soak``: for which a new container must stay healthy before the previous one is removed; ``proof``: for which an
    image must have run to be trusted. ``force``: do not wait for runs, and update although pinned. ``trial``: try an image that
    was never healthy here as a candidate first."""

    wait: float = WAIT_S
    health_timeout: float = 120.0
    soak: float = 10.0
    proof: float = 600.0
    force: bool = False
    trial: bool = True


@dataclass(frozen=True, slots=True)
class Folders:
    """Where this process sees the host's folders, and the image's own. ``timer``: systemd's units or cron's files, for the
    verbs that write them."""

    etc: Path
    data: Path
    bin: Path
    image: Path
    timer: Path | None = None


class Clock(Protocol):
    """The time of day, the host's uptime, and a pause."""

    def now(self) -> dt.datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


# A step, as a word for programs and tests, and a sentence for a person.
Notify = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """``notify``: tells the progress. ``defer_signals``: from then on a signal no longer stops the call, see interruptions."""

    settings: DeploySettings
    engine: Engine
    facts: EngineFacts
    record_file: RecordFile
    folders: Folders
    sources: Sources
    options: Options
    clock: Clock
    notify: Notify
    defer_signals: Callable[[], None]
    system: HostOs = "linux"

    @property
    def names(self) -> Names:
        return self.settings.names

    @property
    def records(self) -> Records:
        return self.record_file.records

    @property
    def web_proxies(self) -> Decided:
        """The HTTP proxy of this host's containers."""
        return decide(self.settings.web_proxies, self.facts)

    def now(self) -> dt.datetime:
        return self.clock.now().replace(microsecond=0)

    def runtime(self) -> Container | None:
        """The runtime container. Raises DeployError when another container has its name."""
        return self.own_container(self.names.runtime)

    def own_container(self, name: str) -> Container | None:
        """A container of this runtime. Raises DeployError for one that deploy did not create: it must not be touched."""
        found = self.engine.container(name)
        if found is not None and not found.belongs_to(self.names.runtime):
            raise DeployError(
                "failed",
                say("a container {name} exists that FlageeMonitor did not make", name=name),
                say(
                    "inspect it (`docker inspect {name}`), then rename or remove it, or choose another runtime name",
                    name=name,
                ),
            )
        return found

    def reference(self) -> str:
        """What the runtime is created from: the pinned reference if there is one, else the tag of the environment file."""
        pin = self.records.pinned
        return pin.reference if pin else str(self.settings.image)

    def runtime_spec(self, reference: str = "") -> Specification:
        return runtime_spec(self.settings, self.facts, self.sources, reference or self.reference())

    def image(self, reference: str) -> Image:
        """The image of this reference on this host; pulled when the host does not have it. Raises DeployError."""
        return self.engine.image(reference) or self.pull(reference)

    def earlier_image(self, reference: str, image_id: str) -> tuple[Image, str]:
        """A recorded image, and a reference that names it on this host: the recorded one, else its id. Raises DeployError.

        ``reference``: repository@digest or an id. An engine may have the image and yet have forgotten its digest.
        """
        try:
            return self.image(reference), reference
        except DeployError:
            found = self.engine.image(image_id)
            if found is None:
                raise
            return found, found.id

    def pull(self, reference: str) -> Image:
        """Raises DeployError (image_unavailable)."""
        if reference.startswith("sha256:"):
            raise DeployError(
                "image_unavailable",
                say(
                    "image {reference} is no longer on this host, and no registry ever had it", reference=reference[:19]
                ),
                say("load it again (`docker load`), or put a newer image under the tag and update"),
            )
        try:
            parsed = parse_reference(reference)
        except ValueError as error:
            raise DeployError("image_unavailable", str(error), say("see deploy.json")) from error
        self.notify("pulling", say("pulling {reference}", reference=reference))
        try:
            return self.engine.pull(parsed)
        except DeployError as error:
            notes = self.web_proxies.notes  # the engine may lack the HTTP proxy that our containers have
            raise DeployError(error.reason, error.message, joined((error.advice, *notes), "; ")) from error
