"""The environment file as typed, checked settings: what deploy itself needs, and what it hands to the runtime. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from contracts.bounded import whole
from contracts.config import NetworkCode
from contracts.secret import Secret
from runtime.deployment.env_file import NEW, EnvFile, parse
from runtime.deployment.names import CONFIG, DATA, HostOs, Names, environment_file, name_problem
from runtime.deployment.reference import Reference, parse_reference
from runtime.deployment.results import DeployError

WATCHTOWER = "containrrr/watchtower:1.7.1"
INTERVAL = 300
LEAST_INTERVAL, LONGEST_INTERVAL = 30, 7 * 86400
ADVICE = "mend the environment file {file}, then call {runtime}-update-image"

_HANDED = ("REDE", "API_BASE", "CONFIG_URL", "TOKEN_FILE", "AGENT_ID", "CA_PATH", "INSECURE", "LOG_FORMAT")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_CODE: TypeAdapter[str] = TypeAdapter(NetworkCode)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # as both installers have it
# The first generation named a file that is not mounted any more; the next refresh fetches ours.
_CONFIG_PATHS = (CONFIG, f"{CONFIG}/config_bot.json", "/flageemonitor/config_bot.json", "/ariusmonitor/config_bot.json")


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """What the environment file says. ``environment``: for the runtime container, without token and run mode; ``notes``: what of
    the file has no effect."""

    names: Names
    image: Reference
    watchtower_image: Reference
    interval: int
    docker_network: str
    environment: Mapping[str, str]
    token: Secret | None = field(default=None)
    notes: tuple[str, ...] = ()


def read_settings(raw: bytes, runtime: str, system: HostOs = "linux") -> DeploySettings:
    """Everything that is wrong is said at once. Raises DeployError (bad_environment)."""
    file = parse(raw)
    reader = _Reader(file, list(file.problems))
    settings = reader.settings(runtime)
    if reader.problems or settings is None:
        advice = ADVICE.format(file=environment_file(runtime, system), runtime=runtime)
        raise DeployError("bad_environment", "; ".join(reader.problems), advice)
    return settings


class _Reader:
    """Checks one key after the other and collects what is wrong."""

    def __init__(self, file: EnvFile, problems: list[str]) -> None:
        self.values, self.lines, self.notes, self.problems = file.values, file.lines, file.notes, problems

    def settings(self, runtime: str) -> DeploySettings | None:
        if problem := name_problem(runtime):
            self.problems.append(f"--runtime-name {problem}")
        named = self._get("RUNTIME_NAME", runtime)
        if named != runtime:
            self._wrong(
                "RUNTIME_NAME", f"says {named!r}, but this is the file of {runtime!r}: does a wrapper point here?"
            )
        self._check()
        image = self._reference("IMAGE", "")
        watchtower = self._reference("WATCHTOWER_IMAGE", WATCHTOWER)
        interval = self._interval()
        if image is None or watchtower is None:
            return None
        token = self._get("TOKEN")
        handed = {NEW + word: self.values[NEW + word] for word in _HANDED if NEW + word in self.values}
        handed |= {f"{NEW}RUNTIME_NAME": runtime, f"{NEW}WATCHTOWER_INTERVAL": str(interval)}
        if zone := self.values.get("TZ"):
            handed["TZ"] = zone
        return DeploySettings(
            names=Names(runtime),
            image=image,
            watchtower_image=watchtower,
            interval=interval,
            docker_network=self._get("DOCKER_NETWORK", "bridge"),
            environment=handed,
            token=Secret(token) if token else None,
            notes=self.notes,
        )

    def _get(self, word: str, default: str = "") -> str:
        return self.values.get(NEW + word, default)

    def _wrong(self, word: str, problem: str) -> None:
        key = word if word in self.values else NEW + word
        where = f"line {self.lines[key]}: " if key in self.lines else ""
        quoted = len(self.values.get(key, "")) > 1 and self.values[key][0] == self.values[key][-1] in "\"'"
        hint = " (quotes are not taken off: write the value without them)" if quoted else ""
        self.problems.append(f"{where}{key} {problem}{hint}")

    def _check(self) -> None:
        insecure = self._get("INSECURE")
        if insecure not in ("", "plain-http"):
            self._wrong("INSECURE", "may only be plain-http")
        for word in ("API_BASE", "CONFIG_URL"):
            if (url := self._get(word)) and (problem := _address_problem(url, insecure=insecure == "plain-http")):
                self._wrong(word, problem)
        if (network := self._get("REDE")) and not _is_network_code(network):
            self._wrong("REDE", "is not the code of a network, such as ACME")
        if (token := self._get("TOKEN")) and not _TOKEN.fullmatch(token):
            self._wrong("TOKEN", "is not a token: it has letters, digits and . _ ~ + / = - alone")
        if (agent := self._get("AGENT_ID")) and not _is_uuid(agent):
            self._wrong("AGENT_ID", "must be a UUID")
        if self._get("LOG_FORMAT") not in ("", "json", "console"):
            self._wrong("LOG_FORMAT", "may be json or console")
        if self.values.get("RUN_MODE", "daemon") != "daemon":
            self._wrong("RUN_MODE", "may only be daemon: a single action is started by the wrapper `-run`")
        if not _zone_known(self.values.get("TZ", "UTC")):
            self._wrong("TZ", "is not a time zone, such as America/Sao_Paulo")
        if not self.values.get("DOCKER_HOST", "unix:///").startswith("unix:///"):
            self._wrong("DOCKER_HOST", "may only be a unix:/// socket")
        self._check_container()

    def _check_container(self) -> None:
        network = self._get("DOCKER_NETWORK", "bridge")
        if not _NETWORK.fullmatch(network) or network == "none":
            self._wrong("DOCKER_NETWORK", "must be bridge, host or the name of a network")
        for word in ("TOKEN_FILE", "CA_PATH"):
            path = self._get(word, f"{CONFIG}/x")
            if not path.startswith(f"{CONFIG}/") or ".." in path.split("/"):
                self._wrong(word, f"must be a file in {CONFIG}, where the container has it")
        if self._get("CONFIG_PATH", CONFIG).rstrip("/") not in _CONFIG_PATHS:
            self._wrong("CONFIG_PATH", f"may only be {CONFIG}: the folder is fixed in the container")
        if self._get("DATA_PATH", DATA).rstrip("/") != DATA:
            self._wrong("DATA_PATH", f"may only be {DATA}: the folder is fixed in the container")

    def _reference(self, word: str, default: str) -> Reference | None:
        text = self._get(word, default)
        if not text:
            self._wrong(word, "is missing")
            return None
        try:
            return parse_reference(text)
        except ValueError:
            self._wrong(word, "is not a reference to an image, such as registry.example/name:stable")
            return None

    def _interval(self) -> int:
        text = self._get("WATCHTOWER_INTERVAL", str(INTERVAL))
        seconds = whole(text, LEAST_INTERVAL, LONGEST_INTERVAL)
        if seconds is not None:
            return seconds
        self._wrong("WATCHTOWER_INTERVAL", f"must be {LEAST_INTERVAL} to {LONGEST_INTERVAL} seconds")
        return INTERVAL


def _address_problem(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "makes no sense as an address"
    if parts.scheme not in ("http", "https") or not host:
        return "must begin with https://"
    if parts.username or parts.password:
        return "must not carry a password: the token has a file of its own"
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        return f"would show the token to everybody on the way: use https, or {NEW}INSECURE=plain-http"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_network_code(text: str) -> bool:
    try:
        _CODE.validate_python(text)
    except ValidationError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _zone_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError of OSError's kind only on some systems
        return False
    except KeyError:
        return False
    return True
