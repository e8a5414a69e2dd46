"""What the engine tells, as plain data: itself, an image, a container. Read by the pure parts; made by engine alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LABEL_RUNTIME = "flageemonitor.runtime"
LABEL_ROLE = "flageemonitor.role"
LABEL_SPEC = "flageemonitor.spec"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """``api`` and ``api_min``: such as 1.41. The limits say what the kernel can hold a container to."""

    version: str
    api: str
    api_min: str
    memory_limit: bool = True
    pids_limit: bool = True


@dataclass(frozen=True, slots=True)
class Image:
    """``digests``: as the engine lists them, repository@sha256:…. ``config``: defaults that containers inherit."""

    id: str
    digests: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def digest(self, repository: str) -> str:
        """The manifest digest under this repository; empty for an image that no registry has."""
        found = (text.partition("@") for text in self.digests)
        return next((digest for name, _, digest in found if name == repository), "")

    @property
    def version(self) -> str:
        return self.labels.get("org.opencontainers.image.version", "")

    @property
    def revision(self) -> str:
        return self.labels.get("org.opencontainers.image.revision", "")


@dataclass(frozen=True, slots=True)
class Container:
    """``status`` and ``health`` in the engine's words; ``health`` empty without a health check. ``raw``: the whole answer."""

    id: str
    name: str
    image_id: str
    status: str
    health: str = ""
    restarts: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: dt.datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def made_from(self) -> str:
        """The reference that it was made from, as it was given then."""
        config = self.raw.get("Config")
        return str(config.get("Image") or "") if isinstance(config, Mapping) else ""

    def belongs(self, runtime: str) -> bool:
        """Whether we made it, for this runtime."""
        return self.labels.get(LABEL_RUNTIME) == runtime


class Condition(StrEnum):
    """Of the runtime container."""

    HEALTHY = "healthy"
    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    LOOPING = "looping"
    STOPPED = "stopped"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Probe:
    """``code`` is None when the command could not be run or did not end in time."""

    code: int | None
    text: str = ""
