"""Results that are remembered for the very object that they were made from.

For long tuples: :func:`functools.lru_cache` hashes its argument at each call, which for a list of thousands costs more than what
it saves when every host of a fleet asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def once_for(most: int) -> Callable[[Callable[[Given], Made]], Callable[[Given], Made]]:
    """Decorate a function of one immutable argument. ``most``: results kept; then all are forgotten."""

    def decorate(function: Callable[[Given], Made]) -> Callable[[Given], Made]:
        # The object is kept with its result: as long as it is here, no other one can have its id.
        kept: dict[int, tuple[Given, Made]] = {}

        def remembered(given: Given) -> Made:
            known = kept.get(id(given))
            if known is not None:
                return known[1]
            made = function(given)
            if len(kept) >= most:
                kept.clear()
            kept[id(given)] = (given, made)
            return made

        return remembered

    return decorate
