"""What each of our containers must be, as the body of the engine's create call. Pure, and the only description there is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.deployment.environment import DeploySettings
from runtime.deployment.facts import LABEL_ROLE, LABEL_RUNTIME, LABEL_SPEC, EngineFacts
from runtime.deployment.names import CONFIG, DATA, SOCKET, UID

STOP_S = 150  # longer than the grace that the daemon gives its runs
WATCHTOWER_STOP_S = 240  # so that an update that it has begun is finished: our stop, and what comes after it
WATCHTOWER_API = (1, 43)
CREDENTIALS = "/docker-config"
LABEL_WATCHTOWER = "com.centurylinklabs.watchtower"

_MIB = 1024 * 1024
_SCRIPTS = "/flageemonitor/scripts"


@dataclass(frozen=True, slots=True)
class Sources:
    """What is mounted: folders of the host, or names of volumes. ``credentials``: folder of a docker config.json, or empty."""

    config: str
    data: str
    socket: str = SOCKET
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Specification:
    """``body`` holds a token where the environment file does: it is never shown."""

    name: str
    role: str
    body: Mapping[str, Any] = field(repr=False)

    @property
    def image(self) -> str:
        return str(self.body["Image"])

    @property
    def hash(self) -> str:
        return str(self.body["Labels"][LABEL_SPEC])


def runtime_spec(settings: DeploySettings, facts: EngineFacts, sources: Sources, image: str) -> Specification:
    """``image``: the reference that Watchtower will follow (a tag), or one that it leaves alone (a digest, an id)."""
    runtime = settings.names.runtime
    labels = {
        f"{LABEL_WATCHTOWER}.scope": runtime,
        f"{LABEL_WATCHTOWER}.enable": "true",
        f"{LABEL_WATCHTOWER}.lifecycle.pre-check": f"{_SCRIPTS}/watchtower-pre-check.sh",
        f"{LABEL_WATCHTOWER}.lifecycle.pre-update": f"{_SCRIPTS}/watchtower-pre-update.sh",
    }
    mounts = [_mount(sources.config, CONFIG), _mount(sources.data, DATA)]
    return _proxy(settings, facts, runtime, "runtime", image, mounts, labels)


def candidate_spec(settings: DeploySettings, facts: EngineFacts, sources: Sources, image: str) -> Specification:
    """As the runtime, where it can do no harm: no schedule, its own copy of the state, out of Watchtower's sight."""
    name = settings.names.candidate
    mounts = [_mount(sources.config, CONFIG, read_only=True), _mount(name, DATA)]
    return _proxy(settings, facts, name, "candidate", image, mounts, {})


def watchtower_spec(settings: DeploySettings, facts: EngineFacts, sources: Sources) -> Specification:
    """Sees this runtime only, never another's nor itself: its own image moves with deploy."""
    runtime = settings.names.runtime
    environment = {
        "WATCHTOWER_SCOPE": runtime,
        "WATCHTOWER_LABEL_ENABLE": "true",
        "WATCHTOWER_CLEANUP": "true",
        "WATCHTOWER_LIFECYCLE_HOOKS": "true",
        "WATCHTOWER_INCLUDE_RESTARTING": "true",  # a release that crash-loops must be able to get its fix
        "WATCHTOWER_POLL_INTERVAL": str(settings.interval),
        "WATCHTOWER_TIMEOUT": "180s",
        "WATCHTOWER_NO_STARTUP_MESSAGE": "true",
        "DOCKER_API_VERSION": clamp(WATCHTOWER_API, facts),
    }
    if zone := settings.environment.get("TZ"):
        environment["TZ"] = zone
    mounts = [_mount(sources.socket, SOCKET)]
    if sources.credentials:
        mounts.append(_mount(sources.credentials, CREDENTIALS, read_only=True))
        environment["DOCKER_CONFIG"] = CREDENTIALS
    labels = {
        LABEL_WATCHTOWER: "true",
        f"{LABEL_WATCHTOWER}.scope": runtime,
        f"{LABEL_WATCHTOWER}.enable": "false",
    }
    host = {
        **_confined(facts, memory=256 * _MIB, pids=256),
        "CapAdd": ["DAC_OVERRIDE"],  # the socket of a rootless engine is not root's
        "Mounts": mounts,
        "NetworkMode": settings.docker_network,
        "RestartPolicy": {"Name": "unless-stopped"},
    }
    image = str(settings.watchtower_image)
    return _sealed(
        settings.names.watchtower, "watchtower", runtime, image, environment, labels, host, WATCHTOWER_STOP_S, ""
    )


def clamp(wanted: tuple[int, int], facts: EngineFacts) -> str:
    """The version of the API that is nearest to the wanted one among those that the engine accepts."""
    least, most = _version(facts.api_min), _version(facts.api)
    if most is not None:
        wanted = min(wanted, most)
    if least is not None:
        wanted = max(wanted, least)
    return f"{wanted[0]}.{wanted[1]}"


def _version(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2])) if found else None


def _proxy(
    settings: DeploySettings,
    facts: EngineFacts,
    name: str,
    role: str,
    image: str,
    mounts: list[dict[str, Any]],
    labels: Mapping[str, str],
) -> Specification:
    real = role == "runtime"
    environment = {**settings.environment, "RUN_MODE": "daemon" if real else "candidate"}
    if settings.token:
        environment["FLAGEEMONITOR_TOKEN"] = settings.token.reveal()
    host = {
        **_confined(facts, memory=1024 * _MIB, pids=512),
        "CapAdd": [],
        "Mounts": mounts,
        "NetworkMode": settings.docker_network,
        "RestartPolicy": {"Name": "unless-stopped" if real else "no"},
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,mode=1777,size=128m"},  # noqa: S108
    }
    user = f"{UID}:{UID}"
    return _sealed(name, role, settings.names.runtime, image, environment, labels, host, STOP_S, user)


def _confined(facts: EngineFacts, *, memory: int, pids: int) -> dict[str, Any]:
    """Limits that the kernel does not know are left out: the engine would drop them, and that would look like drift for ever."""
    return {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}},
        **({"Memory": memory} if facts.memory_limit else {}),
        **({"PidsLimit": pids} if facts.pids_limit else {}),
    }


def _sealed(
    name: str,
    role: str,
    runtime: str,
    image: str,
    environment: Mapping[str, str],
    labels: Mapping[str, str],
    host: Mapping[str, Any],
    stop: int,
    user: str,
) -> Specification:
    body: dict[str, Any] = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in sorted(environment.items())],
        "Labels": {**labels, LABEL_RUNTIME: runtime, LABEL_ROLE: role},
        "StopTimeout": stop,
        "HostConfig": dict(host),
        **({"User": user} if user else {}),
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    body["Labels"][LABEL_SPEC] = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    return Specification(name, role, body)


def _mount(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    """A folder of the host must exist: unlike a bind by name, the engine then makes none that belongs to root."""
    folder = source.startswith("/") or re.match(r"[A-Za-z]:[\\/]", source)
    return {"Type": "bind" if folder else "volume", "Source": source, "Target": target, "ReadOnly": read_only}
