"""What both sides know of actions and providers: names, effects, parameters. Generated as `contracts/catalogue.json`.

The proxy makes it from the actions' own declarations (`make schema` writes the file, `make check` compares); the control plane
reads the file, because it never imports the proxy. Pure: the caller of :func:`parse_catalogue` reads the text.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from contracts.action_names import names_of
from contracts.bounded import read_json
from contracts.config import ActionName, Effect, Part, ProviderId, Role
from contracts.parameters import secrets_of
from contracts.text import one_of, say

FILE = "catalogue.json"
FORMAT: Literal[1] = 1


class ActionEntry(Part):
    """One action. ``parameters`` is JSON Schema, see :mod:`contracts.parameters`."""

    aliases: tuple[ActionName, ...] = ()
    version: str
    available: bool = Field(description="False: this version knows the name only, and runs of it are refused")
    effect: Effect
    target: Literal["terminal", "concentrator", "network"] = "terminal"
    roles: tuple[Role, ...] = ()
    summary: str
    does: str = Field("", description="what it does to a terminal, as a verb: powers off")
    parameters: dict[str, Any] = Field(default_factory=dict)
    adds: tuple[str, ...] = Field((), description="lists to which a job adds, and never takes away from")
    protects: tuple[str, ...] = Field((), description="lists of hosts that are left alone")
    windows: str = Field("", description="the parameter that says when the action may work")
    defaults: dict[str, str] = Field(
        default_factory=dict, description="parameter -> path in the document of its default"
    )
    legacy_flags: dict[str, str] = Field(
        default_factory=dict, description="option of the first generation -> parameter"
    )


class ProviderEntry(Part):
    """``actions``: the house's own name -> canonical name; ``overrides``: canonical -> canonical."""

    default_rollout: Decimal = Decimal(0)
    actions: dict[ActionName, ActionName] = Field(default_factory=dict)
    overrides: dict[ActionName, ActionName] = Field(default_factory=dict)


class Catalogue(Part):
    """Actions by canonical name, providers by id."""

    format: Literal[1] = FORMAT
    actions: dict[ActionName, ActionEntry]
    providers: dict[ProviderId, ProviderEntry]

    def harmless_parameters(self) -> frozenset[str]:
        """Names of parameters whose values may be shown: declared by an action, and a secret of none."""
        entries = self.actions.values()
        declared = {name for entry in entries for name in entry.parameters.get("properties", {})}
        return frozenset(declared.difference(*(secrets_of(entry.parameters) for entry in entries)))

    def names(self, provider: str | None = None) -> dict[str, str]:
        """Every name that a document may use -> canonical name; those of ``provider`` go before other providers' own."""
        ours = {name: key for key, entry in self.actions.items() for name in (key, *entry.aliases)}
        own = {key: one.actions for key, one in self.providers.items()}
        return names_of(ours, own, provider)


def near(name: str, names: Iterable[str]) -> str:
    """ "did you mean …?", or nothing when no name is close."""
    found = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return say("did you mean {names}?", names=one_of(found)) if found else ""


def parse_catalogue(text: str) -> Catalogue:
    """Raises pydantic's ValidationError: the file belongs to the image, so this is a mistake of its build."""
    return Catalogue.model_validate(read_json(text))


def render_catalogue(catalogue: Catalogue) -> str:
    """The text of the file: keys sorted, so that a difference shows what changed and nothing else."""
    data = catalogue.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"format": FORMAT, **data}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
