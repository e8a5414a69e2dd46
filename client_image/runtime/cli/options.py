"""What stands on the command line of a run, as values: a request, parameters, instants. Raises UsageFault."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any
from uuid import UUID

from contracts.text import say
from runtime.cli.actor import actor, remark
from runtime.cli.filters import selector
from runtime.cli.secret_parameters import read_secrets
from runtime.domain.catalogue import Catalogue
from runtime.domain.errors import UsageFault
from runtime.domain.pipeline import Request, known_provider, named

# Options of the first generation that no action has today: refused by name, never ignored.
RETIRED = {"--cnpj-contribuinte": say("the SAT signature"), "--chave-assinatura": say("the SAT signature")}


def request(values: dict[str, Any], known: Catalogue) -> Request:
    """``values``: the options of `run`, by click's names. Raises UsageFault."""
    return Request(
        action=values["action"],
        provider=values["provider"],
        network=values["network"],
        selector=selector(values),
        params=_params(known, values),
        compat_mode=values["compat_mode"],
        dry_run=values["dry_run"],
        actor=actor(os.environ),
        purpose=remark(values["purpose"] or ""),
        ignore_missing=values["ignore_missing"],
        run_id=_run_id(values["run_id"] or os.environ.get("FLAGEEMONITOR_INVOCATION")),
        correlation_id=values["correlation_id"],
    )


def instant(text: str | None, now: dt.datetime) -> dt.datetime:
    """RFC 3339 with an offset; ``now`` when nothing is given. Raises UsageFault."""
    try:
        found: dt.datetime | None = dt.datetime.fromisoformat(text) if text else now
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        message = say("{text} is not an instant with an offset", text=text or "")
        raise UsageFault("bad_planned", message, say("for example {instant}", instant="2026-03-10T23:50:00+00:00"))
    return found


def _params(known: Catalogue, values: dict[str, Any]) -> dict[str, Any]:
    """``--param`` and options of the first generation, which are refused for an action that does not declare them."""
    params: dict[str, Any] = dict(_pairs(values["params"]))
    legacy = known.actions.legacy_options()
    given = {option: values[option.lstrip("-").replace("-", "_")] for option in (*legacy, *RETIRED)}
    used = {option: value for option, value in given.items() if value not in (None, False)}
    if not used and not params:
        return params
    for option in used.keys() & RETIRED.keys():
        text = say("{option} belongs to {use}, which no action uses", option=option, use=RETIRED[option])
        raise UsageFault("unused_option", text, say("leave it out"))
    action = named(known, values["action"], known_provider(values["provider"], known))
    parameters = {one.option: one.parameter for one in action.legacy}
    for option, value in used.items():
        if option not in parameters:
            owners = ", ".join(one.name for one in legacy[option][1])
            text = say(
                "{action} has no option {option}; it belongs to {owners}",
                action=values["action"],
                option=option,
                owners=owners,
            )
            advice = say("leave it out, or give parameters of this action with --param name=value")
            raise UsageFault("unused_option", text, advice)
        if parameters[option] in params:
            text = say("{option} and --param {name} are the same", option=option, name=parameters[option])
            raise UsageFault("bad_param", text, say("give only one of them"))
        params[parameters[option]] = value
    return read_secrets(action, params)


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():  # not shown: it may be a secret
            raise UsageFault("bad_param", say("a --param without `=`"), say("for example --param name=value"))
        if name.strip() in pairs:
            message = say("--param {name} is given twice", name=name.strip())
            raise UsageFault("bad_param", message, say("give only one of them"))
        pairs[name.strip()] = text
    return pairs


def _run_id(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        message = say("{text} is not a run id", text=text or "")
        raise UsageFault("bad_run_id", message, say("leave --run-id out")) from None
