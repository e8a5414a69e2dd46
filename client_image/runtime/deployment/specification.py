"""What each of our containers must be, as the body of the engine's create call. Pure.

This is the only description of the containers; `drift` has what differs from it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.stop_times import CONTAINER_STOP_S
from runtime.deployment.engine import EngineFacts
from runtime.deployment.environment import DeploySettings
from runtime.deployment.names import CONFIG, DATA, LABEL_ROLE, LABEL_RUNTIME, LABEL_SPEC, SOCKET, UID
from runtime.deployment.web_proxies import decide

WATCHTOWER_STOP_S = 240  # lets it finish an update that it has begun: the stop of our container and what follows
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
    """``body`` contains the token if the environment file does: it is never shown."""

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
        # A Watchtower of somebody else's must not update a runtime that has none of its own.
        f"{LABEL_WATCHTOWER}.enable": "true" if settings.auto_update else "false",
        f"{LABEL_WATCHTOWER}.lifecycle.pre-check": f"{_SCRIPTS}/watchtower-pre-check.sh",
        f"{LABEL_WATCHTOWER}.lifecycle.pre-update": f"{_SCRIPTS}/watchtower-pre-update.sh",
    }
    mounts = _mounted(facts, _mount(sources.config, CONFIG), _mount(sources.data, DATA))
    return _proxy(settings, facts, runtime, "runtime", image, mounts, labels)


def candidate_spec(settings: DeploySettings, facts: EngineFacts, sources: Sources, image: str) -> Specification:
    """The runtime without effect: no schedule, a copy of the state, no labels that Watchtower acts on."""
    name = settings.names.candidate
    mounts = _mounted(facts, _mount(sources.config, CONFIG, read_only=True), _mount(name, DATA))
    return _proxy(settings, facts, name, "candidate", image, mounts, {})


def enrolment_spec(settings: DeploySettings, facts: EngineFacts, sources: Sources, image: str) -> Specification:
    """`runtime.enrol` as the runtime will run: same user, network, mounts and environment. It has the candidate's name, so that
    one that was left behind is discarded as a candidate is."""
    mounts = _mounted(facts, _mount(sources.config, CONFIG), _mount(sources.data, DATA))
    spec = _proxy(settings, facts, settings.names.candidate, "enrolment", image, mounts, {})
    program = {"Entrypoint": ["python", "-m", "runtime.enrol"], "Cmd": [], "Healthcheck": {"Test": ["NONE"]}}
    return replace(spec, body={**spec.body, **program})


def watchtower_spec(settings: DeploySettings, facts: EngineFacts, sources: Sources) -> Specification:
    """Updates this runtime only, not another one and not itself: deploy sets Watchtower's own image."""
    runtime = settings.names.runtime
    environment = {
        "WATCHTOWER_SCOPE": runtime,
        "WATCHTOWER_LABEL_ENABLE": "true",
        "WATCHTOWER_CLEANUP": "true",
        "WATCHTOWER_LIFECYCLE_HOOKS": "true",
        "WATCHTOWER_INCLUDE_RESTARTING": "true",  # a release in a crash loop must still get its fix
        "WATCHTOWER_POLL_INTERVAL": str(settings.interval),
        "WATCHTOWER_TIMEOUT": "180s",
        "WATCHTOWER_NO_STARTUP_MESSAGE": "true",
        "DOCKER_API_VERSION": nearest_api(WATCHTOWER_API, facts),
        # To ask for a digest; the engine pulls by its own settings.
        **decide(settings.web_proxies, facts).environment(),
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
        **_confined(facts, memory=256 * _MIB, pids=256, label=not facts.selinux),
        "CapAdd": ["DAC_OVERRIDE"],  # the socket of a rootless engine is not root's
        "Mounts": mounts,
        "NetworkMode": settings.docker_network,
        "RestartPolicy": {"Name": "unless-stopped"},
    }
    image = str(settings.watchtower_image)
    return _with_hash(
        settings.names.watchtower, "watchtower", runtime, image, environment, labels, host, WATCHTOWER_STOP_S, ""
    )


def nearest_api(wanted: tuple[int, int], facts: EngineFacts) -> str:
    """The API version nearest to ``wanted`` that the engine accepts."""
    least, most = _api_version(facts.api_min), _api_version(facts.api)
    if most is not None:
        wanted = min(wanted, most)
    if least is not None:
        wanted = max(wanted, least)
    return f"{wanted[0]}.{wanted[1]}"


def _api_version(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2])) if found else None


def _proxy(
    settings: DeploySettings,
    facts: EngineFacts,
    name: str,
    role: str,
    image: str,
    mounts: Mapping[str, Any],
    labels: Mapping[str, str],
) -> Specification:
    is_runtime = role == "runtime"
    proxies = decide(settings.web_proxies, facts).environment()
    environment = {**settings.environment, **proxies, "RUN_MODE": "daemon" if is_runtime else "candidate"}
    if settings.token:
        environment["FLAGEEMONITOR_TOKEN"] = settings.token.reveal()
    host = {
        **_confined(facts, memory=1024 * _MIB, pids=512),
        "CapAdd": [],
        **mounts,
        "NetworkMode": settings.docker_network,
        "RestartPolicy": {"Name": "unless-stopped" if is_runtime else "no"},
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,mode=1777,size=128m"},  # noqa: S108
    }
    user = f"{UID}:{UID}"
    return _with_hash(name, role, settings.names.runtime, image, environment, labels, host, CONTAINER_STOP_S, user)


def _confined(facts: EngineFacts, *, memory: int, pids: int, label: bool = True) -> dict[str, Any]:
    """Without limits that the kernel cannot enforce: the engine would drop them, and every repair would see drift.

    ``label``: whether SELinux confines it too. Its policy keeps containers from the engine's socket, and a socket that all of the
    host uses must not be relabelled.
    """
    return {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", *([] if label else ["label=disable"])],
        "LogConfig": {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}},
        **({"Memory": memory} if facts.memory_limit else {}),
        **({"PidsLimit": pids} if facts.pids_limit else {}),
    }


def _with_hash(
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
    """A mount of a folder fails when the folder does not exist; with `Binds` the engine would create one that belongs to root."""
    folder = source.startswith("/") or re.match(r"[A-Za-z]:[\\/]", source)
    return {"Type": "bind" if folder else "volume", "Source": source, "Target": target, "ReadOnly": read_only}


def _mounted(facts: EngineFacts, *mounts: dict[str, Any]) -> dict[str, Any]:
    """Under SELinux a folder is relabelled so that containers may use it, shared (`z`), because runtime and candidate both do.
    Only a bind of the older form can say that; deploy makes the folders beforehand. The engine labels volumes by itself."""
    if not facts.selinux:
        return {"Mounts": list(mounts)}
    folders = [one for one in mounts if one["Type"] == "bind"]
    binds = [f"{one['Source']}:{one['Target']}:{'ro,z' if one['ReadOnly'] else 'z'}" for one in folders]
    return {"Mounts": [one for one in mounts if one not in folders], **({"Binds": binds} if binds else {})}
