"""Finds an action by any of its names. Built once from the registry; every later lookup is by canonical name.

Canonical names and aliases come from the actions' own declarations, provider names from the providers' files (W-57, W-58).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from runtime.core.action import Action
from runtime.core.errors import UsageFault


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``actions`` by canonical name; ``names`` maps every canonical name and alias to its canonical name."""

    actions: Mapping[str, Action]
    names: Mapping[str, str]

    def resolve(
        self, asked: str, provider: str | None, external: Mapping[str, str], overrides: Mapping[str, str]
    ) -> Action:
        """The action to run. ``external``: the provider's own names; ``overrides``: canonical -> replacement.

        Raises UsageFault for a name nobody knows (with the nearest ones) and for an override that leads nowhere.
        """
        name = asked.strip().lower()
        canonical = self.names.get(name) or external.get(name)
        if canonical is None:
            raise UsageFault("unknown_action", f"unknown action {asked!r}", self._advice(name, provider, external))
        return self.override(canonical, overrides)

    def override(self, canonical: str, overrides: Mapping[str, str]) -> Action:
        """The replacement that a network or provider names for an action, or the action itself. One step only, so no loops."""
        replacement = overrides.get(canonical, canonical)
        target = self.names.get(replacement)
        if target is None:
            raise UsageFault(
                "bad_override",
                f"the override of {canonical} names the unknown action {replacement!r}",
                "correct `overrides`",
            )
        return self.actions[target]

    def _advice(self, name: str, provider: str | None, external: Mapping[str, str]) -> str:
        near = difflib.get_close_matches(name, [*self.names, *external], n=3, cutoff=0.6)
        if near:
            return f"did you mean {' or '.join(near)}?"
        where = f" of provider {provider}" if provider and not external else ""
        return f"`flageemonitor-run actions` lists every name{where}"


def build(actions: Iterable[Action]) -> Catalogue:
    """Raises ValueError when two actions claim one name: a mistake of ours that a test finds, not the user's."""
    by_name: dict[str, Action] = {}
    names: dict[str, str] = {}
    for action in actions:
        for name in (action.name, *action.aliases):
            if name in names:
                raise ValueError(f"{name!r} is claimed by {names[name]} and {action.name}")
            names[name] = action.name
        by_name[action.name] = action
    return Catalogue(MappingProxyType(by_name), MappingProxyType(names))
