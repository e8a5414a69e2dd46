"""What the names and tags of a host say, read alike for every inventory. Called by the inventories alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.config import NetworkConfig, Role
from runtime.core.model import Host
from runtime.core.names import PROTECTED, RoleWords, belongs, parse_name, role_of
from runtime.core.providers import Provider, provider_of

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


def mark_shared(hosts: Sequence[Host]) -> list[Host]:
    """Tell of each host that is reached where a concentrator or proxy is: it is that machine, whatever its own name says.

    By address and port, since a store behind one address has a port for each machine. Called with every host that the inventory
    has, before any is left out (W-05).
    """
    protected = {(host.address, host.port): host for host in hosts if host.role in PROTECTED and host.address}
    return [
        replace(host, same_machine=other.name, same_machine_role=other.role)
        if host.role not in PROTECTED and (other := protected.get((host.address, host.port)))
        else host
        for host in hosts
    ]


def naming(config: NetworkConfig, providers: Mapping[str, Provider]) -> Naming:
    return Naming(config.network, config.provider, {name: provider.roles for name, provider in providers.items()})
