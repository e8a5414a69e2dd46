"""The hosts that a document lists, found by what selectors ask for. Pure; used where a document is put into words.

Every job is held against every host there, so each kind of question has an index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence

from contracts.config import JobSelector, StaticHost

_Key = tuple[str, Hashable]


class StaticHosts:
    """``provider``: of hosts that name none."""

    def __init__(self, hosts: Sequence[StaticHost], provider: str) -> None:
        self._having: defaultdict[_Key, set[int]] = defaultdict(set)
        self._eligible: dict[tuple[frozenset[str], str | None], set[int]] = {}
        for place, host in enumerate(hosts):
            for key in _keys(host, provider):
                self._having[key].add(place)

    def at_most(self, selector: JobSelector, roles: Collection[str]) -> int:
        """How many hosts a selector can mean for an action of these roles. What only a host's name tells (store, number, its
        role where none is written) is left open: the number is a limit."""
        found = self._of(frozenset(roles), selector.provider)
        asked: tuple[Sequence[_Key], ...] = (
            [("name", name.lower()) for name in selector.hosts],
            [("address", address) for address in selector.addresses],
            [("group", group.lower()) for group in selector.groups],
            *([("tag", tag)] for tag in selector.tags.items()),
        )
        for keys in asked:
            if keys:
                found = found & self._any(keys)
        return len(found)

    def _of(self, roles: frozenset[str], provider: str | None) -> set[int]:
        """By role and provider: few combinations, and each may be nearly every host."""
        if (roles, provider) not in self._eligible:
            found = self._any(("role", role) for role in (None, *roles))
            self._eligible[roles, provider] = found & self._any([("provider", provider)]) if provider else found
        return self._eligible[roles, provider]

    def _any(self, keys: Iterable[_Key]) -> set[int]:
        return set().union(*(self._having.get(key, ()) for key in keys))


def _keys(host: StaticHost, provider: str) -> Iterator[_Key]:
    yield "role", host.role
    yield "provider", host.provider or provider
    yield "address", host.address
    for name in (host.name, host.display_name or host.name):
        yield "name", name.lower()
    for group in host.groups:
        yield "group", group.lower()
    for tag in host.tags.items():
        yield "tag", tag
