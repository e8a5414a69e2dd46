"""Which of the inventory's hosts a selector means: the one place where filters are applied, whatever the source (W-01..04)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from runtime.domain.filters import FILTERS
from runtime.domain.host_names import names_of
from runtime.domain.model import Host, Listing, Selector


def select(listing: Listing | Iterable[Host], selector: Selector) -> list[Host]:
    """Hosts that pass every given filter, by store, terminal and name, cut at the limit. The same host never twice.

    Raises UsageFault for a name that means several entries of the listing, those that only protect among them.
    """
    if not isinstance(listing, Listing):
        listing = Listing(tuple(listing))
    given = [one for one in FILTERS if one.values(selector) and not one.by_inventory]
    tests = [one.test(selector) for one in given if one.field != "names"]
    if selector.names:  # what a name means depends on all names that there are
        known = names_of(listing.entries)
        meant = frozenset(known.meant(name) for name in selector.names)
        tests.append(lambda host: host.name in meant)
    chosen = {(host.id, host.name): host for host in listing.hosts if all(test(host) for test in tests)}
    ordered = sorted(chosen.values(), key=_order)
    return ordered if selector.limit is None else ordered[: selector.limit]


def _order(host: Host) -> tuple[float, int, str]:
    return (math.inf if host.store is None else host.store, host.terminal or 0, host.name.lower())
