"""What each of our containers must be, as the body of the engine's create call, and what differs from it. Pure.

This is the only description of the containers. Drift compares what runs, not only the label, because somebody may have used
`docker update` or created the container by hand. Compared is what the specification sets, and what would give the container more
than it needs. No drift: what the engine adds to every container (log options, limits and more of its own settings, which may
change at any time), what the image brings, and what Watchtower changes when it creates the container again (hostname, image).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.stop_times import CONTAINER_STOP_S
from contracts.text import say
from contracts.visible import quoted
from runtime.deployment.engine import Container, EngineFacts, Image
from runtime.deployment.environment import DeploySettings
from runtime.deployment.environment_lines import LEGACY_PREFIX, PLAIN_KEYS, PREFIX
from runtime.deployment.names import CONFIG, DATA, LABEL_ROLE, LABEL_RUNTIME, LABEL_SPEC, SOCKET, UID
from runtime.deployment.web_proxies import VARIABLES, decide

WATCHTOWER_STOP_S = 240  # lets it finish an update that it has begun: the stop of our container and what follows
WATCHTOWER_API = (1, 43)
CREDENTIALS = "/docker-config"
LABEL_WATCHTOWER = "com.centurylinklabs.watchtower"

_MIB = 1024 * 1024
_SCRIPTS = "/flageemonitor/scripts"

# Somebody may have created a container by hand with a login in the address of an HTTP proxy.
_SECRET_KEYS = ("FLAGEEMONITOR_TOKEN", "ARIUSMONITOR_TOKEN", *VARIABLES[:2])
_OUR_PREFIXES = (PREFIX, LEGACY_PREFIX, "WATCHTOWER_")
_OUR_KEYS = (*PLAIN_KEYS, *VARIABLES, "DOCKER_API_VERSION", "DOCKER_CONFIG")
_OUR_LABELS = ("flageemonitor.", LABEL_WATCHTOWER)


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


def drift(spec: Specification, container: Container, image: Image | None, *, image_id: str = "") -> tuple[str, ...]:
    """Each difference in words for an operator; empty when all is as specified.

    ``image``: the one that the container runs, if the engine still has it. ``image_id``: the one that it must run; empty for any.
    """
    config, host = _mapping(container.raw.get("Config")), _mapping(container.raw.get("HostConfig"))
    # Without its image nobody knows what the container inherited, and an image that was removed is no reason to stop it.
    inherited: Mapping[str, Any] = image.config if image else config
    found = [
        *_image_drift(spec, container, config, image_id),
        *_environment_drift(spec.body["Env"], config.get("Env"), inherited.get("Env")),
        *_label_drift(spec.body["Labels"], config.get("Labels"), inherited.get("Labels")),
        *_process_drift(spec, config, inherited),
        *_host_drift(spec.body["HostConfig"], host),
    ]
    if not found and container.labels.get(LABEL_SPEC) != spec.hash:
        found.append(say("created from another specification"))
    return tuple(found)


def _image_drift(spec: Specification, container: Container, config: Mapping[str, Any], image_id: str) -> Iterator[str]:
    if image_id and container.image_id != image_id:
        yield say("image {found}, should be {wanted}", found=_short(container.image_id), wanted=_short(image_id))
    if config.get("Image") != spec.image:
        yield say("follows image {found}, should be {wanted}", found=config.get("Image"), wanted=spec.image)


def _environment_drift(wanted: object, there: object, image: object) -> Iterator[str]:
    want, have, inherited = _pairs(wanted), _pairs(there), _pairs(image)
    for key in sorted(want.keys() | have.keys()):
        ours = key.startswith(_OUR_PREFIXES) or key in _OUR_KEYS
        if have.get(key) == want.get(key) or (key not in want and (not ours or have[key] == inherited.get(key))):
            continue
        if key in _SECRET_KEYS:
            yield say("{key} differs", key=key)
        elif key not in want:
            yield say("{key} is set, should not be", key=key)
        else:
            yield say(
                "{key} is {found}, should be {wanted}",
                key=key,
                found=quoted(have[key]) if key in have else say("not set"),
                wanted=quoted(want[key]),
            )


def _label_drift(wanted: object, there: object, image: object) -> Iterator[str]:
    want, have, inherited = _mapping(wanted), _mapping(there), _mapping(image)
    for key in sorted(want.keys() | have.keys()):
        if key == LABEL_SPEC or have.get(key) == want.get(key):
            continue
        if key in want:
            yield say(
                "label {key} is {found}, should be {wanted}",
                key=key,
                found=quoted(have[key]) if key in have else say("not set"),
                wanted=quoted(want[key]),
            )
        elif key.startswith(_OUR_LABELS) and have[key] != inherited.get(key):
            yield say("label {key} is set, should not be", key=key)


def _process_drift(spec: Specification, config: Mapping[str, Any], inherited: Mapping[str, Any]) -> Iterator[str]:
    user = spec.body.get("User", inherited.get("User", ""))
    if (config.get("User") or "") != (user or ""):
        yield say("user {found}, should be {wanted}", found=quoted(config.get("User")), wanted=quoted(user))
    if config.get("StopTimeout") != spec.body["StopTimeout"]:
        yield say(
            "stop timeout {found}, should be {wanted}", found=config.get("StopTimeout"), wanted=spec.body["StopTimeout"]
        )
    for part in ("Entrypoint", "Cmd"):
        if (config.get(part) or []) != (inherited.get(part) or []):
            yield say("{part} is not the image's", part=part.lower())


def _host_drift(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[str]:
    for name, normal in _COMPARED.items():
        wanted, there = normal(want.get(name)), normal(have.get(name))
        if wanted != there:
            yield say("{key} is {found}, should be {wanted}", key=name, found=quoted(there), wanted=quoted(wanted))
    yield from _log_drift(_mapping(want.get("LogConfig")), _mapping(have.get("LogConfig")))


def _log_drift(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[str]:
    """The engine adds its own options for the driver (`log-opts` in daemon.json) to those of each container."""
    options = _mapping(have.get("Config"))
    there = have.get("Type"), {key: options.get(key) for key in sorted(_mapping(want.get("Config")))}
    wanted = want.get("Type"), dict(sorted(_mapping(want.get("Config")).items()))
    if there != wanted:
        yield say("{key} is {found}, should be {wanted}", key="LogConfig", found=quoted(there), wanted=quoted(wanted))


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _words(value: object) -> list[str]:
    words = value if isinstance(value, list | tuple) else []
    return sorted(str(word).upper().removeprefix("CAP_") for word in words)


def _security(value: object) -> list[str]:
    words = value if isinstance(value, list | tuple) else []
    return sorted(str(word).replace("=", ":").removesuffix(":true") for word in words)


def _mounts(value: object) -> list[tuple[str, str, str, bool]]:
    mounts = [_mapping(one) for one in value] if isinstance(value, list | tuple) else []
    return sorted(
        (str(one.get("Type")), str(one.get("Source")), str(one.get("Target")), bool(one.get("ReadOnly")))
        for one in mounts
    )


def _restart(value: object) -> str:
    return str(_mapping(value).get("Name") or "no")


def _binds(value: object) -> list[str]:
    return sorted(map(str, value)) if isinstance(value, list | tuple) else []


def _present(value: object) -> object:
    return value or None


def _shared(value: object) -> object:
    """A namespace that the container shares with the host or another container; the engine's defaults share none."""
    return value if isinstance(value, str) and (value == "host" or value.startswith("container:")) else None


# Parts of HostConfig that are compared, each in a form in which the engine's spelling does not matter. The engine adds nothing to
# these; parts that the specification does not set are here because they would give the container more than it needs.
_COMPARED: Mapping[str, Callable[[Any], object]] = {
    "ReadonlyRootfs": bool,
    "Privileged": bool,
    "CapDrop": _words,
    "CapAdd": _words,
    "SecurityOpt": _security,
    "Mounts": _mounts,
    "Binds": _binds,
    "VolumesFrom": _present,
    "Devices": _present,
    "DeviceRequests": _present,
    "DeviceCgroupRules": _present,
    "GroupAdd": _present,
    "Tmpfs": _present,
    "NetworkMode": str,
    "PidMode": _shared,
    "IpcMode": _shared,
    "UTSMode": _shared,
    "UsernsMode": _shared,
    "RestartPolicy": _restart,
    "Memory": _number,
    "PidsLimit": _number,
}


def _pairs(value: object) -> dict[str, str]:
    lines = value if isinstance(value, list | tuple) else []
    return {key: text for key, equals, text in (str(line).partition("=") for line in lines) if equals}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
