"""What stands on the command line of a run, as values: filters, parameters, instants. Called by main; raises UsageFault."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any
from uuid import UUID

from contracts.address import parse_address
from runtime.cli.actor import actor, remark
from runtime.cli.secret_parameters import read_secrets
from runtime.domain.errors import UsageFault
from runtime.domain.model import Selector
from runtime.domain.names import parse_store, parse_terminal
from runtime.domain.pipeline import Request, known_provider, named
from runtime.wiring import Installation

# Options of the first generation that no action has today: refused by name, never ignored.
RETIRED = {"--cnpj-contribuinte": "the SAT signature", "--chave-assinatura": "the SAT signature"}

_FILTERS = {
    "provider": "--provider",
    "network": "--rede",
    "stores": "--loja",
    "terminals": "--pdv",
    "addresses": "--ip",
    "names": "--host",
    "groups": "--group",
    "trigger_ids": "--trigger-id",
    "trigger_names": "--trigger-name",
}


def selector(values: dict[str, Any]) -> Selector:
    """The filters of `run` and `hosts`. Raises UsageFault."""
    for name, option in _FILTERS.items():
        given = values[name] if isinstance(values[name], tuple) else (values[name],)
        if any(text is not None and not text.replace(",", " ").strip() for text in given):
            # A variable that a script forgot to set must not widen the run to everything.
            raise UsageFault("empty_filter", f"{option} is given without a value", "give one, or leave the option out")
    addresses = _words(values["addresses"])
    for address in addresses:
        try:
            parse_address(address)
        except ValueError:
            raise UsageFault("bad_address", f"{address} is not an IP address", "names go to --host") from None
    return Selector(
        stores=tuple(parse_store(text) for text in _words(values["stores"])),
        terminals=tuple(parse_terminal(text) for text in _words(values["terminals"])),
        addresses=addresses,
        names=tuple(values["names"]),
        groups=tuple(values["groups"]),
        tags=tuple(sorted(_pairs(values["tags"], "tag").items())),
        trigger_ids=_words(values["trigger_ids"]),
        trigger_names=tuple(values["trigger_names"]),
        agent_status=values["agent_status"],
        provider=values["provider"].lower() if values["provider"] else None,
        limit=values["limit"],
        all=values["everything"],
    )


def request(values: dict[str, Any], installation: Installation) -> Request:
    """``values``: the options of `run`, by click's names. Raises UsageFault."""
    return Request(
        action=values["action"],
        provider=values["provider"],
        network=values["network"],
        selector=selector(values),
        params=_params(installation, values),
        compat_mode=values["compat_mode"],
        dry_run=values["dry_run"],
        actor=actor(os.environ),
        purpose=remark(values["purpose"] or ""),
        ignore_missing=values["ignore_missing"],
        run_id=_run_id(values["run_id"] or os.environ.get("FLAGEEMONITOR_INVOCATION")),
        correlation_id=values["correlation_id"],
    )


def instant(text: str | None, installation: Installation) -> dt.datetime:
    """RFC 3339 with an offset; now when nothing is given. Raises UsageFault."""
    try:
        found: dt.datetime | None = dt.datetime.fromisoformat(text) if text else installation.clock.now()
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise UsageFault(
            "bad_planned", f"{text} is not an instant with an offset", "for example 2026-03-10T23:50:00+00:00"
        )
    return found


def _params(installation: Installation, values: dict[str, Any]) -> dict[str, Any]:
    """``--param`` and options of the first generation, which are refused for an action that does not declare them."""
    params: dict[str, Any] = dict(_pairs(values["params"], "param"))
    legacy = installation.known.catalogue.legacy_options()
    given = {option: values[option.lstrip("-").replace("-", "_")] for option in (*legacy, *RETIRED)}
    used = {option: value for option, value in given.items() if value not in (None, False)}
    if not used and not params:
        return params
    for option in used.keys() & RETIRED.keys():
        text = f"{option} belongs to {RETIRED[option]}, which no action uses"
        raise UsageFault("unused_option", text, "leave it out")
    action = named(installation.known, values["action"], known_provider(values["provider"], installation.known))
    parameters = {one.option: one.parameter for one in action.legacy}
    for option, value in used.items():
        if option not in parameters:
            owners = ", ".join(one.name for one in legacy[option][1])
            raise UsageFault(
                "unused_option",
                f"{values['action']} has no option {option}; it belongs to {owners}",
                "leave it out, or give parameters of this action with --param name=value",
            )
        if parameters[option] in params:
            text = f"{option} and --param {parameters[option]} are the same"
            raise UsageFault("bad_param", text, "say which one is meant")
        params[parameters[option]] = value
    return read_secrets(action, params)


def _words(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def _pairs(values: tuple[str, ...], what: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            said = "a --param without `=`" if what == "param" else f"{value} is not {what}=value"  # it may be a secret
            raise UsageFault(f"bad_{what}", said, f"for example --{what} name=value")
        if name.strip() in pairs:
            raise UsageFault(f"bad_{what}", f"--{what} {name.strip()} is given twice", "say which one is meant")
        pairs[name.strip()] = text
    return pairs


def _run_id(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        raise UsageFault("bad_run_id", f"{text} is not a run id", "leave --run-id out") from None
