"""Keys of schema 2 beside those of the first generation, where both speak of one part: joined, so that no protection is lost.

Pure; called by :func:`contracts.legacy.translate`. Where one value can only replace the other, schema 2 holds, and a note says
what was replaced: at level danger when it kept something from being touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from contracts.address import parse_address
from contracts.legacy_values import Old
from contracts.text import one_of, say

# Lists that only ever keep hosts out: both hold.
_ADD_UP = re.compile(r"actions\.shutdown_endpoint\.params\.exceptions|inventory\.exclude_templates")
# Values that say what may be touched, and the keys they were translated from.
_PROTECTIONS = (
    (re.compile(r"actions\.shutdown_endpoint\.params\.windows"), "shutdown_window"),
    (re.compile(r"rollout\.[^.]+\.percent"), one_of(("PARAM_PROVIDER_ROLLOUT", "PARAM_ROLLOUT_<PROVIDER>"))),
    (re.compile(r"overrides\..+"), "PARAM_PROVIDER_ACTION_OVERRIDES"),
    (re.compile(r"compatibility\.mode"), "PARAM_COMPATIBILITY_MODE"),
    (re.compile(r"network"), "PARAM_REDE"),
)


def joined(old: Old, translated: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """``translated`` and the ``written`` parts of schema 2 as one document. What has the wrong type is put through."""
    result = dict(translated)
    for part, value in written.items():
        made = translated.get(part)
        if made is None or made in ({}, []):
            old.note("info", part, say("a key of schema 2: taken as it is"))
            result[part] = value
        elif part in _JOINED:
            old.note("info", part, say("a key of schema 2: joined with what the translation makes of this part"))
            result[part] = _JOINED[part](old, part, made, value)
        else:
            old.note("info", part, say("a key of schema 2: it replaces what the translation makes of this part"))
            result[part] = value
            if made != value:
                _say(old, part, made)
    return result


def _one(old: Old, path: str, made: Any, written: Any) -> Any:
    """One value where there were two."""
    if written is None:
        return made
    if isinstance(made, dict) and isinstance(written, dict):
        return made | {
            key: _one(old, f"{path}.{key}", made[key], value) if key in made else value
            for key, value in written.items()
        }
    if _ADD_UP.fullmatch(path) and isinstance(written, list):
        return [*made, *(item for item in written if item not in made)]
    if made != written:
        _say(old, path, made)
    return written


def _say(old: Old, path: str, made: Any) -> None:
    for protection, key in _PROTECTIONS:
        # Without its own key a window is the first generation's default, which nobody asked for.
        if protection.fullmatch(path) and not (key == "shutdown_window" and not old.has(key)):
            old.note(
                "danger",
                path,
                say(
                    "replaces what {key} says: {value}; is that meant? Keep one of the two", key=key, value=_short(made)
                ),
            )
            return
    if "." in path:
        old.note("info", path, say("replaces what the translation makes of it"))


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    if isinstance(value, dict):
        return "-".join(str(value[key]) for key in ("start", "end") if key in value)
    return str(value)[:80]


def _inventory(old: Old, path: str, made: Any, written: Any) -> Any:
    """An inventory is written whole; only hosts that were left out stay so."""
    excluded = made.get("exclude_templates")
    if not excluded or not isinstance(written, dict):
        return written
    if written.get("kind") == "zabbix":
        own = written.get("exclude_templates", [])
        return written | {"exclude_templates": _one(old, f"{path}.exclude_templates", excluded, own)}
    text = say(
        "what EXCLUDE_TEMPLATE_IDS left out ({templates}) is not left out: only an inventory of kind zabbix can",
        templates=_short(excluded),
    )
    old.note("danger", path, text)
    return written


def _concentrators(old: Old, path: str, made: Any, written: Any) -> Any:
    """Every concentrator of either list is one; what schema 2 says about the same address goes before."""
    if not isinstance(written, list):
        return written
    own = {_address(item): item for item in written if isinstance(item, dict)}
    kept = {_address(item): item for item in made}
    both = [
        kept[_address(item)] | item if isinstance(item, dict) and _address(item) in kept else item for item in written
    ]
    return [*both, *(item for address, item in kept.items() if address not in own)]


def _address(item: dict[str, Any]) -> str:
    try:
        return str(parse_address(str(item.get("address")).strip()))
    except ValueError:
        return str(item.get("address"))


_JOINED: Mapping[str, Callable[[Old, str, Any, Any], Any]] = {
    "actions": _one,
    "rollout": _one,
    "overrides": _one,
    "compatibility": _one,
    "inventory": _inventory,
    "concentrators": _concentrators,
}
