"""What of a container differs from its specification, in words. Pure.

Compared is what runs, not only the label: somebody may have used `docker update` or created the container by hand. Compared
is what the specification sets, and what would give the container more than it needs. No drift: what the engine adds to every
container (log options, limits and more of its own settings, which may change at any time), what the image brings, and what
Watchtower changes when it creates the container again (hostname, image).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from contracts.text import say
from contracts.visible import quoted
from runtime.deployment.engine import Container, Image
from runtime.deployment.environment_lines import LEGACY_PREFIX, PLAIN_KEYS, PREFIX
from runtime.deployment.names import LABEL_SPEC
from runtime.deployment.specification import LABEL_WATCHTOWER, Specification
from runtime.deployment.web_proxies import VARIABLES

# Somebody may have created a container by hand with a login in the address of an HTTP proxy.
_SECRET_KEYS = ("FLAGEEMONITOR_TOKEN", "ARIUSMONITOR_TOKEN", *VARIABLES[:2])
_OUR_PREFIXES = (PREFIX, LEGACY_PREFIX, "WATCHTOWER_")
_OUR_KEYS = (*PLAIN_KEYS, *VARIABLES, "DOCKER_API_VERSION", "DOCKER_CONFIG")
_OUR_LABELS = ("flageemonitor.", LABEL_WATCHTOWER)


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
