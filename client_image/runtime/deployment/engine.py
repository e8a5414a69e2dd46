"""What the verbs need from outside: the engine, time, and somebody to tell. Adapters implement it; tests bring small ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from runtime.deployment.facts import Container, EngineFacts, Image, Probe
from runtime.deployment.reference import Reference
from runtime.deployment.specification import Specification


class Engine(Protocol):
    """Every method raises DeployError (engine_error) when the engine refuses or does not answer.

    Containers are named by name or id. What is to be removed or stopped may be gone already: that is no error.
    """

    def facts(self) -> EngineFacts: ...

    def image(self, reference: str) -> Image | None:
        """By name, digest or id; None when the engine does not have it."""
        ...

    def pull(self, reference: Reference) -> Image:
        """Raises DeployError (image_unavailable)."""
        ...

    def tag(self, image_id: str, reference: Reference) -> None:
        """Make the name stand for this image on this host."""
        ...

    def remove_image(self, image_id: str) -> bool:
        """Never by force: one that is in use, or has several names, stays."""
        ...

    def tag_digest(self, reference: Reference) -> str:
        """What the name points to in the registry, asked there. Raises DeployError (image_unavailable)."""
        ...

    def container(self, name: str) -> Container | None: ...

    def create(self, spec: Specification) -> str:
        """The new container's id."""
        ...

    def start(self, name: str) -> None: ...

    def stop(self, name: str, seconds: int) -> None: ...

    def restart(self, name: str, seconds: int) -> None: ...

    def rename(self, name: str, to: str) -> None: ...

    def remove(self, name: str) -> None:
        """By force, with its anonymous volumes."""
        ...

    def probe(self, name: str, command: Sequence[str], seconds: float) -> Probe:
        """Run a command in the running container. Never raises."""
        ...

    def logs(self, name: str, lines: int) -> str:
        """The last lines; empty when there are none to be had. Never raises."""
        ...

    def make_volume(self, name: str, labels: Mapping[str, str]) -> None: ...

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        """None when there is no such volume."""
        ...

    def remove_volume(self, name: str) -> None: ...

    def put(self, name: str, path: str, archive: Iterable[bytes]) -> None:
        """Unpack a tar stream in the container, which need not run."""
        ...


class Pace(Protocol):
    """Two clocks and a pause."""

    def now(self) -> dt.datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Tell(Protocol):
    def __call__(self, step: str, text: str) -> None:
        """Progress: ``step`` is a word for programs and tests, ``text`` a line for a person."""
        ...
