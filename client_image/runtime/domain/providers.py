"""What a software house's `providers/<id>/provider.yaml` says, as one typed model: data, never code.

Read once by `adapters.assets`; used by the pipeline (names, overrides), the inventories (role words) and the rollout gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from contracts.config import ActionName, Identifier, Part, Percent, ProviderId, Role, Text
from contracts.text import say
from contracts.visible import quoted
from runtime.domain.data_files import DataFault, read

DEFAULT = "arius"


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts:
        raise ValueError(say("a path inside the provider's own folder is expected"))
    return path


RoleWord = Annotated[str, Field(pattern=r"^[A-Z]{2,32}$")]
InsidePath = Annotated[str, AfterValidator(_inside)]


class Provider(Part):
    """One software house. Canonical action names appear here as references only; the actions declare them."""

    id: ProviderId
    display_name: Text
    default_rollout: Percent = Decimal(0)
    roles: dict[Role, tuple[RoleWord, ...]] = Field(
        default_factory=dict,
        description="words in host names besides the fleet's own (PDV, SELF, TC, CONCENTRADOR, PROXY)",
    )
    actions: dict[ActionName, ActionName] = Field(
        default_factory=dict, description="this house's name -> canonical name"
    )
    overrides: dict[ActionName, ActionName] = Field(
        default_factory=dict, description="canonical -> the canonical action that replaces it"
    )
    assets: dict[Identifier, InsidePath] = Field(default_factory=dict, description="name -> file in this folder")
    busy_check: str = Field(
        "", description="read-only POSIX sh; its first line says why the terminal is in use, none: idle"
    )
    queries: dict[Identifier, str] = Field(
        default_factory=dict, description="name -> SQL on the concentrator's databases"
    )


def parse_provider(text: str, where: str) -> Provider:
    """``where`` names the file. Raises DataFault."""
    return read(Provider, text, where)


def check_names(provider: Provider, names: Mapping[str, str], where: str) -> None:
    """Every action that a provider names must exist, and none of its own names may mean another action elsewhere.

    ``names``: every canonical name and alias -> canonical name, as the catalogue has them. Raises DataFault.
    """
    for external, canonical in provider.actions.items():
        _canonical(canonical, names, where, f"actions.{external}")
        if names.get(external, canonical) != canonical:
            raise DataFault(where, f"actions.{external}", say("is already a name of {action}", action=names[external]))
    for replaced, replacement in provider.overrides.items():
        _canonical(replaced, names, where, f"overrides.{replaced}")
        _canonical(replacement, names, where, f"overrides.{replaced}")


def provider_of(tags: Iterable[tuple[str, str]], configured: str) -> str:
    """A host's provider: its tag ``provider``, else the configuration's, else arius. Never the command line's (W-59)."""
    tagged = next((value.strip().lower() for key, value in tags if key.lower() == "provider"), "")
    return tagged or configured or DEFAULT


def _canonical(name: str, names: Mapping[str, str], where: str, key: str) -> None:
    if name not in names:
        raise DataFault(where, key, say("unknown action {action}", action=quoted(name)))
    if names[name] != name:
        text = say("{alias} is an alias; write {action}", alias=quoted(name), action=quoted(names[name]))
        raise DataFault(where, key, text)
