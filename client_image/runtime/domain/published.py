"""The proxy's actions and providers as the catalogue that both sides read (`contracts/catalogue.json`). Pure.

Called by `make schema`, which writes the file, by `config check`, and by the self test of an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts.catalogue import ActionEntry, Catalogue, ProviderEntry
from runtime.domain.action import Action
from runtime.domain.providers import Provider


def publish(actions: Iterable[Action], providers: Mapping[str, Provider]) -> Catalogue:
    """What the declarations say, without code: no scripts, no decisions."""
    return Catalogue(
        actions={action.name: _entry(action) for action in actions},
        providers={
            name: ProviderEntry(
                default_rollout=one.default_rollout, actions=dict(one.actions), overrides=dict(one.overrides)
            )
            for name, one in providers.items()
        },
    )


def _entry(action: Action) -> ActionEntry:
    params = action.params
    schema = params.model_json_schema() if action.available else {}
    schema.pop("description", None)  # the docstring, which is for readers of the code
    return ActionEntry(
        aliases=action.aliases,
        version=action.version,
        available=action.available,
        effect=action.effect,
        target=action.target,
        roles=tuple(sorted(action.roles)),
        summary=action.summary,
        does=action.does,
        parameters=schema,
        adds=tuple(sorted(params.ADDS)),
        protects=tuple(sorted(params.PROTECTS)),
        windows=params.WINDOWS,
        defaults=dict(action.defaults),
        legacy_flags={one.option: one.parameter for one in action.legacy},
    )
