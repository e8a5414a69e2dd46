"""What an installer asks for: the lines on its stdin, its options, and the environment file that follows from them. Pure.

install.sh and install.ps1 write the lines; docs/deployment.md has the table of keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from contracts.secret import Secret
from contracts.text import joined, say
from runtime.deployment.environment import DEFAULT_INTERVAL, WATCHTOWER_IMAGE
from runtime.deployment.environment_lines import PREFIX, parse, restored
from runtime.deployment.names import CONFIG
from runtime.deployment.results import DeployError

MAX_BYTES = 1024 * 1024
CA_FILE = "ca.pem"

Timer = Literal["systemd", "cron", "dcron", "none"]
Legacy = Literal["replace", "beside", ""]

_NEEDED = ("API_BASE", "ENROLL_URL", "HEALTH_URL", "NETWORK", "BOOTSTRAP_TOKEN", "HOSTNAME")
_FILES = ("CA", "CREDENTIALS")  # given line by line
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_WORD = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """What the operator chose; empty: not given."""

    image: str = ""
    watchtower_image: str = ""
    watchtower_interval: str = ""
    docker_network: str = ""
    update_window: str = ""
    auto_update: bool = True
    legacy: Legacy = ""
    foreign_watchtower: bool = False
    timer: Timer = "none"
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """``values``: what the control plane and the script say, by key. ``token``: works once. ``seen``: a word for
    `seen_folder`. ``ca``, ``credentials``: whole files, or empty."""

    values: Mapping[str, str]
    token: Secret
    seen: str = ""
    ca: str = ""
    credentials: Secret = field(default_factory=lambda: Secret(""))

    def get(self, key: str) -> str:
        return self.values.get(key, "")


def read_request(raw: bytes) -> InstallRequest:
    """Raises DeployError (bad_request); no value is repeated in it."""
    try:
        lines = raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise _bad(say("the installer's lines are not UTF-8")) from None
    values: dict[str, str] = {}
    files: dict[str, list[str]] = {}
    for line in lines:
        key, equals, value = line.rstrip("\r").partition("=")
        if equals and key in _FILES:
            files.setdefault(key, []).append(value)
        elif equals:
            values[key] = value.strip()
    missing = [key for key in _NEEDED if not values.get(key)]
    token, seen = values.pop("BOOTSTRAP_TOKEN", ""), values.pop("SEEN", "")
    if missing:
        raise _bad(say("the installer did not say: {missing}", missing=joined(missing)))
    if not _TOKEN.fullmatch(token) or (seen and not _WORD.fullmatch(seen)):
        raise _bad(say("BOOTSTRAP_TOKEN or SEEN has characters that are not allowed there"))
    text = {key: "".join(f"{line}\n" for line in files.get(key, ())) for key in _FILES}
    if text["CA"] and ("BEGIN CERTIFICATE" not in text["CA"] or "PRIVATE KEY" in text["CA"]):
        raise DeployError(
            "bad_request",
            say("The file given with --ca does not hold certificates alone (PEM)."),
            say("Ask the control plane's operator for the certificate of their authority."),
        )
    return InstallRequest(values, Secret(token), seen, text["CA"], Secret(text["CREDENTIALS"]))


def seen_folder(word: str) -> str:
    """The empty folder that an installer makes in each folder that it hands on, to prove that the engine mounts what it sees."""
    return f".seen-{word}"


def _bad(problem: str) -> DeployError:
    return DeployError(
        "bad_request",
        problem,
        say("get a new line from `flagee-server install-command`: this script is incomplete or was changed"),
    )


@dataclass(frozen=True, slots=True)
class EnvironmentText:
    """The environment file to be. ``kept``: sentences on values of the host that differ from the control plane's."""

    text: str
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be installed. ``before``: the present environment file, None without one; ``environment``: the one to be."""

    request: InstallRequest
    options: InstallOptions
    agent_id: str
    before: bytes | None
    environment: EnvironmentText


def environment_text(
    before: bytes | None,
    runtime: str,
    request: InstallRequest,
    options: InstallOptions,
    agent_id: str,
    web_proxies: Mapping[str, str],
) -> EnvironmentText:
    """The option, else what the file has, else what the control plane says, else the default. Other lines stay.

    ``web_proxies``: keys that the file does not have.
    """
    old = restored(before).decode("utf-8-sig", "surrogateescape") if before is not None else _head(runtime)
    lines = old.split("\n")[: -1 if old.endswith("\n") else None]
    there = parse(before).values if before is not None else {}
    kept: list[str] = []

    def put(key: str, value: str) -> None:
        found = [at for at, line in enumerate(lines) if line.partition("=")[0] == key]
        for at in reversed(found[1:]):  # twice is an error
            del lines[at]
        if found:
            lines[found[0]] = f"{key}={value}"
        else:
            lines.append(f"{key}={value}")

    def offer(word: str, given: str, named: str, default: str = "", *, tell: bool = True) -> None:
        key = PREFIX + word
        if given:
            put(key, given)
        elif (present := there.get(key)) is None:
            put(key, named or default)
        elif tell and named and present != named:
            kept.append(
                say("{key}={present} is kept; the control plane names {named}", key=key, present=present, named=named)
            )

    put(f"{PREFIX}REDE", request.get("NETWORK"))
    put(f"{PREFIX}API_BASE", request.get("API_BASE"))
    put(f"{PREFIX}AGENT_ID", agent_id)
    put(f"{PREFIX}RUNTIME_NAME", runtime)
    offer("IMAGE", options.image, request.get("IMAGE"))
    offer("WATCHTOWER_IMAGE", options.watchtower_image, request.get("WATCHTOWER_IMAGE"), WATCHTOWER_IMAGE)
    offer("WATCHTOWER_INTERVAL", options.watchtower_interval, request.get("WATCHTOWER_INTERVAL"), str(DEFAULT_INTERVAL))
    offer("DOCKER_NETWORK", options.docker_network, "bridge", tell=False)
    if options.update_window:
        put(f"{PREFIX}UPDATE_WINDOW", options.update_window)
    if not options.auto_update:
        put(f"{PREFIX}AUTO_UPDATE", "no")
    for key, value in web_proxies.items():
        put(key, value)
    if request.ca:
        put(f"{PREFIX}CA_PATH", f"{CONFIG}/{CA_FILE}")
    for key, value in (
        ("RUN_MODE", "daemon"),
        ("TZ", request.get("TIMEZONE")),
        ("DOCKER_HOST", request.get("DOCKER_HOST")),
    ):
        if value and (key not in there or key == "DOCKER_HOST"):
            put(key, value)
    return EnvironmentText("".join(f"{line}\n" for line in lines), tuple(kept))


def _head(runtime: str) -> str:
    return (
        f"# FlageeMonitor Proxy, {runtime}: KEY=the rest of the line, without quotes. Every key: docs/proxy-settings.md.\n"
        f"# A change takes effect with: {runtime}-update-image\n"
    )
