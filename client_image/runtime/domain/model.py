"""The words of a run: host, selector, job, gate answers, outcomes, results. Everything here is frozen data.

Source of outcomes, reason codes and exit codes: the table in docs/architecture.md, which is the contract.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple

from contracts.config import Credential, Effect, Role
from contracts.text import joined, plural, say

__all__ = ["Credential", "Effect", "Role"]


class Outcome(StrEnum):
    OK = "ok"
    CHANGED = "changed"
    WOULD_CHANGE = "would_change"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"

    @property
    def exit_code(self) -> int:
        """0 nothing to worry about, 1 somebody should look, 130 cancelled."""
        if self in (Outcome.OK, Outcome.CHANGED, Outcome.WOULD_CHANGE, Outcome.SKIPPED):
            return 0
        return 130 if self is Outcome.CANCELLED else 1


class Reason(StrEnum):
    """Why a host has its outcome. Codes are stable: alerts and reports are built on them."""

    DONE = "done"
    CONFIRMED = "confirmed"
    DRY_RUN = "dry_run"
    # skipped
    ROLLOUT_EXCLUDED = "rollout_excluded"
    FROZEN = "frozen"
    PROTECTED_ROLE = "protected_role"
    TERMINAL_BUSY = "terminal_busy"
    HOST_LOCKED = "host_locked"
    NO_LEASE = "no_lease"
    REFUSED = "refused"
    # blocked
    COMPAT_UNKNOWN = "compat_unknown"
    COMPAT_BELOW_MINIMUM = "compat_below_minimum"
    HOST_KEY_CHANGED = "host_key_changed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    HOST_IDENTITY_UNCLEAR = "host_identity_unclear"
    OUTSIDE_ALLOWED_NETWORKS = "outside_allowed_networks"
    # unreachable
    REFUSED_CONNECTION = "refused_connection"
    TIMEOUT = "timeout"
    AUTH_FAILED = "auth_failed"
    PASSWORD_EXPIRED = "password_expired"  # noqa: S105 (a reason code)
    LOGIN_REFUSED = "login_refused"
    LOGIN_QUESTION = "login_question"
    NO_CREDENTIAL = "no_credential"
    NO_ADDRESS = "no_address"
    NO_COMMON_ALGORITHM = "no_common_algorithm"
    # failed
    STEP_FAILED = "step_failed"
    NOT_CONVERGED = "not_converged"
    DEADLINE = "deadline"
    BAD_FACTS = "bad_facts"
    PRIVILEGE_DENIED = "privilege_denied"
    CHECK_FAILED = "check_failed"
    READ_ONLY = "read_only"
    NOT_RECORDED = "not_recorded"
    INTERNAL = "internal"
    # unknown
    CONNECTION_LOST = "connection_lost"
    KILLED = "killed"
    # cancelled
    OPERATOR = "operator"
    STOPPED = "stopped"
    NOT_STARTED = "not_started"


# Why an entry of the inventory is not for runs, in words; see Host.left_out.
LEFT_OUT: Mapping[str, str] = {
    "disabled": say("disabled in the inventory"),
    "template": say("linked to an excluded template"),
    "network": say("of another network by its name"),
    "group": say("in none of this network's host groups"),
}
LeftOut = Literal["", "disabled", "template", "network", "group"]


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the inventory knows it. ``network``, ``store`` and ``terminal`` come from its name where that parses.

    ``address`` is the IP address to connect to, or empty when the inventory has none that we may use (``problem`` then says why).
    ``addresses``: every address and DNS name that the inventory has for it, whatever their interface is for: they only protect.
    ``reached_as``: those of the interface by which it is connected to, so that its port belongs to them. ``left_out``: why no run
    may select the entry, which then only protects. ``excluded``: whether the inventory is configured to leave it out, whatever
    ``left_out`` says of it first. ``shared``: the machine, when other entries reach it too (:attr:`machine`).
    ``triggers``: ids and texts of its triggers in problem state, those that a run asks for.
    ``agent_status``: 0 unknown, 1 available, 2 unavailable, None where nobody knows; ``maintenance``: Zabbix has it in one now.
    """

    id: str
    name: str
    network: str
    address: str
    port: int = 22
    addresses: tuple[str, ...] = ()
    display_name: str = ""
    store: int | None = None
    terminal: int | None = None
    role: Role = "other"
    provider: str = "arius"
    groups: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    agent_status: int | None = None
    agent_port: int = 10050
    credential: Credential | None = None
    problem: str = ""
    maintenance: bool = False
    reached_as: tuple[str, ...] = ()
    left_out: LeftOut = ""
    excluded: bool = False
    triggers: tuple[str, ...] = ()
    shared: Machine | None = field(default=None, compare=False, repr=False)

    @property
    def machine(self) -> Machine:
        """All entries that can reach this host's machine, itself among them: whatever protects one of them protects the host."""
        return self.shared or Machine((self,))

    @property
    def identity(self) -> str:
        """What the rollout hashes: stable when address, SSH user or display name change."""
        if self.store is not None and self.terminal is not None:
            return f"{self.network}/{self.store}/{self.terminal}"
        return f"{self.network}/{self.name}"


_LOCKED_BY_NAME = 16  # more entries of one machine share these locks; all of them know the same ones


@dataclass(frozen=True, eq=False)
class Machine:
    """Entries that may reach one machine; made by :func:`runtime.domain.machines.grouped`, the same object for all of them.

    ``entries``: all that protect it. ``certain``: those that are this machine and not just behind the same address (empty: all).
    ``near``: entries behind an address of several ports any of which this one may be; who works on it holds their locks too.
    """

    entries: tuple[Host, ...]
    certain: tuple[Host, ...] = ()
    near: tuple[Host, ...] = ()

    @cached_property
    def roles(self) -> Mapping[Role, Host]:
        """Each role that an entry has, with the first such entry."""
        return {entry.role: entry for entry in reversed(self.entries)}

    @cached_property
    def excluded(self) -> Host | None:
        """An entry that the inventory is configured to leave out, whatever else it is."""
        return next((entry for entry in self.entries if entry.excluded), None)

    @cached_property
    def stores(self) -> tuple[int | None, ...]:
        """The stores that its entries name; (None,) when no entry names one. Another network's numbers mean other stores."""
        named = {entry.store for entry in self.entries if entry.left_out != "network"}
        return tuple(sorted(store for store in named if store is not None)) or (None,)

    @cached_property
    def locks(self) -> tuple[str, ...]:
        """What is locked while somebody works on it, in one order everywhere."""
        certain = sorted({f"{entry.network}/{entry.name}".lower() for entry in self.certain or self.entries})
        return tuple(sorted({*certain[:_LOCKED_BY_NAME], *(f"{one.network}/{one.name}".lower() for one in self.near)}))


@dataclass(frozen=True, slots=True)
class Listing:
    """What an inventory answered. ``hosts``: entries that a run may select; ``others``: entries that are known only so that they
    can protect (disabled, of an excluded template, outside a trigger's candidates, of other groups where they can be read).

    ``notices``: sentences about what could not be read or is ambiguous, for people: a part is never absent in silence.
    """

    hosts: tuple[Host, ...] = ()
    others: tuple[Host, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[Host, ...]:
        return self.hosts + self.others


class NamedTerminal(NamedTuple):
    """A terminal as a person wrote it: PDV1 is another one than SELF1."""

    word: str
    number: int

    def __str__(self) -> str:
        return f"{self.word}{self.number}"


@dataclass(frozen=True, slots=True)
class Selector:
    """Every given filter must hold. Names and groups compare without case; stores and terminals as numbers, the terminal's word
    counts where one is given."""

    stores: tuple[int, ...] = ()
    terminals: tuple[int | NamedTerminal, ...] = ()
    addresses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    trigger_ids: tuple[str, ...] = ()
    trigger_names: tuple[str, ...] = ()
    agent_status: int | None = None
    provider: str | None = None
    limit: int | None = None
    all: bool = False

    def explicit_for(self, effect: Effect) -> bool:
        """Whether the selector says which hosts an action of this effect may touch. A terminal's number alone is in every store,
        so it does not say which machine loses power."""
        terminals = self.terminals if effect != "disrupt" else ()
        places = (self.stores, terminals, self.addresses, self.names, self.groups, self.tags)
        return effect == "read" or self.all or any((*places, self.trigger_ids, self.trigger_names))

    @property
    def one_by_one(self) -> bool:
        """Hosts named singly: the only way for a read action past the rollout."""
        return bool(self.names or self.addresses)


@dataclass(frozen=True, slots=True)
class Missing:
    """A value of a filter that selects no host: the option as on the command line, the value as it was read.

    ``matches``: hosts that it matches by itself, when the other filters exclude them all; ``left_out``: why no run may select the
    only host that it matches; ``near``: what was perhaps meant.
    """

    option: str
    value: str
    matches: int = 0
    near: tuple[str, ...] = ()
    left_out: str = ""

    def __str__(self) -> str:
        if self.left_out:
            why = LEFT_OUT.get(self.left_out, self.left_out)
            return say("{option} {value} ({why})", option=self.option, value=self.value, why=why)
        if self.matches:
            return plural(
                "{option} {value} (matches {n} host, but not together with the other filters)",
                "{option} {value} (matches {n} hosts, but not together with the other filters)",
                self.matches,
                option=self.option,
                value=self.value,
            )
        if self.near:
            return say(
                "{option} {value} (near: {names})", option=self.option, value=self.value, names=joined(self.near)
            )
        return f"{self.option} {self.value}"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing on a host that a stage changes, in the words of a person: its name, and its value before and after."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return say("{name}: {before} -> {after}", name=self.name, before=self.before, after=self.after)


@dataclass(frozen=True, slots=True)
class Allow:
    """A gate lets the host pass. ``note`` is recorded when passing deserves a word (warn mode, an exemption)."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Deny:
    outcome: Outcome
    reason: Reason
    message: str
    detail: str = ""


Verdict = Allow | Deny


CONNECTION = "connection"  # the record of a connection that took more than one attempt
HOST_KEY = "host_key"  # the record of a login that pinned a key
IDENTITY = "identity"  # the record of what the machine said of itself


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What one gate said about one host: the ledger behind `why <host>`."""

    gate: str
    allowed: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step that was sent to the host. ``status``: done, failed, or unknown (sent, and no answer came)."""

    name: str
    status: str
    exit_code: int | None = None
    output: str = ""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage that was sent to the host. ``summary``: what it changes, for people.

    ``state``: confirmed (its effect was seen), applied (all steps done, not proven), failed, or sent (how far is not known).
    """

    name: str
    state: str
    summary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostResult:
    """The one record of what happened to one host in one run. Durations are seconds, instants are aware UTC.

    ``plan``: for people, what was applied, or under dry-run would be; ``stages``: what of it is proven; ``changes``: the values
    before and after, where a stage replaces one by another; ``attempts``: to connect, 0 where nothing was tried.
    """

    host: Host
    outcome: Outcome
    reason: Reason
    message: str
    detail: str = ""
    gates: tuple[GateRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    plan: tuple[str, ...] = ()
    stages: tuple[StageRecord, ...] = ()
    changes: tuple[Change, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    compatibility: Mapping[str, Any] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 0
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Who asked for what. ``origin`` is manual, schedule:<job> or command:<id>.

    ``actor``: who asked, as far as the caller says: never a proof of identity. ``purpose``: why, in the words of ``--reason``.
    ``effect``: the action's own; empty where a run is read back. ``missing``: values of filters that selected no host, known once
    the inventory was read; ``ignore_missing``: going on without them was asked for.
    """

    run_id: str
    correlation_id: str
    agent_id: str
    network: str
    action: str
    action_version: str
    provider: str | None
    asked: str
    origin: str
    dry_run: bool
    compat_mode: str
    params: Mapping[str, Any]
    selector: Selector
    started_at: dt.datetime
    actor: str = ""
    purpose: str = ""
    ignore_missing: bool = False
    effect: str = ""
    missing: tuple[Missing, ...] = ()

    @property
    def scheduled(self) -> bool:
        return self.origin.startswith("schedule:")


@dataclass(frozen=True, slots=True)
class RunReport:
    info: RunInfo
    results: tuple[HostResult, ...]
    finished_at: dt.datetime

    @property
    def exit_code(self) -> int:
        code = exit_code(result.outcome for result in self.results)
        return 1 if self.info.missing and not self.info.ignore_missing else code


_EXIT_CODES: Mapping[str, int] = {outcome: outcome.exit_code for outcome in Outcome}


def exit_code(outcomes: Iterable[str]) -> int:
    """The worst of the outcomes: 1 over 130 over 0. A cancelled run with a failed host still needs attention, and so does an
    outcome that only a later release knows."""
    codes = {_EXIT_CODES.get(outcome, 1) for outcome in outcomes}
    return 1 if 1 in codes else 130 if 130 in codes else 0
