"""What a document says of an action under any of its names, in `actions` and `overrides`. Pure; used by runs and by checks.

A key that names no action refuses no run: a document may speak of an action that only a newer image has, and one slip must not
stop a network. It is an error wherever the document is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from contracts.config import ActionSettings, Effect, NetworkConfig
from contracts.text import all_of, say

STRENGTH: Mapping[Effect, int] = {"read": 0, "change": 1, "disrupt": 2}


class Contradiction(Exception):
    """Two keys of the document are one action and say different things. ``reason``: contradiction or bad_override."""

    def __init__(self, reason: str, message: str, advice: str) -> None:
        super().__init__(message)
        self.reason, self.message, self.advice = reason, message, advice


def names_of(
    ours: Mapping[str, str], external: Mapping[str, Mapping[str, str]], provider: str | None = None
) -> dict[str, str]:
    """``ours``: canonical names and aliases; ``external``: provider -> its own names, which count where they are clear."""
    meanings: dict[str, set[str]] = {}
    for names in external.values():
        for name, canonical in names.items():
            meanings.setdefault(name, set()).add(canonical)
    clear = {name: next(iter(found)) for name, found in meanings.items() if len(found) == 1}
    own = external.get(provider, {}) if provider is not None else {}
    return {**clear, **own, **ours}


def settings_of(
    action: str, adds: Collection[str], config: NetworkConfig, names: Mapping[str, str]
) -> ActionSettings | None:
    """What the document says of an action, under all of its names together; ``adds``: its lists that add up. Raises
    Contradiction when they differ."""
    keys = [key for key in config.actions if names.get(key) == action]
    enabled: bool | None = None
    params: dict[str, Any] = {}
    differ: list[str] = []
    for key in keys:
        settings = config.actions[key]
        if "enabled" in settings.model_fields_set:
            if enabled not in (None, settings.enabled):
                differ.append("enabled")
            enabled = settings.enabled
        for name, value in settings.params.items():
            base = params.setdefault(name, value)
            if base == value:
                continue
            if name in adds and isinstance(base, list) and isinstance(value, list):
                params[name] = [*base, *value]
            else:
                differ.append(f"params.{name}")
    if differ:
        raise Contradiction(
            "contradiction",
            say(
                "{keys} are one action, {action}, and differ in {parts}",
                keys=all_of([f"actions.{key}" for key in keys]),
                action=action,
                parts=", ".join(dict.fromkeys(differ)),
            ),
            say("keep actions.{action} alone", action=action),
        )
    return ActionSettings(enabled=enabled is not False, params=params) if keys else None


def replacement_of(
    action: str, provider: str, config: NetworkConfig, names: Mapping[str, str], shipped: Mapping[str, str]
) -> str:
    """The name of what runs instead of an action on this provider's hosts, its own where nothing does. The document's word goes
    before the ``shipped`` one of the provider's file. Raises Contradiction when two keys for the action differ."""
    written = {key: new for key, new in config.overrides.get(provider, {}).items() if names.get(key) == action}
    meant = {names.get(new, new) for new in written.values()}
    if len(meant) > 1:
        raise Contradiction(
            "bad_override",
            say(
                "{keys} are one action, {action}, with different replacements",
                keys=all_of([f"overrides.{provider}.{key}" for key in written]),
                action=action,
            ),
            say("keep overrides.{provider}.{action} alone", provider=provider, action=action),
        )
    return next(iter(meant), shipped.get(action, action))


def require_no_stronger(provider: str, asked: tuple[str, Effect], new: tuple[str, Effect]) -> None:
    """An override may not do more than the action that was asked for; both with their effects. Raises Contradiction."""
    if STRENGTH[new[1]] > STRENGTH[asked[1]]:
        raise Contradiction(
            "bad_override",
            say(
                "provider {provider} overrides {asked} ({effect}) by {new}, which does more: {new_effect}",
                provider=provider,
                asked=asked[0],
                effect=asked[1],
                new=new[0],
                new_effect=new[1],
            ),
            say("an override may not be stronger than what was asked for; correct `overrides`"),
        )


def merged(base: Mapping[str, Any], given: Mapping[str, Any], adds: Collection[str]) -> dict[str, Any]:
    """Parameters of a network with those of a run: the run's own count, but for lists to which it can only add.

    Where the network's own is no list, it stays: a run with it is refused, and replacing it would lose a protection.
    """
    values = dict(base)
    for name, value in given.items():
        before = values.get(name)
        if name not in adds or before is None:
            values[name] = value
        elif isinstance(before, list | tuple):
            values[name] = [*before, *value] if isinstance(value, list | tuple) else value
    return values


def default_at(config: NetworkConfig, path: str) -> Any:
    """The document's value at a dotted path of its schema; None where a part of the way is not given."""
    value: Any = config
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value
