"""Through which HTTP proxy this host's containers go: the one place that decides it. Pure; called by specification and the verbs.

One rule: what the environment file says counts. Where it names no HTTP proxy, the engine's own configuration counts, because that
is what pulls the image. Both are there in every call, by hand or by the timer. The environment of whoever calls, and docker's
client configuration, are not: the installation copies them into the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.secret import Secret
from contracts.text import say
from contracts.web_proxy import LOOPBACK, PRIVATE, Outbound, WebProxy, parse_direct, parse_web_proxy
from runtime.deployment.engine import EngineFacts
from runtime.deployment.environment import WebProxySettings
from runtime.deployment.environment_lines import PREFIX

ENVIRONMENT_FILE, ENGINE = "environment_file", "engine"
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
ALL = "ALL_PROXY"
# Docker Desktop's relay between its engine and Windows. It is always there, and not meant for containers.
_DESKTOP = ".docker.internal"
# The engine never tells a login; this stands where there is one.
_HIDDEN_LOGIN = "xxxxx"


@dataclass(frozen=True, slots=True)
class Decided:
    """``source``: `environment_file`, `engine`, or empty for none. ``unusable``: why the engine's HTTP proxy is not used here,
    one sentence each; an installation is refused for it. ``pulls``: what an operator should know of pulls."""

    outbound: Outbound = field(default_factory=Outbound)
    source: str = ""
    unusable: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.unusable, *self.pulls)

    @property
    def proxies(self) -> tuple[WebProxy, ...]:
        found = (self.outbound.https, self.outbound.http)
        return tuple(dict.fromkeys(one for one in found if one is not None))

    def environment(self) -> dict[str, str]:
        """For a container: without a login, which `docker inspect` would show to everybody who may ask the engine."""
        named = {"HTTPS_PROXY": self.outbound.https, "HTTP_PROXY": self.outbound.http}
        found = {key: proxy.address for key, proxy in named.items() if proxy is not None}
        return {**found, "NO_PROXY": ",".join(self.outbound.direct)} if found else {}

    def logins(self) -> dict[str, Secret]:
        """By host:port, for the file that the runtime reads."""
        return {proxy.place: proxy.login for proxy in self.proxies if proxy.login}

    def report(self) -> dict[str, object] | None:
        """For status and doctor, without a login; None without an HTTP proxy."""
        if not self.proxies:
            return None
        return {
            "https": self.outbound.https.address if self.outbound.https else "",
            "http": self.outbound.http.address if self.outbound.http else "",
            "direct": list(self.outbound.direct),
            "source": self.source,
            "login": bool(self.logins()),
        }


def decide(given: WebProxySettings, facts: EngineFacts) -> Decided:
    """The environment file's HTTP proxy, else the engine's."""
    direct = (*LOOPBACK, *(() if given.private else PRIVATE), *given.direct)
    if given.given:
        source = ENVIRONMENT_FILE if given.https or given.http else ""
        return Decided(Outbound(given.https, given.http, direct), source, pulls=_pull_notes(given, facts))
    https, https_note = _of_engine("HTTPS_PROXY", facts.https_proxy)
    http, http_note = _of_engine("HTTP_PROXY", facts.http_proxy)
    same = facts.http_proxy == facts.https_proxy
    unusable = tuple(filter(None, (https_note, "" if same else http_note)))
    if https is None and http is None:
        return Decided(Outbound(direct=direct), unusable=unusable)
    with contextlib.suppress(ValueError):  # the engine takes what it understands of it; we take all or nothing
        direct += parse_direct(facts.no_proxy)
    return Decided(Outbound(https, http, direct), ENGINE, unusable)


def _of_engine(key: str, text: str) -> tuple[WebProxy | None, str]:
    """The engine's HTTP proxy, or why it cannot be used here."""
    if not text.strip():
        return None, ""
    try:
        found = parse_web_proxy(text)
        if found.place.partition(":")[0].endswith(_DESKTOP):
            return None, ""
    except ValueError as error:
        return None, say(
            "the engine's HTTP proxy is not used by our containers, because it {problem}; set {key} in the environment file",
            problem=str(error),
            key=PREFIX + key,
        )
    if found.login is not None and found.login.reveal().startswith(_HIDDEN_LOGIN):
        return None, say(
            "the engine's HTTP proxy {address} needs a login, which the engine does not tell, so our containers do not use it; "
            "set {key}=http://user:password@{place} in the environment file, or none",
            address=found.address,
            key=PREFIX + key,
            place=found.place,
        )
    return found, ""


def _pull_notes(given: WebProxySettings, facts: EngineFacts) -> tuple[str, ...]:
    """Images are pulled by the engine, which knows nothing of our file."""
    if given.https is not None and not (facts.https_proxy or facts.http_proxy):
        return (
            say(
                "images are pulled by the engine, which has no HTTP proxy of its own: where a pull fails, set HTTPS_PROXY for "
                "the Docker service (`systemctl edit docker`) or `proxies` in its daemon.json, then restart it"
            ),
        )
    return ()


def found_by_installer(environ: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    """Keys to add to the environment file (``there``: its values) from the environment of whoever installs, to which docker adds
    its client configuration's. Nothing where the file says something of HTTP proxies already.

    ALL_PROXY counts where neither HTTPS_PROXY nor HTTP_PROXY is there.

    Raises ValueError, with a sentence that names the variable and never shows its value.
    """
    if any(PREFIX + key in there for key in VARIABLES[:2]):
        return {}
    given = {key: (environ.get(key.lower()) or environ.get(key) or "").strip() for key in (*VARIABLES, ALL)}
    of_all = given.pop(ALL)
    named = dict.fromkeys(VARIABLES[:2], ALL) if of_all and not any(given[key] for key in VARIABLES[:2]) else {}
    given |= dict.fromkeys(named, of_all)
    found: dict[str, str] = {}
    for key, text in given.items():
        try:
            if key == "NO_PROXY":
                value = ",".join(parse_direct(text)) if found and PREFIX + key not in there else ""
            else:
                value = parse_web_proxy(text).with_login() if text else ""
        except ValueError as error:
            raise ValueError(
                say("{key} in the environment {problem}", key=named.get(key, key), problem=str(error))
            ) from error
        if value:
            found[PREFIX + key] = value
    return found
