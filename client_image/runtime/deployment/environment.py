"""`flageemonitor.env`, the environment file: from its bytes to checked settings. Pure; called by host_files.

UTF-8, one KEY=value a line, every key known and given once. The wrappers read the same file by key with sed, so what only one of
the two would understand is an error here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from contracts.bounded import whole
from contracts.clear_text import is_clear
from contracts.config import NetworkCode
from contracts.image_reference import Reference, parse_reference
from contracts.secret import Secret
from contracts.visible import quoted
from runtime.deployment.names import CONFIG, DATA, HostOs, Names, environment_file, name_problem
from runtime.deployment.results import DeployError

PREFIX, LEGACY_PREFIX = "FLAGEEMONITOR_", "ARIUSMONITOR_"
PLAIN_KEYS = ("RUN_MODE", "TZ", "DOCKER_HOST")
# Read on the host only; the other keys go to the runtime, see runtime.settings.
HOST_KEYS: Mapping[str, str] = {
    "FLAGEEMONITOR_IMAGE": "Image that this host runs, by tag or digest.",
    "FLAGEEMONITOR_WATCHTOWER_IMAGE": "Image of Watchtower, or of a program with the same labels and settings.",
    "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "Seconds between two checks of Watchtower for a new image, 30 to 604800.",
    "FLAGEEMONITOR_DOCKER_NETWORK": "Docker network of the proxy: bridge (default), host, or a name.",
    "DOCKER_HOST": "unix:// socket of the engine, where it is not the default one.",
    "TZ": "Time zone of the container's clock, an IANA name; jobs use the time zone of the network's configuration.",
}
_WORDS = (
    *("REDE", "API_BASE", "CONFIG_URL", "CONFIG_PATH", "DATA_PATH", "IMAGE", "RUNTIME_NAME", "WATCHTOWER_IMAGE"),
    *("WATCHTOWER_INTERVAL", "AGENT_ID", "TOKEN_FILE", "TOKEN", "CA_PATH", "DOCKER_NETWORK", "INSECURE", "LOG_FORMAT"),
)
KNOWN_KEYS = (*(PREFIX + word for word in _WORDS), *PLAIN_KEYS)
# First-generation name -> our name; read where ours is absent.
LEGACY_KEYS: Mapping[str, str] = {
    **{LEGACY_PREFIX + word: PREFIX + word for word in _WORDS},
    f"{LEGACY_PREFIX}API_URL": f"{PREFIX}API_BASE",
}
# The first generation wrote these about its own container. They must not stop an upgrade, and nothing here uses them.
IGNORED_WORDS = ("CONTAINER_ROOT", "CONFIG_CONF", "CONFIG_REFRESH")
IGNORED_KEYS = tuple(prefix + word for prefix in (PREFIX, LEGACY_PREFIX) for word in IGNORED_WORDS)

_ACCEPTED_KEYS = frozenset((*KNOWN_KEYS, *LEGACY_KEYS, *IGNORED_KEYS))

MAX_BYTES = 65536

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")

WATCHTOWER_IMAGE = "containrrr/watchtower:1.7.1"
DEFAULT_INTERVAL = 300
MIN_INTERVAL, MAX_INTERVAL = 30, 7 * 86400
ADVICE = "correct the environment file {file}, then run {runtime}-update-image"

_PASSED_ON = ("REDE", "API_BASE", "CONFIG_URL", "TOKEN_FILE", "AGENT_ID", "CA_PATH", "INSECURE", "LOG_FORMAT")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_CODE: TypeAdapter[str] = TypeAdapter(NetworkCode)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # as both installers have it
# The first generation named a file that is no longer mounted; the next refresh fetches ours.
_CONFIG_PATHS = (CONFIG, f"{CONFIG}/config_bot.json", "/flageemonitor/config_bot.json", "/ariusmonitor/config_bot.json")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """``values``: by our names, without empty ones. ``lines``: where each stood. ``problems``; ``notes``: on keys without
    effect."""

    values: Mapping[str, str]
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """The checked content of the file. ``environment``: for the runtime container, without token and run mode. ``interval``:
    seconds. ``notes``: on keys without effect."""

    names: Names
    image: Reference
    watchtower_image: Reference
    interval: int
    docker_network: str
    environment: Mapping[str, str]
    token: Secret | None = field(default=None)
    notes: tuple[str, ...] = ()


def read_settings(raw: bytes, runtime: str, system: HostOs = "linux") -> DeploySettings:
    """Checked settings. Raises DeployError (bad_environment) that lists every problem at once."""
    file = parse(raw)
    reader = _Reader(file, list(file.problems))
    settings = reader.settings(runtime)
    if reader.problems or settings is None:
        advice = ADVICE.format(file=environment_file(runtime, system), runtime=runtime)
        raise DeployError("bad_environment", "; ".join(reader.problems), advice)
    return settings


def parse(raw: bytes) -> EnvFile:
    """Never raises. A problem names its line and never shows a value, which may be a token."""
    if len(raw) > MAX_BYTES:
        return EnvFile({}, {}, (f"the file has {len(raw)} bytes; the limit is {MAX_BYTES}",))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = raw[: error.start].count(b"\n") + 1
        return EnvFile({}, {}, (f"line {where}: not UTF-8",))
    given: dict[str, tuple[int, str]] = {}
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        problem = _key_problem(key, equals)
        if not problem and _CONTROL.search(value.strip()):
            problem = f"{key}: a control character in the value"
        if not problem and key in given:
            problem = f"{key} is given twice, first in line {given[key][0]}"
        if problem:
            problems.append(f"line {number}: {problem}")
        else:
            given[key] = number, value.strip()
    notes = (
        f"line {given[key][0]}: {key} is of the first generation and has no effect: it may be removed"
        for key in IGNORED_KEYS
        if key in given
    )
    return EnvFile(*_by_our_names(given), tuple(problems), tuple(notes))


def _by_our_names(given: Mapping[str, tuple[int, str]]) -> tuple[dict[str, str], dict[str, int]]:
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    # Our names first: a legacy name only fills in what is still missing.
    for key, (number, value) in sorted(given.items(), key=lambda item: item[0] in LEGACY_KEYS):
        name = LEGACY_KEYS.get(key, key)
        if value and name not in values and key not in IGNORED_KEYS:
            values[name], lines[name] = value, number
    return values, lines


def _key_problem(key: str, equals: str) -> str:
    if not equals:
        return "no KEY=value"
    if key in _ACCEPTED_KEYS:
        return ""
    bare = key.strip().removeprefix("export ").strip()
    if bare != key and bare in _ACCEPTED_KEYS:
        return f"write {bare}=value, with nothing before the key and no space around ="
    if not _KEY.fullmatch(key):
        return "no KEY=value"
    near = difflib.get_close_matches(key.upper(), (*KNOWN_KEYS, *LEGACY_KEYS), n=1, cutoff=0.75)
    return f"{key} is not a known key" + (f"; did you mean {near[0]}?" if near else "")


class _Reader:
    """Checks one key after the other and collects the problems."""

    def __init__(self, file: EnvFile, problems: list[str]) -> None:
        self.values, self.lines, self.notes, self.problems = file.values, file.lines, file.notes, problems

    def settings(self, runtime: str) -> DeploySettings | None:
        if problem := name_problem(runtime):
            self.problems.append(f"--runtime-name {problem}")
        named = self._get("RUNTIME_NAME", runtime)
        if named != runtime:
            self._problem(
                "RUNTIME_NAME",
                f"says {quoted(named)}, but this is the file of {quoted(runtime)}: does a wrapper point here?",
            )
        self._check()
        image = self._reference("IMAGE", "")
        watchtower = self._reference("WATCHTOWER_IMAGE", WATCHTOWER_IMAGE)
        interval = self._interval()
        if image is None or watchtower is None:
            return None
        token = self._get("TOKEN")
        passed_on = {PREFIX + word: self.values[PREFIX + word] for word in _PASSED_ON if PREFIX + word in self.values}
        passed_on |= {f"{PREFIX}RUNTIME_NAME": runtime, f"{PREFIX}WATCHTOWER_INTERVAL": str(interval)}
        if zone := self.values.get("TZ"):
            passed_on["TZ"] = zone
        return DeploySettings(
            names=Names(runtime),
            image=image,
            watchtower_image=watchtower,
            interval=interval,
            docker_network=self._get("DOCKER_NETWORK", "bridge"),
            environment=passed_on,
            token=Secret(token) if token else None,
            notes=self.notes,
        )

    def _get(self, word: str, default: str = "") -> str:
        return self.values.get(PREFIX + word, default)

    def _problem(self, word: str, problem: str) -> None:
        key = word if word in self.values else PREFIX + word
        where = f"line {self.lines[key]}: " if key in self.lines else ""
        quoted = len(self.values.get(key, "")) > 1 and self.values[key][0] == self.values[key][-1] in "\"'"
        hint = " (quotes are not taken off: write the value without them)" if quoted else ""
        self.problems.append(f"{where}{key} {problem}{hint}")

    def _check(self) -> None:
        insecure = self._get("INSECURE")
        if insecure not in ("", "plain-http"):
            self._problem("INSECURE", "may only be plain-http")
        for word in ("API_BASE", "CONFIG_URL"):
            if (url := self._get(word)) and (problem := _url_problem(url, insecure=insecure == "plain-http")):
                self._problem(word, problem)
        if (network := self._get("REDE")) and not _is_network_code(network):
            self._problem("REDE", "is not the code of a network, such as ACME")
        if (token := self._get("TOKEN")) and not _TOKEN.fullmatch(token):
            self._problem("TOKEN", "is not a token: only letters, digits and . _ ~ + / = - are allowed")
        if (agent := self._get("AGENT_ID")) and not _is_uuid(agent):
            self._problem("AGENT_ID", "must be a UUID")
        if self._get("LOG_FORMAT") not in ("", "json", "console"):
            self._problem("LOG_FORMAT", "may be json or console")
        if self.values.get("RUN_MODE", "daemon") != "daemon":
            self._problem("RUN_MODE", "may only be daemon: a single action is started by the wrapper `-run`")
        if not _zone_known(self.values.get("TZ", "UTC")):
            self._problem("TZ", "is not a time zone, such as America/Sao_Paulo")
        if not self.values.get("DOCKER_HOST", "unix:///").startswith("unix:///"):
            self._problem("DOCKER_HOST", "may only be a unix:/// socket")
        self._check_container()

    def _check_container(self) -> None:
        network = self._get("DOCKER_NETWORK", "bridge")
        if not _NETWORK.fullmatch(network) or network == "none":
            self._problem("DOCKER_NETWORK", "must be bridge, host or the name of a network")
        for word in ("TOKEN_FILE", "CA_PATH"):
            path = self._get(word, f"{CONFIG}/x")
            if not path.startswith(f"{CONFIG}/") or ".." in path.split("/"):
                self._problem(word, f"must be a file in {CONFIG}, where the container has it")
        if self._get("CONFIG_PATH", CONFIG).rstrip("/") not in _CONFIG_PATHS:
            self._problem("CONFIG_PATH", f"may only be {CONFIG}: the folder is fixed in the container")
        if self._get("DATA_PATH", DATA).rstrip("/") != DATA:
            self._problem("DATA_PATH", f"may only be {DATA}: the folder is fixed in the container")

    def _reference(self, word: str, default: str) -> Reference | None:
        text = self._get(word, default)
        if not text:
            self._problem(word, "is missing")
            return None
        try:
            return parse_reference(text)
        except ValueError:
            self._problem(word, "is not a reference to an image, such as registry.example/name:stable")
            return None

    def _interval(self) -> int:
        text = self._get("WATCHTOWER_INTERVAL", str(DEFAULT_INTERVAL))
        seconds = whole(text, MIN_INTERVAL, MAX_INTERVAL)
        if seconds is not None:
            return seconds
        self._problem("WATCHTOWER_INTERVAL", f"must be {MIN_INTERVAL} to {MAX_INTERVAL} seconds")
        return DEFAULT_INTERVAL


def _url_problem(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is not a number raises here
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not host:
        return "must begin with https://"
    if parts.username or parts.password:
        return "must not contain a password: the token has a file of its own"
    if not insecure and is_clear(url):
        return f"would send the token in clear text: use https, or {PREFIX}INSECURE=plain-http"
    return ""


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
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
