"""What deploy needs of a Docker engine, and what the engine answers, as plain data. Pure; docker_engine implements it.

Tests bring an engine in memory (tests/unit/deployment/support.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from contracts.image_reference import Reference
from runtime.deployment.names import LABEL_RUNTIME


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """``api`` and ``api_min``: versions of the API such as 1.41. The limits tell whether the kernel can enforce them.

    ``https_proxy``, ``http_proxy``, ``no_proxy``: of the engine's own configuration, through which it pulls; it hides logins.
    ``selinux``: whether it confines containers by SELinux.
    """

    version: str
    api: str
    api_min: str
    memory_limit: bool = True
    pids_limit: bool = True
    https_proxy: str = ""
    http_proxy: str = ""
    no_proxy: str = ""
    selinux: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """``digests``: as the engine lists them, repository@sha256:…. ``config``: defaults that containers inherit.

    ``manifest``: the digest of its manifest where the engine keeps images by it (containerd's image store). It is the id then,
    and no longer among ``digests`` once the tag names another image. Empty on other engines.
    """

    id: str
    digests: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    manifest: str = ""

    def digest(self, repository: str) -> str:
        """The manifest digest under this repository; empty for an image that no registry has, as far as the engine knows."""
        found = (text.partition("@") for text in self.digests)
        return next((digest for name, _, digest in found if name == repository), self.manifest)

    @property
    def manifest_digests(self) -> tuple[str, ...]:
        """The digests alone; an image that was pulled by several names may have several."""
        listed = (text.partition("@")[2] for text in self.digests)
        return tuple(dict.fromkeys(filter(None, (*listed, self.manifest))))

    @property
    def version(self) -> str:
        return self.labels.get("org.opencontainers.image.version", "")

    @property
    def revision(self) -> str:
        return self.labels.get("org.opencontainers.image.revision", "")

    @property
    def release(self) -> str:
        """Version and short revision for a person, such as ``1.2.0 (0123456789ab)``; empty for an image without labels."""
        return release(self.version, self.revision)


def release(version: str, revision: str) -> str:
    """Version and short revision for a person; empty when neither is known."""
    return " ".join(filter(None, (version, revision[:12] and f"({revision[:12]})")))


@dataclass(frozen=True, slots=True)
class Container:
    """``status`` and ``health`` in the engine's words; ``health`` is empty without a health check. ``raw``: the whole answer."""

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
        """The reference that was given when it was created."""
        config = self.raw.get("Config")
        return str(config.get("Image") or "") if isinstance(config, Mapping) else ""

    @property
    def health_check(self) -> tuple[str, ...]:
        """The command of its own health check; empty without one, or when it is a line for a shell."""
        config = self.raw.get("Config")
        check = config.get("Healthcheck") if isinstance(config, Mapping) else None
        test = check.get("Test") if isinstance(check, Mapping) else None
        words = [str(word) for word in test] if isinstance(test, list | tuple) else []
        return tuple(words[1:]) if words[:1] == ["CMD"] else ()

    def belongs_to(self, runtime: str) -> bool:
        """Whether deploy created it for this runtime."""
        return self.labels.get(LABEL_RUNTIME) == runtime


@dataclass(frozen=True, slots=True)
class Probe:
    """``code`` is None when the command could not be run or did not end in time."""

    code: int | None
    text: str = ""


class Engine(Protocol):
    """Every method raises DeployError (engine_error) when the engine refuses or does not answer.

    Containers are given by name or id. Stopping or removing what is already gone is no error.
    """

    def facts(self) -> EngineFacts: ...

    def image(self, reference: str) -> Image | None:
        """By name, digest or id; None when the engine does not have it."""
        ...

    def pull(self, reference: Reference) -> Image:
        """Raises DeployError (image_unavailable)."""
        ...

    def tag(self, image_id: str, reference: Reference) -> None:
        """Point the name to this image on this host."""
        ...

    def remove_image(self, image_id: str) -> bool:
        """Whether it is gone now. Never by force: an image that is in use or has several names stays."""
        ...

    def tag_digest(self, reference: Reference) -> str:
        """The digest that the registry has for the tag now. Raises DeployError (image_unavailable)."""
        ...

    def container(self, name: str) -> Container | None: ...

    def list_containers(self) -> tuple[Container, ...]:
        """All of them, other people's and stopped ones too."""
        ...

    def has_network(self, name: str) -> bool: ...

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """The new container's id. ``body``: of the engine's create call, see specification."""
        ...

    def start(self, name: str) -> None: ...

    def stop(self, name: str, seconds: int) -> None: ...

    def restart(self, name: str, seconds: int) -> None: ...

    def stop_for_good(self, name: str, seconds: int) -> None:
        """Stop it, and keep it from being started again with the engine."""
        ...

    def run_once(self, name: str, body: Mapping[str, Any], stdin: bytes, seconds: float) -> Probe:
        """Create, feed, wait for, and remove a container: its exit code and its stdout. ``code`` is None when it did not end
        in time; it is removed then too. ``stdin`` may hold secrets: it is in no file and no argument."""
        ...

    def rename(self, name: str, to: str) -> None: ...

    def remove(self, name: str) -> None:
        """By force, with its anonymous volumes."""
        ...

    def probe(self, name: str, command: Sequence[str], seconds: float) -> Probe:
        """Run a command in the running container. Never raises."""
        ...

    def logs(self, name: str, lines: int) -> str:
        """The last lines; empty when the engine has none. Never raises."""
        ...

    def make_volume(self, name: str, labels: Mapping[str, str]) -> None: ...

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        """None when there is no such volume."""
        ...

    def remove_volume(self, name: str) -> None: ...

    def put(self, name: str, path: str, archive: Iterable[bytes]) -> None:
        """Unpack a tar stream in the container, running or not."""
        ...
