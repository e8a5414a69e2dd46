"""Reads `flageemonitor.env`: UTF-8, one KEY=value a line, every key known and given once. Pure; the meaning is in settings.

The wrappers read the same file by key with sed, so what only one of the two would understand is an error here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

NEW, OLD = "FLAGEEMONITOR_", "ARIUSMONITOR_"
PLAIN = ("RUN_MODE", "TZ", "DOCKER_HOST")
# What only the host's side reads; the rest of the file goes to the runtime, see runtime.settings.
OF_THE_HOST: Mapping[str, str] = {
    "FLAGEEMONITOR_IMAGE": "Image that this host runs, by tag or digest.",
    "FLAGEEMONITOR_WATCHTOWER_IMAGE": "Image of Watchtower, or of what speaks its labels and settings.",
    "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "Seconds between Watchtower's looks for a new image, 30 to 604800.",
    "FLAGEEMONITOR_DOCKER_NETWORK": "Docker network of the proxy: bridge (default), host, or a name.",
    "DOCKER_HOST": "unix:// socket of the engine, where it is not the default one.",
    "TZ": "Zone of the container's own clock, an IANA name; jobs go by the zone of the network's document.",
}
WORDS = (
    *("REDE", "API_BASE", "CONFIG_URL", "CONFIG_PATH", "DATA_PATH", "IMAGE", "RUNTIME_NAME", "WATCHTOWER_IMAGE"),
    *("WATCHTOWER_INTERVAL", "AGENT_ID", "TOKEN_FILE", "TOKEN", "CA_PATH", "DOCKER_NETWORK", "INSECURE", "LOG_FORMAT"),
)
KNOWN = (*(NEW + word for word in WORDS), *PLAIN)
# First-generation names -> ours; read where ours is absent.
LEGACY: Mapping[str, str] = {**{OLD + word: NEW + word for word in WORDS}, f"{OLD}API_URL": f"{NEW}API_BASE"}
# What the first generation wrote of its own container: its file must not stop an upgrade, and nothing here can use them.
IGNORED_WORDS = ("CONTAINER_ROOT", "CONFIG_CONF", "CONFIG_REFRESH")
IGNORED = tuple(prefix + word for prefix in (NEW, OLD) for word in IGNORED_WORDS)

_TAKEN = frozenset((*KNOWN, *LEGACY, *IGNORED))

MAX_BYTES = 65536
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """``values``: by our names, empty ones left out. ``lines``: the line that each came from. ``problems``, and ``notes`` of what
    has no effect: sentences."""

    values: Mapping[str, str]
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def parse(raw: bytes) -> EnvFile:
    """Never raises. A problem names its line and never shows a value, which may be a token."""
    if len(raw) > MAX_BYTES:
        return EnvFile({}, {}, (f"the file has {len(raw)} bytes: {MAX_BYTES} are the limit",))
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
        for key in IGNORED
        if key in given
    )
    return EnvFile(*_ours(given), tuple(problems), tuple(notes))


def _ours(given: Mapping[str, tuple[int, str]]) -> tuple[dict[str, str], dict[str, int]]:
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    # Ours first: a legacy name only fills what is still missing.
    for key, (number, value) in sorted(given.items(), key=lambda item: item[0] in LEGACY):
        name = LEGACY.get(key, key)
        if value and name not in values and key not in IGNORED:
            values[name], lines[name] = value, number
    return values, lines


def _key_problem(key: str, equals: str) -> str:
    if not equals:
        return "no KEY=value"
    if key in _TAKEN:
        return ""
    bare = key.strip().removeprefix("export ").strip()
    if bare != key and bare in _TAKEN:
        return f"write {bare}=value, with nothing before the key and no space around ="
    if not _KEY.fullmatch(key):
        return "no KEY=value"
    near = difflib.get_close_matches(key.upper(), (*KNOWN, *LEGACY), n=1, cutoff=0.75)
    return f"{key} is not a known key" + (f"; did you mean {near[0]}?" if near else "")
