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

# First-generation options of actions that this version does not carry: refused by name, never ignored.
_REFUSED = {
    "--dtini": "collect_coupons, collect_coupon_details and collect_coupon_lv",
    "--dtfim": "collect_coupons, collect_coupon_details and collect_coupon_lv",
    "--cnpj-contribuinte": "the SAT signature, which no action uses",
    "--chave-assinatura": "the SAT signature, which no action uses",
    "--autoregister": "register_endpoints",
    "--fix-divergent": "register_endpoints",
    "--list-missing": "register_endpoints",
    "--list-zabbix-only": "register_endpoints",
}
# Those that are parameters of an action today.
_LEGACY = ("--timezone", "--localtime-target", "--ntp-server", "--enable-ntp")

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
    for name, where in _REFUSED.items():
        if _given(values, name):
            raise UsageFault(
                "unused_option", f"{name} belongs to {where}: not available in this version", "leave it out"
            )
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


def _given(values: dict[str, Any], option: str) -> Any:
    return values[option.lstrip("-").replace("-", "_")]


def _params(installation: Installation, values: dict[str, Any]) -> dict[str, Any]:
    """``--param`` and first-generation options, which are refused for an action that does not know them."""
    params: dict[str, Any] = dict(_pairs(values["params"], "param"))
    given = {name: _given(values, name) for name in _LEGACY}
    used = {name: value for name, value in given.items() if value not in (None, False)}
    if not used and not params:
        return params
    action = named(installation.known, values["action"], known_provider(values["provider"], installation.known))
    for name, value in used.items():
        flags = action.legacy_flags
        if name not in flags:
            advice = "give its own parameters with --param name=value"
            raise UsageFault("unused_option", f"{values['action']} has no option {name}", advice)
        if flags[name] in params:
            raise UsageFault("bad_param", f"{name} and --param {flags[name]} are the same", "say which one is meant")
        params[flags[name]] = value
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
