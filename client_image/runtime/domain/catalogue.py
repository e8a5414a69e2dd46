"""Finds an action by any of its names. Built once from the registry; every later lookup is by canonical name.

Canonical names and aliases come from the actions' own declarations, provider names from the providers' files (W-57, W-58).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel

from contracts.config import Level
from contracts.secret import sounds_secret
from contracts.text import one_of, say
from contracts.visible import quoted
from runtime.domain.action import Action, LegacyOption, is_secret
from runtime.domain.document_names import names_of
from runtime.domain.errors import UsageFault
from runtime.domain.fitting import misfits
from runtime.domain.providers import Provider


@dataclass(frozen=True, slots=True)
class Actions:
    """``by_name``: canonical name -> action; ``names`` maps every canonical name and alias to its canonical name."""

    by_name: Mapping[str, Action]
    names: Mapping[str, str]

    def resolve(self, asked: str, external: Mapping[str, str]) -> Action:
        """The action that is meant. ``external``: providers' own names. Raises UsageFault with the nearest ones."""
        name = asked.strip().lower()
        canonical = self.names.get(name) or external.get(name)
        if canonical is None:
            raise UsageFault(
                "unknown_action", say("unknown action {action}", action=asked), nearest(name, [*self.names, *external])
            )
        return self.by_name[canonical]

    def legacy_options(self) -> Mapping[str, tuple[LegacyOption, tuple[Action, ...]]]:
        """Every option of the first generation, with the actions that declare it."""
        found: dict[str, tuple[LegacyOption, tuple[Action, ...]]] = {}
        for action in self.by_name.values():
            for one in action.legacy:
                found[one.option] = (one, (*found.get(one.option, (one, ()))[1], action))
        return found

    def override(self, canonical: str, replacement: str) -> Action:
        """The action that a network or provider names instead of another. One step only, so no loops. Raises UsageFault."""
        target = self.names.get(replacement)
        if target is None:
            raise UsageFault(
                "bad_override",
                say("the override of {action} names the unknown action {other}", action=canonical, other=replacement),
                say("correct `overrides`"),
            )
        return self.by_name[target]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the image carries: actions, providers, and the minimum level of each action."""

    actions: Actions
    providers: Mapping[str, Provider]
    minimums: Mapping[str, Level]

    def names(self, provider: str | None = None) -> Mapping[str, str]:
        """Every name that a document may use -> canonical name; ``provider``: whose own names go before other providers'."""
        return names_of(self.actions, self.providers, provider)


def nearest(name: str, names: Iterable[str]) -> str:
    """Advice for an unknown name."""
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    if near:
        return say("did you mean {names}?", names=one_of(near))
    return say("`flageemonitor-run actions` lists every name")


def build(actions: Iterable[Action]) -> Actions:
    """Raises ValueError for mistakes of ours, which a test finds: a name that two actions claim, a declaration that does not fit
    its target, a parameter that sounds like a secret and is not typed as one, an option of the first generation that does not
    fit."""
    options: dict[str, LegacyOption] = {}
    by_name: dict[str, Action] = {}
    names: dict[str, str] = {}
    for action in actions:
        for name in (action.name, *action.aliases):
            if name in names:
                raise ValueError(f"{quoted(name)} is claimed by {names[name]} and {action.name}")
            names[name] = action.name
        by_name[action.name] = action
        for misfit in misfits(action):
            raise ValueError(f"{action.name}: {misfit}")
        for one in action.legacy:
            if options.setdefault(one.option, one) != one:
                raise ValueError(f"{action.name}: {one.option} is declared differently by another action")
            if action.available and one.parameter not in action.params.model_fields:
                raise ValueError(f"{action.name}: {one.option} sets {one.parameter}, which is no parameter of it")
        for path in _untyped_secrets(action.params, action.params.NOT_SECRET):
            raise ValueError(
                f"{action.name}: the parameter {path} sounds like a secret: type it as Secret, so that it is never shown or "
                "stored, or name it in NOT_SECRET"
            )
    return Actions(MappingProxyType(by_name), MappingProxyType(names))


def _untyped_secrets(params: type[BaseModel], known: frozenset[str], prefix: str = "") -> Iterator[str]:
    """Dotted paths, parts inside parts included."""
    for name, field in params.model_fields.items():
        path = prefix + name
        if sounds_secret(name) and not is_secret(field.annotation) and path not in known:
            yield path
        for part in _models_in(field.annotation):
            yield from _untyped_secrets(part, known, f"{path}.")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
