"""The questions that every host answers before anything touches it. Pure; each returns Allow or Deny, never a bare boolean.

Order in process_one: role, rollout, freeze, lock, then with facts: compatibility, busy. The first refusal is the recorded reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from contracts import windows
from contracts.config import FreezeWindow, MatrixRow, NetworkConfig, Rollout
from runtime.core import compatibility_guard, rollout
from runtime.core.action import Action
from runtime.core.facts import Facts
from runtime.core.model import Allow, Deny, Host, Outcome, Reason, Selector, Verdict
from runtime.core.names import HostKey, host_key
from runtime.core.pipeline import Binding, Job
from runtime.core.providers import Provider


@dataclass(frozen=True, slots=True)
class Policy:
    """What a network's configuration says about touching its hosts. Built once a run by :func:`policy`."""

    zone: ZoneInfo
    freezes: tuple[FreezeWindow, ...]
    rollouts: Mapping[str, Rollout]
    protected_addresses: frozenset[str]
    protected_names: frozenset[HostKey]
    rows: tuple[MatrixRow, ...]

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
        protected_addresses=frozenset(concentrator.address for concentrator in config.concentrators),
        protected_names=frozenset(host_key(c.name) for c in config.concentrators if c.name),
        rows=(*config.compatibility.rows, *rows),
    )


def role(host: Host, action: Action, rules: Policy) -> Verdict:
    """Concentrators are protected by configured address and name as well: an inventory may call one a checkout (W-05)."""
    if host.problem:
        return Deny(Outcome.UNREACHABLE, Reason.NO_ADDRESS, host.problem)
    keys = {host_key(host.name), host_key(host.display_name)}
    listed = host.address in rules.protected_addresses or bool(keys & rules.protected_names)
    if listed and "concentrator" not in action.roles:
        return Deny(
            Outcome.SKIPPED, Reason.PROTECTED_ROLE, "a concentrator of the configuration: never touched by this action"
        )
    if host.same_machine and host.same_machine_role not in action.roles:
        kind = host.same_machine_role.replace("_", "-")
        text = (
            f"{host.address} is also the address of {host.same_machine}, a {kind}: correct one of them in the inventory"
        )
        return Deny(Outcome.SKIPPED, Reason.PROTECTED_ROLE, text)
    if host.role not in action.roles:
        allowed = ", ".join(sorted(action.roles)) or "none"
        text = f"a {host.role.replace('_', '-')}; this action touches only: {allowed}"
        return Deny(Outcome.SKIPPED, Reason.PROTECTED_ROLE, text)
    return Allow(host.role)


def rolled_out(host: Host, action: Action, selector: Selector, rules: Policy) -> Verdict:
    verdict = rollout.decide(rules.rollout_of(host.provider), host.provider, host)
    if isinstance(verdict, Deny) and action.effect == "read" and selector.one_by_one:
        return Allow(f"passes without the rollout ({verdict.message}): only reads, on a host named by itself")
    return verdict


def frozen(host: Host, action: Action, rules: Policy, now: dt.datetime) -> Verdict:
    hit = windows.frozen(rules.freezes, action.effect, host.store, now.astimezone(rules.zone))
    if hit is None:
        return Allow()
    why = f": {hit.window.reason}" if hit.window.reason else ""
    until = f"{hit.until.astimezone(rules.zone):%Y-%m-%d %H:%M %Z}"
    return Deny(Outcome.SKIPPED, Reason.FROZEN, f"freeze {hit.window.id} until {until}{why}", hit.window.id)


def compatible(facts: Facts, binding: Binding, job: Job, rules: Policy) -> tuple[Verdict, Mapping[str, object]]:
    level = compatibility_guard.lookup(rules.rows, facts)
    return compatibility_guard.decide(job.mode, facts, level, binding.minimum, binding.action.effect)


def busy(action: Action, answer: str) -> Verdict:
    """``answer``: first line of the provider's busy check; empty when there is none, or when the terminal is idle."""
    if action.effect == "read" or not answer:
        return Allow()
    return Deny(Outcome.SKIPPED, Reason.TERMINAL_BUSY, f"in use: {answer}")
