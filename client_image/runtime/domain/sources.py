"""What is read from concentrators and networks, and what is changed there over an API. Pure; loaded only by actions on them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from runtime.domain.action import Params, StepKind
from runtime.domain.model import Host

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A read of a source, as an action declares it. ``source``: the name of a database or API; ``text``: SQL, or a method.

    Values are bound, never pasted: ``:watermark``, and ``:P_<name>`` for every parameter that :func:`values_of` gives.
    """

    name: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A step that changes something over an API. ``params``: plain JSON values."""

    kind: ClassVar[StepKind] = "call"
    name: str
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a concentrator's databases answered. ``rows`` by the name of the query; ``watermark``: up to where everything was
    delivered, empty before the first time. ``observed_at``: the engine's clock, in the network's zone."""

    observed_at: dt.datetime
    watermark: str = ""
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    storage: ClassVar[None] = None

    def summary(self) -> dict[str, Any]:
        return {"watermark": self.watermark or None, "rows": {name: len(rows) for name, rows in self.rows.items()}}


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What is known of a network as a whole. ``members``: the hosts that the run selects; ``rows`` by the name of the query."""

    observed_at: dt.datetime
    members: Sequence[Host] = ()
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    storage: ClassVar[None] = None

    def summary(self) -> dict[str, Any]:
        rows = {name: len(rows) for name, rows in self.rows.items()}
        return {"members": len(self.members), "rows": rows}


def values_of(params: Params) -> dict[str, Any]:
    """``P_<name>`` for every parameter that is a text, number, boolean or None, as it is."""
    return {f"P_{name}": value for name, value in params if value is None or isinstance(value, str | int | float)}
