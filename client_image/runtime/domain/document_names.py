"""Names of actions where a network's document writes them, in `actions` and `overrides`: any name counts, as on a command line.

Pure. The rules are in :mod:`contracts.action_names`; here they speak of the proxy's own actions, and what cannot be taken is a
UsageFault.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from contracts import action_names
from contracts.config import ActionSettings, NetworkConfig
from runtime.domain.action import Action
from runtime.domain.errors import UsageFault
from runtime.domain.providers import Provider

if TYPE_CHECKING:  # which itself imports this
    from runtime.domain.catalogue import Actions


def names_of(actions: Actions, providers: Mapping[str, Provider], provider: str | None = None) -> Mapping[str, str]:
    """Every name -> canonical name. Providers' own names count where they are clear; those of ``provider`` before the others'."""
    return action_names.names_of(actions.names, {key: one.actions for key, one in providers.items()}, provider)


def settings_of(action: Action, config: NetworkConfig, names: Mapping[str, str]) -> ActionSettings | None:
    """What the document says of an action, under all of its names together. Raises UsageFault when they contradict each other."""
    with _as_usage():
        return action_names.settings_of(action.name, action.params.ADDS, config, names)


def replacement_of(
    canonical: str, provider: str, config: NetworkConfig, names: Mapping[str, str], shipped: Mapping[str, str]
) -> str:
    """The name of what runs instead of an action on this provider's hosts, its own where nothing does. Raises UsageFault when two
    keys for the action contradict each other."""
    with _as_usage():
        return action_names.replacement_of(canonical, provider, config, names, shipped)


def require_no_stronger(provider: str, asked: Action, new: Action) -> None:
    """Raises UsageFault for an override that does more than what was asked for."""
    with _as_usage():
        action_names.require_no_stronger(provider, (asked.name, asked.effect), (new.name, new.effect))


@contextlib.contextmanager
def _as_usage() -> Iterator[None]:
    try:
        yield
    except action_names.Contradiction as found:
        raise UsageFault(found.reason, found.message, found.advice) from None
