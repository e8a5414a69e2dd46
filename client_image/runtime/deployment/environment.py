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
from contracts.text import joined, say
from contracts.update_window import UpdateWindow, parse_update_window
from contracts.visible import quoted
from contracts.web_proxy import WebProxy, parse_direct, parse_web_proxy
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
    "FLAGEEMONITOR_HTTPS_PROXY": "HTTP proxy for https addresses, http://[user:password@]host:port, or none. Default: "
    "the engine's own.",
    "FLAGEEMONITOR_HTTP_PROXY": "The same for http addresses.",
    "FLAGEEMONITOR_NO_PROXY": "Names, .domains, addresses and networks that are asked without an HTTP proxy, besides this host "
    "and private networks. A name that leads to such an address counts as well.",
    "FLAGEEMONITOR_PROXY_PRIVATE": "`yes`: addresses of private networks are asked through the HTTP proxy too.",
    "FLAGEEMONITOR_AUTO_UPDATE": "`no`: there is no Watchtower, and only a person updates. Default: yes.",
    "FLAGEEMONITOR_UPDATE_WINDOW": "When Watchtower may update, such as 02:00-05:00 in TZ; a person may always. "
    "Default: at any time.",
    "DOCKER_HOST": "unix:// socket of the engine, where it is not the default one.",
    "TZ": "Time zone of the container's clock, an IANA name; jobs use the time zone of the network's configuration.",
}
# The first release's deploy refuses a file with any other key.
_FIRST_WORDS = (
    *("REDE", "API_BASE", "CONFIG_URL", "CONFIG_PATH", "DATA_PATH", "IMAGE", "RUNTIME_NAME", "WATCHTOWER_IMAGE"),
    *("WATCHTOWER_INTERVAL", "AGENT_ID", "TOKEN_FILE", "TOKEN", "CA_PATH", "DOCKER_NETWORK", "INSECURE", "LOG_FORMAT"),
)
_LATER_WORDS = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "PROXY_PRIVATE", "AUTO_UPDATE", "UPDATE_WINDOW")
KNOWN_KEYS = (*(PREFIX + word for word in (*_FIRST_WORDS, *_LATER_WORDS)), *PLAIN_KEYS)
# Before a line whose key an older image would refuse, while that image runs. This release reads the line as if it were not there.
SET_ASIDE = "#newer-image# "
# First-generation name -> our name; read where ours is absent.
LEGACY_KEYS: Mapping[str, str] = {
    **{LEGACY_PREFIX + word: PREFIX + word for word in _FIRST_WORDS},
    f"{LEGACY_PREFIX}API_URL": f"{PREFIX}API_BASE",
}
# The first generation wrote these about its own container. They must not stop an upgrade, and nothing here uses them.
IGNORED_WORDS = ("CONTAINER_ROOT", "CONFIG_CONF", "CONFIG_REFRESH")
IGNORED_KEYS = tuple(prefix + word for prefix in (PREFIX, LEGACY_PREFIX) for word in IGNORED_WORDS)

_ACCEPTED_KEYS = frozenset((*KNOWN_KEYS, *LEGACY_KEYS, *IGNORED_KEYS))
_LATER_KEYS = frozenset(PREFIX + word for word in _LATER_WORDS)

MAX_BYTES = 65536

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")

WATCHTOWER_IMAGE = "containrrr/watchtower:1.7.1"
DEFAULT_INTERVAL = 300
MIN_INTERVAL, MAX_INTERVAL = 30, 7 * 86400
_PASSED_ON = (
    *("REDE", "API_BASE", "CONFIG_URL", "TOKEN_FILE", "AGENT_ID", "CA_PATH", "INSECURE", "LOG_FORMAT", "UPDATE_WINDOW"),
)
NO_WEB_PROXY = "none"
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_CODE: TypeAdapter[str] = TypeAdapter(NetworkCode)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # as both installers have it
# The first generation named a file that is no longer mounted; the next refresh fetches ours.
_CONFIG_PATHS = (CONFIG, f"{CONFIG}/config_bot.json", "/flageemonitor/config_bot.json", "/ariusmonitor/config_bot.json")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """``values``: by our names, without empty ones. ``lines``: where each stood. ``problems``; ``notes``: on keys without
    effect; ``unknown``: on keys that perhaps a later release knows."""

    values: Mapping[str, str]
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebProxySettings:
    """What the file says of HTTP proxies. ``given``: whether it names one, or says that there is none; else the engine's counts.

    ``direct``: of FLAGEEMONITOR_NO_PROXY. ``private``: whether private networks are behind the HTTP proxy too.
    """

    given: bool = False
    https: WebProxy | None = None
    http: WebProxy | None = None
    direct: tuple[str, ...] = ()
    private: bool = False


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """The checked content of the file. ``environment``: for the runtime container, without token and run mode. ``interval``:
    seconds. ``notes``: on keys without effect. ``auto_update``: whether there is a Watchtower."""

    names: Names
    image: Reference
    watchtower_image: Reference
    interval: int
    docker_network: str
    environment: Mapping[str, str]
    token: Secret | None = field(default=None)
    notes: tuple[str, ...] = ()
    web_proxies: WebProxySettings = WebProxySettings()
    auto_update: bool = True
    update_window: UpdateWindow | None = None

    @property
    def zone(self) -> str:
        """Of the container's clock, and of the update window."""
        return self.environment.get("TZ", "UTC")


def read_settings(raw: bytes, runtime: str, system: HostOs = "linux") -> DeploySettings:
    """Checked settings. Raises DeployError (bad_environment) that lists every problem at once."""
    file = parse(raw)
    reader = _Reader(file, list(file.problems))
    settings = reader.settings(runtime)
    if reader.problems or settings is None:
        advice = say(
            "correct the environment file {file}, then run {runtime}-update-image",
            file=environment_file(runtime, system),
            runtime=runtime,
        )
        raise DeployError("bad_environment", joined((*reader.problems, *file.unknown), "; "), advice)
    return settings


def parse(raw: bytes) -> EnvFile:
    """Never raises. A problem names its line and never shows a value, which may be a token."""
    if len(raw) > MAX_BYTES:
        return EnvFile(
            {}, {}, (say("the file has {size} bytes; the limit is {limit}", size=len(raw), limit=MAX_BYTES),)
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = raw[: error.start].count(b"\n") + 1
        return EnvFile({}, {}, (say("line {where}: not UTF-8", where=where),))
    given: dict[str, tuple[int, str]] = {}
    problems: list[str] = []
    unknown: list[str] = []
    for number, written in enumerate(text.split("\n"), 1):
        line = written.removeprefix(SET_ASIDE)
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if equals and _is_of_a_later_release(key):
            unknown.append(say("line {line}: {problem}", line=number, problem=_unknown(key)))
            continue
        problem = _key_problem(key, equals)
        if not problem and _CONTROL.search(value.strip()):
            problem = say("{key}: a control character in the value", key=key)
        if not problem and key in given:
            problem = say("{key} is given twice, first in line {line}", key=key, line=given[key][0])
        if problem:
            problems.append(say("line {line}: {problem}", line=number, problem=problem))
        else:
            given[key] = number, value.strip()
    notes = (
        say(
            "line {line}: {key} is of the first generation and has no effect: it may be removed",
            line=given[key][0],
            key=key,
        )
        for key in IGNORED_KEYS
        if key in given
    )
    return EnvFile(*_by_our_names(given), tuple(problems), tuple(notes), tuple(unknown))


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
        return say("no KEY=value")
    if key in _ACCEPTED_KEYS:
        return ""
    bare = key.strip().removeprefix("export ").strip()
    if bare != key and bare in _ACCEPTED_KEYS:
        return say("write {bare}=value, with nothing before the key and no space around =", bare=bare)
    if not _KEY.fullmatch(key):
        return say("no KEY=value")
    return _unknown(key)


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key.upper(), (*KNOWN_KEYS, *LEGACY_KEYS), n=1, cutoff=0.75)
    if near:
        return say("{key} is not a known key; did you mean {near}?", key=key, near=near[0])
    return say("{key} is not a known key", key=key)


def _is_of_a_later_release(key: str) -> bool:
    """Perhaps: after a rollback this release must read a file that a later one has written. So it is noted, and is no problem."""
    return key.startswith(PREFIX) and _KEY.fullmatch(key) is not None and key not in _ACCEPTED_KEYS


def set_aside(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The file as the first release's deploy reads it, and the keys whose lines are now comments. Values stay in the file."""
    keys: list[str] = []
    lines = raw.split(b"\n")
    for place, line in enumerate(lines):
        key = line.removeprefix(b"\xef\xbb\xbf").partition(b"=")[0].decode(errors="replace")
        if key in _LATER_KEYS or _is_of_a_later_release(key):
            keys.append(key)
            lines[place] = SET_ASIDE.encode() + line.removeprefix(b"\xef\xbb\xbf")
    return b"\n".join(lines), tuple(keys)


def restored(raw: bytes) -> bytes:
    """The file without what ``set_aside`` did."""
    mark = SET_ASIDE.encode()
    return b"\n".join(line.removeprefix(mark) for line in raw.split(b"\n"))


class _Reader:
    """Checks one key after the other and collects the problems."""

    def __init__(self, file: EnvFile, problems: list[str]) -> None:
        self.values, self.lines, self.notes, self.problems = (
            file.values,
            file.lines,
            (*file.notes, *file.unknown),
            problems,
        )

    def settings(self, runtime: str) -> DeploySettings | None:
        if problem := name_problem(runtime):
            self.problems.append(say("--runtime-name {problem}", problem=problem))
        named = self._get("RUNTIME_NAME", runtime)
        if named != runtime:
            self._problem(
                "RUNTIME_NAME",
                say(
                    "says {named}, but this is the file of {runtime}: does a wrapper point here?",
                    named=quoted(named),
                    runtime=quoted(runtime),
                ),
            )
        self._check()
        image = self._reference("IMAGE", "")
        watchtower = self._reference("WATCHTOWER_IMAGE", WATCHTOWER_IMAGE)
        interval = self._interval()
        if image is None or watchtower is None:
            return None
        token = self._get("TOKEN")
        auto_update = self._yes_or_no("AUTO_UPDATE", default=True)
        web_proxies, window = self._web_proxies(), self._update_window(interval)
        passed_on = {PREFIX + word: self.values[PREFIX + word] for word in _PASSED_ON if PREFIX + word in self.values}
        passed_on |= {f"{PREFIX}RUNTIME_NAME": runtime}
        if auto_update:  # without the interval nobody misses a Watchtower
            passed_on |= {f"{PREFIX}WATCHTOWER_INTERVAL": str(interval)}
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
            web_proxies=web_proxies,
            auto_update=auto_update,
            update_window=window,
        )

    def _get(self, word: str, default: str = "") -> str:
        return self.values.get(PREFIX + word, default)

    def _problem(self, word: str, problem: str) -> None:
        key = word if word in self.values else PREFIX + word
        quoted = len(self.values.get(key, "")) > 1 and self.values[key][0] == self.values[key][-1] in "\"'"
        text = say("{key} {problem}", key=key, problem=problem)
        if quoted:
            text = say("{problem} (quotes are not taken off: write the value without them)", problem=text)
        self.problems.append(
            say("line {line}: {problem}", line=self.lines[key], problem=text) if key in self.lines else text
        )

    def _check(self) -> None:
        insecure = self._get("INSECURE")
        if insecure not in ("", "plain-http"):
            self._problem("INSECURE", say("may only be plain-http"))
        for word in ("API_BASE", "CONFIG_URL"):
            if (url := self._get(word)) and (problem := _url_problem(url, insecure=insecure == "plain-http")):
                self._problem(word, problem)
        if (network := self._get("REDE")) and not _is_network_code(network):
            self._problem("REDE", say("is not the code of a network, such as ACME"))
        if (token := self._get("TOKEN")) and not _TOKEN.fullmatch(token):
            self._problem("TOKEN", say("is not a token: only letters, digits and . _ ~ + / = - are allowed"))
        if (agent := self._get("AGENT_ID")) and not _is_uuid(agent):
            self._problem("AGENT_ID", say("must be a UUID"))
        if self._get("LOG_FORMAT") not in ("", "json", "console"):
            self._problem("LOG_FORMAT", say("may be json or console"))
        if self.values.get("RUN_MODE", "daemon") != "daemon":
            self._problem("RUN_MODE", say("may only be daemon: a single action is started by the wrapper `-run`"))
        if not _zone_known(self.values.get("TZ", "UTC")):
            self._problem("TZ", say("is not a time zone, such as America/Sao_Paulo"))
        if not self.values.get("DOCKER_HOST", "unix:///").startswith("unix:///"):
            self._problem("DOCKER_HOST", say("may only be a unix:/// socket"))
        self._check_container()

    def _check_container(self) -> None:
        network = self._get("DOCKER_NETWORK", "bridge")
        if not _NETWORK.fullmatch(network) or network == "none":
            self._problem("DOCKER_NETWORK", say("must be bridge, host or the name of a network"))
        for word in ("TOKEN_FILE", "CA_PATH"):
            path = self._get(word, f"{CONFIG}/x")
            if not path.startswith(f"{CONFIG}/") or ".." in path.split("/"):
                self._problem(word, say("must be a file in {folder}, where the container has it", folder=CONFIG))
        if self._get("CONFIG_PATH", CONFIG).rstrip("/") not in _CONFIG_PATHS:
            self._problem(
                "CONFIG_PATH", say("may only be {folder}: the folder is fixed in the container", folder=CONFIG)
            )
        if self._get("DATA_PATH", DATA).rstrip("/") != DATA:
            self._problem("DATA_PATH", say("may only be {folder}: the folder is fixed in the container", folder=DATA))

    def _reference(self, word: str, default: str) -> Reference | None:
        text = self._get(word, default)
        if not text:
            self._problem(word, say("is missing"))
            return None
        try:
            return parse_reference(text)
        except ValueError:
            self._problem(word, say("is not a reference to an image, such as registry.example/name:stable"))
            return None

    def _yes_or_no(self, word: str, *, default: bool) -> bool:
        text = self._get(word)
        if text not in ("", "yes", "no"):
            self._problem(word, say("may only be yes or no"))
        return {"yes": True, "no": False}.get(text, default)

    def _web_proxies(self) -> WebProxySettings:
        found = {word: self._web_proxy(word) for word in ("HTTPS_PROXY", "HTTP_PROXY")}
        direct: tuple[str, ...] = ()
        try:
            direct = parse_direct(self._get("NO_PROXY"))
        except ValueError as error:
            self._problem("NO_PROXY", str(error))
        return WebProxySettings(
            given=any(self._get(word) for word in found),
            https=found["HTTPS_PROXY"],
            http=found["HTTP_PROXY"],
            direct=direct,
            private=self._yes_or_no("PROXY_PRIVATE", default=False),
        )

    def _web_proxy(self, word: str) -> WebProxy | None:
        text = self._get(word)
        if text in ("", NO_WEB_PROXY):
            return None
        try:
            return parse_web_proxy(text)
        except ValueError as error:
            self._problem(word, str(error))
            return None

    def _update_window(self, interval: int) -> UpdateWindow | None:
        text = self._get("UPDATE_WINDOW")
        if not text:
            return None
        try:
            window = parse_update_window(text)
        except ValueError as error:
            self._problem("UPDATE_WINDOW", str(error))
            return None
        if window.seconds < interval:
            self._problem(
                "UPDATE_WINDOW",
                say(
                    "is shorter than {interval} s, so Watchtower might never look inside of it: make it longer, or lower {key}",
                    interval=interval,
                    key=f"{PREFIX}WATCHTOWER_INTERVAL",
                ),
            )
        return window

    def _interval(self) -> int:
        text = self._get("WATCHTOWER_INTERVAL", str(DEFAULT_INTERVAL))
        seconds = whole(text, MIN_INTERVAL, MAX_INTERVAL)
        if seconds is not None:
            return seconds
        self._problem(
            "WATCHTOWER_INTERVAL",
            say("must be {least} to {most} seconds", least=MIN_INTERVAL, most=MAX_INTERVAL),
        )
        return DEFAULT_INTERVAL


def _url_problem(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is not a number raises here
    except ValueError:
        return say("is not a valid URL")
    if parts.scheme not in ("http", "https") or not host:
        return say("must begin with https://")
    if parts.username or parts.password:
        return say("must not contain a password: the token has a file of its own")
    if not insecure and is_clear(url):
        return say("would send the token in clear text: use https, or {prefix}INSECURE=plain-http", prefix=PREFIX)
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
