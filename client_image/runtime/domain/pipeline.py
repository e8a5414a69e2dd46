"""From a request to a run plan: provider, canonical action, checked parameters, mode. Pure; raises UsageFault.

Called by main for every run, by `explain` and `config check` for what a run would be. Nothing here knows a host yet, so actions
are bound for each provider: hosts of one run may belong to several, and each may override the action.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from contracts.action_names import STRENGTH, default_at, merged
from contracts.bounded import Unreadable, read_json
from contracts.config import ActionSettings, Effect, Level, Mode, NetworkConfig
from contracts.document import problems_of
from contracts.ids import correlation_id, uuid7
from contracts.secret import Secret
from contracts.text import joined, one_of, say
from runtime.domain import compatibility_guard
from runtime.domain.action import Action, Params, Target, secrets_of
from runtime.domain.catalogue import Catalogue
from runtime.domain.document_names import replacement_of, require_no_stronger, settings_of
from runtime.domain.errors import UsageFault
from runtime.domain.model import RunInfo, Selector

TARGETS: Mapping[bool, str] = {
    False: say("name them (--loja, --host, --ip, --group, --tag), or give --all for every host of the network"),
    True: say("name them in the job's `selector` (stores, hosts, addresses, groups, tags), or say `all: true` there"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, as written. ``params`` are texts from a command line or values from a schedule."""

    action: str
    provider: str | None = None
    network: str | None = None
    selector: Selector = Selector()
    params: Mapping[str, Any] = field(default_factory=dict)
    compat_mode: str | None = None
    dry_run: bool = False
    origin: str = "manual"
    run_id: str | None = None
    correlation_id: str | None = None
    not_after: dt.datetime | None = None
    actor: str = ""
    purpose: str = ""
    ignore_missing: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """An action as it applies to one provider's hosts."""

    action: Action
    params: Params
    minimum: Level


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run ready to select its hosts. ``bindings`` by provider id; other providers get ``default``."""

    info: RunInfo
    default: Binding
    bindings: Mapping[str, Binding]
    mode: Mode
    not_after: dt.datetime | None

    def binding(self, provider: str) -> Binding:
        return self.bindings.get(provider, self.default)

    @property
    def target(self) -> Target:
        """What one outcome is about, the same for every provider."""
        return self.default.action.target

    @property
    def effect(self) -> Effect:
        """The strongest effect that any host of this run may see."""
        return _strongest([self.default, *self.bindings.values()])

    def effect_on(self, providers: Iterable[str]) -> Effect:
        """The strongest effect on hosts of these providers."""
        return _strongest([self.binding(provider) for provider in {*providers}])


def _strongest(bindings: Iterable[Binding]) -> Effect:
    return max((binding.action.effect for binding in bindings), key=lambda effect: STRENGTH[effect], default="read")


def resolve(request: Request, config: NetworkConfig, known: Catalogue, *, agent_id: str, now: dt.datetime) -> RunPlan:
    """Raises UsageFault with the reason and what to do; after this only the inventory can stop the run."""
    require_network(request.network, config)
    provider = known_provider(request.provider, known)
    asked = named(known, request.action, provider)
    default = _bind(asked, request, config, known)
    names = [provider] if provider is not None else sorted(known.providers)
    bindings = {name: _bind_for(name, default, request, config, known) for name in names}
    mode = compatibility_guard.effective_mode(
        config.compatibility.mode, request.compat_mode, config.compatibility.allow_loosening
    )
    selector = request.selector
    info = RunInfo(
        run_id=request.run_id or uuid7(),
        correlation_id=correlation_id(request.correlation_id),
        agent_id=agent_id,
        network=config.network,
        action=asked.name,
        action_version=asked.version,
        provider=provider,
        asked=request.action,
        origin=request.origin,
        dry_run=request.dry_run,
        compat_mode=mode,
        params=_printable(default.params),
        selector=selector,
        started_at=now,
        actor=request.actor,
        purpose=request.purpose,
        ignore_missing=request.ignore_missing,
        effect=asked.effect,
    )
    plan = RunPlan(info, default, bindings, mode, request.not_after)
    require_target(plan)
    return plan


def require_network(asked: str | None, config: NetworkConfig) -> None:
    """Raises UsageFault for any network but the proxy's own."""
    if asked is not None and asked.lower() != config.network.lower():
        raise UsageFault(
            "other_network",
            say("this proxy serves the network {network}, not {asked}", network=config.network, asked=asked),
            say("run it on the proxy of that network, or leave --rede out"),
        )


def known_provider(asked: str | None, known: Catalogue) -> str | None:
    """The provider's id, however it was written. Raises UsageFault for one that nobody knows."""
    provider = asked.lower() if asked is not None else None
    if provider is not None and provider not in known.providers:
        raise UsageFault(
            "unknown_provider",
            say("unknown provider {provider}", provider=asked),
            say("known: {providers}", providers=", ".join(sorted(known.providers))),
        )
    return provider


def require_target(plan: RunPlan) -> None:
    """What changes or disrupts hosts needs explicit targets, under dry-run as well: leaving the flag out must not change which
    hosts a line means. Raises UsageFault."""
    effect, selector = plan.effect, plan.info.selector
    if selector.explicit_for(effect):
        return
    text = say("{action} changes terminals and needs explicit targets", action=plan.info.action)
    if effect == "disrupt":
        text = say("{action} disrupts terminals and needs explicit targets", action=plan.info.action)
    if selector.terminals:
        asked = ", ".join(f"--pdv {one}" for one in selector.terminals)
        text = say("{refusal}: {asked} alone is a terminal of every store", refusal=text, asked=asked)
    raise UsageFault("no_target", text, TARGETS[plan.info.scheduled])


def named(known: Catalogue, name: str, provider: str | None) -> Action:
    """The action that a name means: any provider's own names count, unless ``provider`` says whose. Raises UsageFault."""
    chosen = [known.providers[provider]] if provider is not None else list(known.providers.values())
    own = name.strip().lower()
    meanings = {one.actions[own] for one in chosen if own in one.actions}
    if len(meanings) > 1 and own not in known.actions.names:
        raise UsageFault(
            "ambiguous_action",
            say("{name} means {actions}", name=name, actions=one_of(sorted(meanings))),
            say("say whose with --provider"),
        )
    external = {spelled: canonical for one in chosen for spelled, canonical in one.actions.items()}
    return known.actions.resolve(name, external)


def _bind_for(provider: str, default: Binding, request: Request, config: NetworkConfig, known: Catalogue) -> Binding:
    """The action for one provider's hosts. When it is another one than was asked for, a refusal says how that came about."""
    asked = default.action
    action = overridden(asked, provider, config, known)
    if action is asked:
        return default
    try:
        return _bind(action, request, config, known)
    except UsageFault as fault:
        text = say(
            "for provider {provider}, `overrides` replaces {asked} by {action}: {problem}",
            provider=provider,
            asked=asked.name,
            action=action.name,
            problem=fault.message,
        )
        advice = say(
            "{advice}; or leave provider {provider} out (--provider names another), or correct `overrides`",
            advice=fault.advice,
            provider=provider,
        )
        raise UsageFault(fault.reason, text, advice) from None


def overridden(asked: Action, provider: str, config: NetworkConfig, known: Catalogue) -> Action:
    """What runs on a provider's hosts when ``asked`` is asked for. Raises UsageFault for an override that cannot be taken."""
    shipped = known.providers[provider].overrides
    replacement = replacement_of(asked.name, provider, config, known.names(provider), shipped)
    action = known.actions.override(asked.name, replacement)
    require_no_stronger(provider, asked, action)
    if action.target != asked.target:
        text = say(
            "for provider {provider}, {action} replaces {asked}, but is on a {target} instead of a {expected}",
            provider=provider,
            action=action.name,
            asked=asked.name,
            target=action.target,
            expected=asked.target,
        )
        raise UsageFault("bad_override", text, say("correct `overrides`"))
    return action


def _bind(action: Action, request: Request, config: NetworkConfig, known: Catalogue) -> Binding:
    if not action.available:
        raise UsageFault(
            "not_available",
            say("{action} is not available in this version", action=action.name),
            say("`flageemonitor-run actions` shows what is; a newer image may carry it"),
        )
    settings = settings_of(action, config, known.names())
    if settings is not None and not settings.enabled:
        raise UsageFault(
            "action_disabled",
            say("{action} is switched off for the network {network}", action=action.name, network=config.network),
            say("set actions.{action}.enabled in its configuration", action=action.name),
        )
    given = {name: _value(value) for name, value in request.params.items()}
    if not request.origin.startswith("schedule:"):
        _refuse_plain_secrets(action, given)
    values = merged(_configured(action, config, settings), given, action.params.ADDS)
    try:
        params = action.params.model_validate(values)
    except ValidationError as error:
        names = ", ".join(sorted(action.params.model_fields)) or say("none")
        raise UsageFault(
            "bad_parameter",
            joined((action.name, joined(map(str, problems_of(error)), "; ")), ": "),
            say("parameters of this action: {names}", names=names),
        ) from None
    return Binding(action, params, known.minimums[action.name])


def _refuse_plain_secrets(action: Action, given: Mapping[str, Any]) -> None:
    """Raises UsageFault for a secret that was typed: every user of the host sees the command line, and its history keeps it."""
    for name in sorted(secrets_of(action.params) & given.keys()):
        if not isinstance(given[name], Secret):
            raise UsageFault(
                "secret_in_arguments",
                say("{name} is a secret, and a command line is seen by others. Nothing was started", name=name),
                say(
                    "--param {name}=@FILE reads a file, --param {name}=@- standard input; replace the secret that was typed",
                    name=name,
                ),
            )


def configured(action: Action, config: NetworkConfig, known: Catalogue) -> dict[str, Any]:
    """The parameters that the network's document gives to an action, unchecked. Raises UsageFault when it contradicts itself."""
    return _configured(action, config, settings_of(action, config, known.names()))


def _configured(action: Action, config: NetworkConfig, settings: ActionSettings | None) -> dict[str, Any]:
    values = {name: default_at(config, path) for name, path in action.defaults.items()}
    return {**values, **(settings.params if settings else {})}


def _value(value: Any) -> Any:
    """Lists and maps come from a command line as JSON; everything else stays text for the parameter's own type."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return read_json(value)
        except Unreadable:
            return value
    return value


def _printable(params: Params) -> dict[str, Any]:
    printable: dict[str, Any] = params.model_dump(mode="json")
    return printable


__all__ = ["Binding", "Request", "RunPlan", "resolve"]
