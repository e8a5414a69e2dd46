"""The environment file as text: its keys, its lines, and lines set aside for an older image. Pure; `environment` has its meaning.

UTF-8, one KEY=value a line, every key known and given once. The wrappers read the same file by key with sed, so what only one of
the two would understand is an error here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.text import say

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
_LATER_WORDS = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PROXY_PRIVATE",
    "AUTO_UPDATE",
    "UPDATE_WINDOW",
    "STATSD",
    "OTLP",
)
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


@dataclass(frozen=True, slots=True)
class EnvFile:
    """``values``: by our names, without empty ones. ``lines``: where each stood. ``problems``; ``notes``: on keys without
    effect; ``unknown``: on keys that perhaps a later release knows."""

    values: Mapping[str, str]
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


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
