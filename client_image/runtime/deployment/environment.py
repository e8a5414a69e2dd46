"""`flageemonitor.env`, the environment file: from its bytes to checked settings. Pure; called by host_files.

`environment_lines` reads it as text; here each value gets its meaning, and every problem is found at once.
"""

from __future__ import annotations

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
from contracts.export_address import parse_otlp, parse_statsd
from contracts.image_reference import Reference, parse_reference
from contracts.secret import Secret
from contracts.text import joined, say
from contracts.update_window import UpdateWindow, parse_update_window
from contracts.visible import quoted
from contracts.web_proxy import WebProxy, parse_direct, parse_web_proxy
from runtime.deployment.environment_lines import PREFIX, EnvFile, parse
from runtime.deployment.names import CONFIG, DATA, HostOs, Names, environment_file, name_problem
from runtime.deployment.results import DeployError

WATCHTOWER_IMAGE = "containrrr/watchtower:1.7.1"
DEFAULT_INTERVAL = 300
MIN_INTERVAL, MAX_INTERVAL = 30, 7 * 86400
_PASSED_ON = (
    *("REDE", "API_BASE", "CONFIG_URL", "TOKEN_FILE", "AGENT_ID", "CA_PATH", "INSECURE", "LOG_FORMAT", "UPDATE_WINDOW"),
    *("STATSD", "OTLP"),
)
NO_WEB_PROXY = "none"
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_CODE: TypeAdapter[str] = TypeAdapter(NetworkCode)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # as both installers have it
# The first generation named a file that is no longer mounted; the next refresh fetches ours.
_CONFIG_PATHS = (CONFIG, f"{CONFIG}/config_bot.json", "/flageemonitor/config_bot.json", "/ariusmonitor/config_bot.json")


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
        self._check_exports()

    def _check_exports(self) -> None:
        for word, read in (("STATSD", parse_statsd), ("OTLP", parse_otlp)):
            if address := self._get(word):
                try:
                    read(address)
                except ValueError as error:
                    self._problem(word, str(error))

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
