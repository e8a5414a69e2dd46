"""What the subjects of one run share: the plan, its rules, and where effects arrive. Built by the composition root, one a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from runtime.domain.action import Target
from runtime.domain.identity import EntryIndex
from runtime.domain.model import Allow, Host, Verdict
from runtime.domain.pipeline import Binding, RunPlan
from runtime.domain.ports import Clock, Driver, HostLocks, IdentityBook, Ledger
from runtime.domain.time.clocks import Anchor
from runtime.domain.witnesses import Neighbours
from runtime.engine.gates import Policy
from runtime.engine.stop import Stop


@dataclass(frozen=True, slots=True)
class RunContext:
    """``drivers``: for each kind of subject, what makes the driver of one. ``host_deadline``: seconds for one subject.
    ``connect_attempts``: the most that are made for one; ``spare``: seconds that the run has for a subject without making others
    wait. ``lease``: whether a scheduled run may change anything now.

    Filled in once the inventory was read: ``entries``: all that it knows, indexed; ``members``: the hosts that a run on the
    network selects; ``neighbours``: who may vouch for a store.
    """

    plan: RunPlan
    policy: Policy
    locks: HostLocks
    ledger: Ledger
    clock: Clock
    stop: Stop
    anchor: Anchor
    identities: IdentityBook
    drivers: Mapping[Target, Callable[[Host, Binding, RunContext], Driver]]
    host_deadline: float
    connect_attempts: int = 1
    spare: Callable[[], float] = lambda: inf
    lease: Callable[[], Verdict] = Allow
    entries: EntryIndex = field(default_factory=EntryIndex)
    members: Sequence[Host] = ()
    neighbours: Neighbours = field(default_factory=Neighbours)
