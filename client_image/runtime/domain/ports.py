"""What the engine needs from the outside, as protocols. Adapters implement them; tests pass real or small in-memory ones."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from runtime.domain.errors import RunError
from runtime.domain.facts import Privilege
from runtime.domain.model import Host, HostResult, Listing, Reason, RunInfo, Selector, StepRecord

if TYPE_CHECKING:  # many commands need the ports, and few what these are about
    from contracts.config import NetworkConfig
    from runtime.domain.action import Stage
    from runtime.domain.deliveries import Delivery, Parcel, Receipt
    from runtime.domain.departure import Departure
    from runtime.domain.facts import Storage
    from runtime.domain.identity import Claim, Finding, IdentityRecord
    from runtime.domain.sources import ApiCall, Query, Row
    from runtime.domain.subject_record import Ended
    from runtime.domain.witnesses import Witness


class Clock(Protocol):
    """Two clocks, so that a jump of the first is seen by the second."""

    def now(self) -> dt.datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float: ...


class Inventory(Protocol):
    def read(self, selector: Selector) -> Listing:
        """The configured network's entries; raises InventoryUnavailable, never returns "no hosts" for an error.

        The selector narrows ``hosts`` only by what the source alone can tell (triggers); every filter is applied again by the
        pipeline. What it leaves out is among ``others``.
        """
        ...


class ObservedFacts(Protocol):
    """What every kind of subject tells of itself. ``storage``: what its files are kept on, None where it has none."""

    @property
    def storage(self) -> Storage | None: ...

    def summary(self) -> dict[str, Any]:
        """What goes into a result."""
        ...


@dataclass(slots=True)
class Observation:
    """``busy``: why the subject is in use, empty where it is not. ``unfinished``: a stage that an earlier run has sent and whose
    receipt never came; it comes before any decision."""

    facts: ObservedFacts
    busy: str = ""
    unfinished: Stage | None = None


@dataclass(slots=True)
class Applied:
    """One record for each step that was reached. Where they are not all of the stage's: ``reason`` and ``lost``, a sentence that
    says what happened and what that means."""

    steps: list[StepRecord]
    reason: Reason = Reason.CONNECTION_LOST
    lost: str = ""


@dataclass(slots=True)
class Proof:
    """``state``: of the stage from now on, empty: as before. ``ended``: the end of the subject, None: the run goes on with it."""

    state: str
    ended: Ended | None = None


class Driver(Protocol):
    """One subject of a run: a terminal, a concentrator, a network. Raises HostError; never called by two at once.

    Which stages may be applied, and when, is not its business: process_one asks the gates.
    """

    def connected(self) -> AbstractAsyncContextManager[str]:
        """Reach the subject. The host key that was pinned on the way, empty when nothing new was."""
        ...

    async def observe(self) -> Observation:
        """Read the subject. Changes nothing."""
        ...

    async def prepare(self, stage: Stage) -> None:
        """What must be known or durable before the first byte of a stage is sent."""
        ...

    async def apply(self, stage: Stage) -> Applied:
        """Send the stage that was prepared."""
        ...

    async def confirm(self, stage: Stage) -> Proof:
        """The proof of a stage that no observation gives: ``gone`` or ``receipt``."""
        ...


class OpenInventory(Protocol):
    """Opens the inventory that a document describes. ``within``: seconds for a reading, where the caller has no more."""

    def __call__(self, config: NetworkConfig, *, within: float | None = None) -> Inventory: ...


class Source(Protocol):
    """Open databases of one concentrator. Raises HostError."""

    async def read(self, query: Query, values: Mapping[str, Any]) -> Sequence[Row]:
        """``values`` are bound by name. In a session that cannot write."""
        ...


class Sources(Protocol):
    def connect(self, host: Host) -> AbstractAsyncContextManager[Source]: ...


class Service(Source, Protocol):
    """An open API of a network."""

    async def call(self, step: ApiCall) -> str:
        """What was done, for people. Raises Rejected or AnswerLost (runtime.domain.deliveries)."""
        ...


class Services(Protocol):
    def connect(self, host: Host) -> AbstractAsyncContextManager[Service]: ...


class Sink(Protocol):
    async def deliver(self, parcel: Parcel) -> Receipt:
        """Raises Rejected when nothing was taken, for certain; AnswerLost when that is not known."""
        ...


class Deliveries(Protocol):
    """Watermarks, and deliveries that wait for their receipt: at most one a subject and action. Raises StateUnavailable; what it
    has done is durable when it returns."""

    async def load(self, host: Host, action: str) -> tuple[str, Delivery | None]:
        """The watermark, empty before the first one, and the delivery that waits."""
        ...

    async def begin(self, delivery: Delivery) -> None:
        """Keep the delivery; one that waits already stays as it is."""
        ...

    async def withdraw(self, delivery: Delivery) -> None:
        """Forget a delivery of which nothing was taken."""
        ...

    async def acknowledge(self, delivery: Delivery) -> None:
        """Move the watermark and forget the delivery, in one transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Framed sections of one script. ``complete`` is False when the end marker never came, whatever the exit code said.

    ``sections``: name -> output bytes (stdout and stderr), capped; ``codes``: name -> exit code, absent for a section that did
    not end. ``stopped``: why an incomplete answer ended: connection_lost; deadline, or killed for a flood, when the remote shell
    was ended by us; None when it ended by itself. ``noise``: what was printed outside all sections (banners, shell errors).
    """

    sections: dict[str, bytes]
    codes: dict[str, int]
    complete: bool
    truncated: bool = False
    stopped: Reason | None = None
    noise: bytes = b""


class Session(Protocol):
    """An open connection to one host. Raises HostError (Transient or Permanent) for everything that goes wrong."""

    elevated: bool
    elevation: Privilege
    learned_key: str  # fingerprint of the host key that this login has pinned, empty when it was pinned before

    async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
        """Run named sections of POSIX sh in one round trip, each in its own ``set -eu`` subshell; stop at the first that fails
        when a section's name starts with ``step:``."""
        ...


class Remote(Protocol):
    def connect(self, host: Host, *, deadline: float) -> AbstractAsyncContextManager[Session]:
        """``deadline``: seconds until the session must be open, waiting for a free place at its address included."""
        ...


class Watch(Protocol):
    """Asks from outside whether machines answer, because an open connection may outlive what it was made to."""

    async def answering(self, witnesses: Sequence[Witness]) -> Sequence[Witness]:
        """Those of the witnesses that answer now."""
        ...

    async def departure(
        self, host: Host, witnesses: Sequence[Witness], settle: float, *, own_address: bool = True
    ) -> Departure:
        """Wait for the host to go, ``settle`` seconds and as long again as silence takes to be believed. ``own_address``: as in
        Surrounding; without it only the host's SSH port is asked."""
        ...


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A host's public key, ``text`` as OpenSSH writes it: type and base64, no comment."""

    text: str

    @property
    def algorithm(self) -> str:
        return self.text.split(" ", 1)[0]

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(base64.b64decode(self.text.split(" ", 1)[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


@dataclass(frozen=True, slots=True)
class SshNotes:
    """What logging in to a host took the last time. ``profile``: name of the algorithm set, empty before the first login.

    ``needs``: the old algorithms without which it cannot be reached, each as "what: name,name"; ``credential``: id of the one
    that was accepted.
    """

    profile: str = ""
    needs: tuple[str, ...] = ()
    credential: str = ""


class HostBook(Protocol):
    """What is known of hosts from one run to the next. One entry for (network, host name, port), whatever the address."""

    async def get(self, host: Host) -> tuple[PinnedKey | None, SshNotes]:
        """The key that the host had when we first logged in to it, and what that took. May raise HostError where first use is not
        trusted at the moment."""
        ...

    async def save(self, host: Host, key: PinnedKey | None, notes: SshNotes | None) -> None:
        """Durable when it returns. None: nothing new. A key that is already pinned stays: only `hosts rekey` retires it."""
        ...


class IdentityBook(Protocol):
    """What machines said of themselves, from one run to the next, by (network, host name, port). Raises StateUnavailable."""

    async def record(
        self, host: Host, claim: Claim, *, other: Callable[[str], bool], named: frozenset[str], suspects: frozenset[str]
    ) -> IdentityRecord:
        """``other``: whether a lower-case name is an entry of the inventory that leads to another machine; ``named``: those that
        the machine's host name names; ``suspects``: those that could be rivals."""
        ...

    async def remember(
        self, host: Host, claim: Claim, finding: Finding, record: IdentityRecord, *, at_once: bool
    ) -> None:
        """Writes only what is new. ``record``: what :meth:`record` answered. ``at_once``: durable when it returns, so that
        another run that meets the same machine knows of it; else with the host's result."""
        ...


class HostLocks(Protocol):
    def try_lock(self, host: Host, owner: str, name: str = "") -> AbstractAsyncContextManager[str | None]:
        """Enter with None when locked by us, else with a sentence that says who holds it since when. ``name``: for a lock beside
        the one that keeps a machine to itself."""
        ...


class Ledger(Protocol):
    """Where every host's way through a run is recorded, durably, before and after it is touched."""

    async def begin(self, info: RunInfo, hosts: Sequence[Host]) -> None: ...

    async def at_work(self, run_id: str, host: Host, stage: str) -> None:
        """Committed before the first byte of a stage is sent: a killed process leaves ``unknown``, never silence."""
        ...

    async def record(self, run_id: str, result: HostResult) -> None:
        """Result and outbox row in one transaction."""
        ...

    async def finish(self, run_id: str, exit_code: int) -> None: ...

    async def refuse(self, info: RunInfo, error: RunError) -> None:
        """A run that ends before it has a host: it leaves its exit code and why, begun and finished in one."""
        ...


__all__ = [
    "Answer",
    "Applied",
    "Clock",
    "Deliveries",
    "Driver",
    "HostBook",
    "HostLocks",
    "IdentityBook",
    "Inventory",
    "Ledger",
    "Observation",
    "ObservedFacts",
    "OpenInventory",
    "PinnedKey",
    "Proof",
    "Remote",
    "Service",
    "Services",
    "Session",
    "Sink",
    "Source",
    "Sources",
    "SshNotes",
    "StepRecord",
    "Watch",
]
