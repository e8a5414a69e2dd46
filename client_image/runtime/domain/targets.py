"""Which values of a selector select nothing, and what was perhaps meant. Pure; asked by `hosts`, and by a run before it begins.

A value is missing when no selected host has it: either the inventory has no such thing, or the other filters exclude all of it.
Both are said, because both mean that somebody expects something to happen that does not.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from contracts.text import joined, plural, say
from runtime.domain.errors import NoHostMatched
from runtime.domain.filters import FILTERS, Filter, selector_json
from runtime.domain.model import Host, Missing, RunInfo, Selector

if TYPE_CHECKING:
    import difflib

NAMED = 20  # missing values that a message names
NEAR_ASKED = 10  # missing values for which near ones are looked for: each is held against every host
NEAR = 3
ALIKE = 0.6


def missing(selector: Selector, hosts: Sequence[Host], chosen: Sequence[Host]) -> tuple[Missing, ...]:
    """The values that select none of ``chosen``, in the order of the options. ``hosts``: every entry of the inventory, also those
    that no run may select."""
    found: list[Missing] = []
    # Where no trigger is in problem the hosts are not even read, so nothing can be told of the other filters.
    unread = not hosts and bool(selector.trigger_ids or selector.trigger_names)
    for one in FILTERS:
        if one.named is None or (unread and not one.by_inventory):
            continue
        unused = _unused(one, selector, chosen)
        if not unused:
            continue
        open_to_runs = [host for host in hosts if not host.left_out]
        having = Counter(key for host in open_to_runs for key in {*one.has(host)})
        left_out = {key: host.left_out for host in hosts if host.left_out for key in one.has(host)}
        names = {name for host in open_to_runs for name in one.named(host)}
        for text, key in unused.items():
            why = "" if having[key] else left_out.get(key, "")
            look = not having[key] and not why and len(found) < NEAR_ASKED
            alike = near(one.spelled(text), names) if look else ()
            found.append(Missing(one.option, text, having[key], alike, why))
    return tuple(found)


def require_found(info: RunInfo, found: Sequence[Missing], chosen: Sequence[Host]) -> None:
    """Raises NoHostMatched when nothing is selected, or when a value selects nothing and the run does not go on without it."""
    if chosen and (not found or info.ignore_missing or info.scheduled):
        return
    if not found:
        given = selector_json(info.selector).items()
        asked = ", ".join(f"{name}={value}" for name, value in given) or say("every host")
    else:
        asked = joined(map(str, found[:NAMED]), "; ")
        if len(found) > NAMED:
            asked = say("{some}; and {n} more", some=asked, n=len(found) - NAMED)
    text = say("no host of {network} matches {asked}. Nothing was touched.", network=info.network, asked=asked)
    advice = say("`flageemonitor-run hosts` lists every host of this network by its exact name")
    if chosen:
        advice = say(
            "correct the values, or give --ignore-missing to go on with {hosts}; {advice}",
            hosts=counted(len(chosen)),
            advice=advice,
        )
    raise NoHostMatched("no_host_matched", text, advice)


def near(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that are most like a text: first those that end with it, as PDV201 ends many. PDV299 is like their ends, too."""
    spelled = {name.lower(): name for name in names}
    asked = text.lower()
    best = [name for name in sorted(spelled) if name.endswith(asked)][:NEAR]
    if not best:
        import difflib  # no name is wrong in most runs

        # Made once: it learns one of its two texts, here what is asked, and is then quick with the other.
        matcher = difflib.SequenceMatcher(None, "", asked)
        parts = asked.count("-") + 1
        scores = ((max(_likeness(matcher, part) for part in {name, _end(name, parts)}), name) for name in spelled)
        best = [name for _, name in heapq.nsmallest(NEAR, ((-score, name) for score, name in scores if score >= ALIKE))]
    return tuple(spelled[name] for name in best)


def _end(name: str, parts: int) -> str:
    return "-".join(name.split("-")[-parts:])


def _likeness(matcher: difflib.SequenceMatcher[str], name: str) -> float:
    """From 0 to 1; 0 where a quick look tells that it is below ALIKE."""
    matcher.set_seq1(name)
    if matcher.real_quick_ratio() < ALIKE or matcher.quick_ratio() < ALIKE:
        return 0.0
    return matcher.ratio()


def counted(number: int) -> str:
    return plural("{n} host", "{n} hosts", number)


def places(hosts: Iterable[Host]) -> int:
    """In how many stores the hosts are. One whose store is not known counts as a store of its own."""
    stores = [host.store for host in hosts]
    return len({*stores} - {None}) + stores.count(None)


def _unused(one: Filter, selector: Selector, chosen: Sequence[Host]) -> Mapping[str, Hashable]:
    given = {one.shown(value): one.key(value) for value in one.values(selector)}
    if not given or (chosen and len(given) == 1):
        return {}  # every chosen host passes the filter, so by its only value
    used = {key for host in chosen for key in one.has(host)}
    return {text: key for text, key in given.items() if key not in used}
