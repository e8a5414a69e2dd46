"""The questions that every host answers before anything touches it. Pure; each returns Allow or Deny, never a bare boolean.

Order in process_one: role, rollout, freeze, lock, then with facts: identity, compatibility, busy. The first refusal is the
recorded reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from contracts import windows
from contracts.config import FreezeWindow, MatrixRow, NetworkConfig, Role, Rollout
from contracts.text import joined, say
from runtime.domain import compatibility_guard, rollout
from runtime.domain.action import Action
from runtime.domain.facts import Facts
from runtime.domain.listed import NameList, listed_as, name_list
from runtime.domain.machines import same_as
from runtime.domain.model import Allow, Deny, Host, Machine, Outcome, Reason, Selector, Verdict
from runtime.domain.names import RoleWords
from runtime.domain.pipeline import Binding, RunPlan
from runtime.domain.providers import Provider

if TYPE_CHECKING:
    from runtime.domain.identity import Finding


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What a network's configuration says about touching its hosts. Built once a run by :func:`policy`.

    ``concentrators``: their addresses and names, a list like those that people write. ``words``: each provider's own words for
    roles in host names.
    """

    zone: ZoneInfo
    freezes: tuple[FreezeWindow, ...]
    rollouts: Mapping[str, Rollout]
    concentrators: NameList
    rows: tuple[MatrixRow, ...]
    words: Mapping[str, RoleWords]

    def rollout_of(self, provider: str) -> Rollout:
        """What the network says, with the provider's default share where it says none; one that nobody described is at 0 %."""
        return self.rollouts.get(provider, Rollout())


def policy(config: NetworkConfig, providers: Mapping[str, Provider], rows: tuple[MatrixRow, ...]) -> Policy:
    """``rows``: the image's matrix; the configuration's own rows are looked up before them."""
    defaults = {name: provider.default_rollout for name, provider in providers.items()}
    names = {*defaults, *config.rollout}
    return Policy(
        zone=ZoneInfo(config.timezone),
        freezes=config.freeze,
        rollouts={name: rollout.in_force(config.rollout.get(name), defaults.get(name, Decimal(0))) for name in names},
        concentrators=name_list(
            tuple(text for one in config.concentrators for text in (one.address, one.name) if text)
        ),
        rows=(*config.compatibility.rows, *rows),
        words={name: provider.roles for name, provider in providers.items()},
    )


def early(host: Host, binding: Binding, job: RunPlan, rules: Policy, now: dt.datetime) -> Iterator[tuple[str, Verdict]]:
    """The gates that need no connection, in their order, each with its name. A run asks them for every host; `schedule --explain`
    asks the very same for a planned instant."""
    if binding.action.target != "network":  # which has no role and no share: it is no machine
        yield "role", role(host, binding.action, rules)
        yield "rollout", rolled_out(host, binding.action, job.info.selector, rules)
    yield "freeze", frozen(host, binding.action, rules, now)
    yield "time", in_time(job, now)


def in_time(job: RunPlan, now: dt.datetime) -> Verdict:
    """A run past its ``not_after`` starts no host."""
    if job.not_after is not None and now >= job.not_after:
        text = say("not to be started after {instant}", instant=f"{job.not_after:%Y-%m-%d %H:%M:%S %Z}")
        return Deny(Outcome.SKIPPED, Reason.REFUSED, text, "not_after")
    return Allow()


def role(host: Host, action: Action, rules: Policy) -> Verdict:
    """Concentrators are protected by configured address and name as well: an inventory may call one a checkout (W-05)."""
    if host.problem:
        return Deny(Outcome.UNREACHABLE, Reason.NO_ADDRESS, host.problem)
    listed = None if "concentrator" in action.roles else listed_as(host, rules.concentrators)
    if listed is not None:
        return _protected(host, listed, say("a concentrator of the configuration: never touched by this action"))
    if host.role not in action.roles:
        allowed = ", ".join(sorted(action.roles)) or say("none")
        text = say("a {role}; this action touches only: {allowed}", role=_kind(host.role), allowed=allowed)
        return _protected(host, host, text)
    return Allow(host.role) if host.shared is None else _role_of_machine(host, host.shared, action)


def _role_of_machine(host: Host, machine: Machine, action: Action) -> Verdict:
    for kind, entry in machine.roles.items():
        # A role that nobody named tells nothing: monitoring knows many a till under a second, free name.
        if kind != "other" and kind not in action.roles:
            text = say("a {role}: correct one of them in the inventory", role=_kind(kind))
            return _protected(host, entry, text)
    if machine.excluded is not None:
        return _protected(host, machine.excluded, say("which is linked to an excluded template"))
    return Allow(host.role)


def _kind(said: str) -> str:
    return said.replace("_", "-")


def _protected(host: Host, entry: Host, text: str) -> Deny:
    """``entry``: the one of the host's machine that is protected."""
    text = text if entry == host else joined((same_as(host, entry), text))
    return Deny(Outcome.SKIPPED, Reason.PROTECTED_ROLE, text)


def rolled_out(host: Host, action: Action, selector: Selector, rules: Policy) -> Verdict:
    verdict = in_rollout(host, action.roles, rules)
    if isinstance(verdict, Deny) and action.effect == "read" and selector.one_by_one:
        return Allow(
            say("passes without the rollout ({why}): only reads, on a host named by itself", why=verdict.message)
        )
    return verdict


def in_rollout(host: Host, roles: frozenset[Role], rules: Policy) -> Verdict:
    """The host's own place, and that of every entry through which an action for these roles would reach the same machine."""
    verdict = rollout.decide(rules.rollout_of(host.provider), host.provider, host)
    if isinstance(verdict, Deny) or host.shared is None:
        return verdict
    found = _shut_out(host.shared, roles, rules)
    if found is None:
        return verdict
    entry, refused = found
    return replace(refused, message=joined((same_as(host, entry), refused.message), ": "))


@lru_cache(maxsize=1024)
def _shut_out(machine: Machine, roles: frozenset[Role], rules: Policy) -> tuple[Host, Deny] | None:
    """The first entry that is not in. A share is drawn among what may be touched; ``never`` holds for every entry."""
    certain = {id(entry) for entry in machine.certain}  # by identity: comparing all with all is slow
    for entry in machine.entries:
        rule = rules.rollout_of(entry.provider)
        if entry.left_out or entry.role not in roles or id(entry) not in certain:
            verdict = rollout.never(rule, entry.provider, entry)
        else:
            verdict = rollout.decide(rule, entry.provider, entry)
        if isinstance(verdict, Deny):
            return entry, verdict
    return None


def frozen(host: Host, action: Action, rules: Policy, now: dt.datetime) -> Verdict:
    """The freeze that lasts longest of all that hold for a store of the host's machine."""
    there = now.astimezone(rules.zone)
    stores = (host.store,) if host.shared is None else host.shared.stores
    hits = [hit for store in stores if (hit := windows.frozen(rules.freezes, action.effect, store, there)) is not None]
    if not hits:
        return Allow()
    hit = max(hits, key=lambda one: one.until)
    until = f"{hit.until.astimezone(rules.zone):%Y-%m-%d %H:%M %Z}"
    text: str = say("freeze {freeze} until {instant}", freeze=hit.window.id, instant=until)
    if hit.window.reason:
        text = joined((text, hit.window.reason), ": ")
    return Deny(Outcome.SKIPPED, Reason.FROZEN, text, hit.window.id)


def identified(action: Action, finding: Finding) -> Verdict:
    """A machine that may be another one is read, and told of, but not changed."""
    if finding.clear or action.effect == "read":
        return Allow(finding.text)
    text = say("{what} Nothing was changed. {advice}", what=finding.what, advice=finding.advice)
    return Deny(Outcome.BLOCKED, Reason.HOST_IDENTITY_UNCLEAR, text, finding.kind)


def compatible(facts: Facts, binding: Binding, job: RunPlan, rules: Policy) -> tuple[Verdict, Mapping[str, object]]:
    level = compatibility_guard.lookup(rules.rows, facts)
    return compatibility_guard.decide(job.mode, facts, level, binding.minimum, binding.action.effect)


def busy(action: Action, answer: str) -> Verdict:
    """``answer``: first line of the provider's busy check; empty when there is none, or when the terminal is idle."""
    if action.effect == "read" or not answer:
        return Allow()
    return Deny(Outcome.SKIPPED, Reason.TERMINAL_BUSY, say("in use: {by}", by=answer))
