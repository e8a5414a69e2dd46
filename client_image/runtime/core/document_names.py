"""Names of actions where a network's document writes them, in `actions` and `overrides`: any name counts, as on a command line.

Pure. The pipeline and `explain` ask what holds, `config check` (so doctor and the daemon's log) what cannot be taken as it is.
A key that names no action refuses no run: a document may speak of an action that only a newer image has, and one slip must not
stop a network. It is an error wherever the document is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.config import ActionSettings, NetworkConfig
from runtime.core.action import Action
from runtime.core.catalogue import Catalogue
from runtime.core.errors import UsageFault
from runtime.core.providers import Provider


def names_of(catalogue: Catalogue, providers: Mapping[str, Provider], provider: str | None = None) -> Mapping[str, str]:
    """Every name -> canonical name. Providers' own names count where they are clear; those of ``provider`` before the others'."""
    meanings: dict[str, set[str]] = {}
    for one in providers.values():
        for name, canonical in one.actions.items():
            meanings.setdefault(name, set()).add(canonical)
    clear = {name: found.pop() for name, found in meanings.items() if len(found) == 1}
    own = providers[provider].actions if provider is not None and provider in providers else {}
    return {**clear, **own, **catalogue.names}


def settings_of(action: Action, config: NetworkConfig, names: Mapping[str, str]) -> ActionSettings | None:
    """What the document says of an action, under all of its names together. Raises UsageFault when they contradict each other."""
    keys = [key for key in config.actions if names.get(key) == action.name]
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
            if name in action.params.ADDS and isinstance(base, list) and isinstance(value, list):
                params[name] = [*base, *value]
            else:
                differ.append(f"params.{name}")
    if differ:
        raise UsageFault(
            "contradiction",
            f"{' and '.join(f'actions.{key}' for key in keys)} are one action, {action.name}, and differ in "
            f"{', '.join(dict.fromkeys(differ))}",
            f"keep actions.{action.name} alone",
        )
    return ActionSettings(enabled=enabled is not False, params=params) if keys else None


def replacement_of(
    canonical: str, provider: str, config: NetworkConfig, names: Mapping[str, str], shipped: Mapping[str, str]
) -> str:
    """The name of what runs instead of an action on this provider's hosts, its own where nothing does. The document's word goes
    before the ``shipped`` one of the provider's file. Raises UsageFault when two keys for the action contradict each other."""
    written = {key: new for key, new in config.overrides.get(provider, {}).items() if names.get(key) == canonical}
    meant = {names.get(new, new) for new in written.values()}
    if len(meant) > 1:
        raise UsageFault(
            "bad_override",
            f"{' and '.join(f'overrides.{provider}.{key}' for key in written)} are one action, {canonical}, with different "
            "replacements",
            f"keep overrides.{provider}.{canonical} alone",
        )
    return next(iter(meant), shipped.get(canonical, canonical))
