"""What stands on the command line of a run, as values: a request, parameters, instants. Raises UsageFault."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any
from uuid import UUID

from runtime.cli.actor import actor, remark
from runtime.cli.filters import selector
from runtime.cli.secret_parameters import read_secrets
from runtime.domain.errors import UsageFault
from runtime.domain.pipeline import Request, known_provider, named
from runtime.wiring import Installation

# Options of the first generation that no action has today: refused by name, never ignored.
RETIRED = {"--cnpj-contribuinte": "the SAT signature", "--chave-assinatura": "the SAT signature"}


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
    params: dict[str, Any] = dict(_pairs(values["params"]))
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


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():  # not shown: it may be a secret
            raise UsageFault("bad_param", "a --param without `=`", "for example --param name=value")
        if name.strip() in pairs:
            raise UsageFault("bad_param", f"--param {name.strip()} is given twice", "say which one is meant")
        pairs[name.strip()] = text
    return pairs


def _run_id(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        raise UsageFault("bad_run_id", f"{text} is not a run id", "leave --run-id out") from None
