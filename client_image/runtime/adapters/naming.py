"""What the names and tags of a host say, read alike for every inventory. Called by the inventories alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.config import NetworkConfig, Role
from runtime.domain.names import RoleWords, belongs, parse_name, role_of
from runtime.domain.providers import Provider, provider_of

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Described:
    """``ours`` is False for a name that says another network."""

    ours: bool
    provider: str
    role: Role
    store: int | None
    terminal: int | None


@dataclass(frozen=True, slots=True)
class Naming:
    """The network, its default provider, and each provider's own words for roles."""

    network: str
    provider: str
    words: Mapping[str, RoleWords]

    def describe(
        self, name: str, display_name: str, tags: Tags, *, provider: str | None = None, role: Role | None = None
    ) -> Described:
        """``provider`` and ``role``: said outright, so they win over tags; no word unsays a sign of a protected host."""
        house = provider or provider_of(tags, self.provider)
        words = self.words.get(house)
        read = parse_name(name, words)
        signs: Iterable[tuple[str, str]] = tags if role is None else (*tags, ("role", role))
        return Described(
            ours=belongs(name, self.network, words),
            provider=house,
            role=role_of(name, display_name=display_name, tags=signs, extra=words),
            store=read.store,
            terminal=read.terminal,
        )


def naming(config: NetworkConfig, providers: Mapping[str, Provider]) -> Naming:
    return Naming(config.network, config.provider, {name: provider.roles for name, provider in providers.items()})
