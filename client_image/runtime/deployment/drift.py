"""What differs between a container and its specification, in words for an operator. Pure.

Compared is what runs, not only the label: somebody may have used `docker update` or made it by hand. What the engine adds by
itself, what the image brings along, and what Watchtower changes when it makes the container anew (hostname, image) is no drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runtime.deployment.env_file import NEW, OLD, PLAIN
from runtime.deployment.facts import LABEL_SPEC, Container, Image
from runtime.deployment.specification import LABEL_WATCHTOWER, Specification

_SECRET = ("FLAGEEMONITOR_TOKEN", "ARIUSMONITOR_TOKEN")
_OUR_ENV = (NEW, OLD, "WATCHTOWER_")
_OUR_ENV_WORDS = (*PLAIN, "DOCKER_API_VERSION", "DOCKER_CONFIG")
_OUR_LABELS = ("flageemonitor.", LABEL_WATCHTOWER)


def drift(spec: Specification, container: Container, image: Image | None, *, image_id: str = "") -> tuple[str, ...]:
    """``image``: the one that the container runs, when the engine still has it. ``image_id``: the one that it should run, if
    that matters. Empty when all is as specified."""
    config, host = _mapping(container.raw.get("Config")), _mapping(container.raw.get("HostConfig"))
    inherited: Mapping[str, Any] = image.config if image else {}
    found = [
        *_image(spec, container, config, image_id),
        *_environment(spec.body["Env"], config.get("Env"), inherited.get("Env")),
        *_labels(spec.body["Labels"], config.get("Labels"), inherited.get("Labels")),
        *_plain(spec, config, inherited, known=image is not None),
        *_host(spec.body["HostConfig"], host),
    ]
    if not found and container.labels.get(LABEL_SPEC) != spec.hash:
        found.append("made after another specification")
    return tuple(found)


def _image(spec: Specification, container: Container, config: Mapping[str, Any], image_id: str) -> Iterator[str]:
    if image_id and container.image_id != image_id:
        yield f"image {_short(container.image_id)}, should be {_short(image_id)}"
    if config.get("Image") != spec.image:
        yield f"follows image {config.get('Image')}, should be {spec.image}"


def _environment(wanted: object, there: object, image: object) -> Iterator[str]:
    want, have, inherited = _pairs(wanted), _pairs(there), _pairs(image)
    for key in sorted(want.keys() | have.keys()):
        ours = key.startswith(_OUR_ENV) or key in _OUR_ENV_WORDS
        if have.get(key) == want.get(key) or (key not in want and (not ours or have[key] == inherited.get(key))):
            continue
        if key in _SECRET:
            yield f"{key} differs"
        elif key not in want:
            yield f"{key} is set, should not be"
        else:
            yield f"{key} is {have.get(key, 'not set')!r}, should be {want[key]!r}"


def _labels(wanted: object, there: object, image: object) -> Iterator[str]:
    want, have, inherited = _mapping(wanted), _mapping(there), _mapping(image)
    for key in sorted(want.keys() | have.keys()):
        if key == LABEL_SPEC or have.get(key) == want.get(key):
            continue
        if key in want:
            yield f"label {key} is {have.get(key, 'not set')!r}, should be {want[key]!r}"
        elif key.startswith(_OUR_LABELS) and have[key] != inherited.get(key):
            yield f"label {key} is set, should not be"


def _plain(
    spec: Specification, config: Mapping[str, Any], inherited: Mapping[str, Any], *, known: bool
) -> Iterator[str]:
    user = spec.body.get("User", inherited.get("User", ""))
    if (config.get("User") or "") != (user or ""):
        yield f"user {config.get('User')!r}, should be {user!r}"
    if config.get("StopTimeout") != spec.body["StopTimeout"]:
        yield f"stop timeout {config.get('StopTimeout')}, should be {spec.body['StopTimeout']}"
    for part in ("Entrypoint", "Cmd") if known else ():
        if (config.get(part) or []) != (inherited.get(part) or []):
            yield f"{part.lower()} is not the image's"


def _host(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[str]:
    for name, normal in _HOST.items():
        wanted, there = normal(want.get(name)), normal(have.get(name))
        if wanted != there:
            yield f"{name} is {there!r}, should be {wanted!r}"


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _words(value: object) -> list[str]:
    words = value if isinstance(value, list | tuple) else []
    return sorted(str(word).upper().removeprefix("CAP_") for word in words)


def _security(value: object) -> list[str]:
    words = value if isinstance(value, list | tuple) else []
    return sorted(str(word).replace("=", ":").removesuffix(":true") for word in words)


def _logging(value: object) -> object:
    log = _mapping(value)
    return log.get("Type"), dict(sorted(_mapping(log.get("Config")).items()))


def _mounts(value: object) -> list[tuple[str, str, str, bool]]:
    mounts = [_mapping(one) for one in value] if isinstance(value, list | tuple) else []
    return sorted(
        (str(one.get("Type")), str(one.get("Source")), str(one.get("Target")), bool(one.get("ReadOnly")))
        for one in mounts
    )


def _restart(value: object) -> str:
    return str(_mapping(value).get("Name") or "no")


def _present(value: object) -> object:
    return value or None


_HOST: Mapping[str, Callable[[Any], object]] = {
    "ReadonlyRootfs": bool,
    "Privileged": bool,
    "CapDrop": _words,
    "CapAdd": _words,
    "SecurityOpt": _security,
    "Mounts": _mounts,
    "Binds": _present,
    "VolumesFrom": _present,
    "Devices": _present,
    "Tmpfs": _present,
    "NetworkMode": str,
    "PidMode": _present,
    "RestartPolicy": _restart,
    "LogConfig": _logging,
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
