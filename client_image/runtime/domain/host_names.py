"""What a name means that somebody typed to say which host: one rule for filters, `why` and `hosts rekey`. Pure.

A technical name means its host. A visible name is a text that people edit: it means its host only while no other host is called
that in any way. Whatever means two hosts is refused with both: a choice made here could touch the wrong one. Lists that protect
(:mod:`runtime.domain.listed`) read the other way, widely: there every host that a name may mean is on the list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts.text import all_of, say
from runtime.domain.errors import UsageFault


class Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def display_name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Names:
    """The technical names of hosts by what they are called, without case. Made by :func:`names_of`."""

    technical: Mapping[str, frozenset[str]]
    visible: Mapping[str, frozenset[str]]

    def meant(self, text: str) -> str | None:
        """The technical name of the one host that is called that; None when nobody is. Raises UsageFault for several."""
        key = text.strip().lower()
        technical = self.technical.get(key, frozenset())
        if text.strip() in technical:
            technical = frozenset({text.strip()})
        visible = self.visible.get(key, frozenset()) - technical
        found = [*sorted(technical), *sorted(visible)]
        if len(found) > 1:
            how = [say("the technical name of {host}", host=name) for name in sorted(technical)]
            how += [say("the visible name of {host}", host=name) for name in sorted(visible)]
            raise UsageFault(
                "ambiguous_name",
                say(
                    "{text} means {count} hosts: it is {how}. Nothing was touched.",
                    text=text,
                    count=len(found),
                    how=all_of(how),
                ),
                say(
                    "name the host by --ip, or by a technical name that no other host has as its visible name; "
                    "or correct the visible name in the inventory"
                ),
            )
        return found[0] if found else None


def names_of(hosts: Iterable[Named]) -> Names:
    """``hosts``: everything that is known, also what no run may select: its names are taken all the same."""
    technical: dict[str, set[str]] = defaultdict(set)
    visible: dict[str, set[str]] = defaultdict(set)
    for host in hosts:
        technical[host.name.lower()].add(host.name)
        if host.display_name:
            visible[host.display_name.lower()].add(host.name)
    return Names(_frozen(technical), _frozen(visible))


def _frozen(found: Mapping[str, set[str]]) -> Mapping[str, frozenset[str]]:
    return {key: frozenset(names) for key, names in found.items()}
