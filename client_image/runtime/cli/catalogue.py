"""`actions` and `explain`: what this image can do, and what an action would be for each provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from commandline.language import shown
from contracts.config import NetworkConfig
from contracts.masking import masked_parameters
from contracts.text import say
from contracts.visible import one_line
from runtime.cli.output import Out
from runtime.domain import compatibility_guard, rollout
from runtime.domain.action import Action, harmless_parameters
from runtime.domain.catalogue import Catalogue
from runtime.domain.pipeline import configured, known_provider, named, overridden


def _external(known: Catalogue, action: Action) -> dict[str, list[str]]:
    """provider -> its own names of the action."""
    names = {
        provider.id: [name for name, canonical in provider.actions.items() if canonical == action.name]
        for provider in known.providers.values()
    }
    return {provider: found for provider, found in names.items() if found}


def _action_json(known: Catalogue, action: Action) -> dict[str, Any]:
    return {
        "name": action.name,
        "aliases": list(action.aliases),
        "provider_names": _external(known, action),
        "available": action.available,
        "version": action.version if action.available else None,
        "effect": action.effect,
        "target": action.target,
        "roles": sorted(action.roles),
        "minimum_level": known.minimums[action.name],
        "needs_root": action.needs_root,
        "summary": action.summary,
    }


def show_actions(known: Catalogue, out: Out) -> int:
    data = [_action_json(known, action) for action in known.actions.by_name.values()]
    data.sort(key=lambda item: (not item["available"], item["name"]))
    rows = []
    for item in data:
        names = [*item["aliases"], *(f"{name} ({who})" for who, own in item["provider_names"].items() for name in own)]
        here = say("yes") if item["available"] else say("not yet")
        state = Text(shown(here), style="green" if item["available"] else "dim") if out.form == "table" else here
        cells = (item["name"], state, item["effect"], item["minimum_level"])
        rows.append((*cells, item["summary"], ", ".join(names)))
    columns = (say("action"), say("here"), say("effect"), say("level"), say("what it does"), say("other names"))
    out.table(columns, rows, data, whole=columns[:4])
    _legend(out)
    return 0


def _legend(out: Out) -> None:
    if out.form == "table":
        text = say("{levels}. `level` is the lowest that an action accepts.", levels=compatibility_guard.LEGEND)
        out.say(text, "dim")


def _parameters(action: Action) -> dict[str, Any]:
    """Each parameter with its default as JSON; None for one that must be given."""
    schema = action.params.model_json_schema()
    return {name: part.get("default") for name, part in schema.get("properties", {}).items()}


def _explain_one(known: Catalogue, config: NetworkConfig, asked: Action, provider: str) -> dict[str, Any]:
    action = overridden(asked, provider, config, known)
    share = rollout.in_force(config.rollout.get(provider), known.providers[provider].default_rollout)
    return {
        "provider": provider,
        **_action_json(known, action),
        "overrides": asked.name if action.name != asked.name else None,
        "own_names": _external(known, action).get(provider, []),
        "rollout_percent": str(share.percent),
        "pilot": list(share.pilot),
        "never": list(share.never),
        "compat_mode": config.compatibility.mode,
        "parameters": _parameters(action),
        "configured": masked_parameters(configured(action, config, known), harmless_parameters(action.params)),
        "stages": action.stages,
        "busy_check": known.providers[provider].busy_check,
        "observe": action.observe,
    }


def show_explanation(known: Catalogue, config: NetworkConfig, name: str, provider: str | None, out: Out) -> int:
    provider = known_provider(provider, known)
    chosen = [provider] if provider else sorted(known.providers)
    asked = named(known, name, provider)
    data = [_explain_one(known, config, asked, one) for one in chosen]
    if out.form in ("json", "ndjson"):
        out.table((), (), data)
        return 0
    head = [] if out.form == "table" else [(say("provider"), *chosen)]
    out.table(("", *chosen), [*head, *_rows(data)], ())
    _legend(out)
    _scripts(data, out)
    return 0


def _rows(data: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    def row(title: str, key: str) -> tuple[str, ...]:
        return (title, *(_cell(item[key]) for item in data))

    yield row(say("action"), "name")
    if any(item["overrides"] for item in data):
        yield row(say("instead of"), "overrides")
    yield row(say("its own names"), "own_names")
    yield row(say("first-generation names"), "aliases")
    yield row(say("available"), "available")
    yield row(say("effect"), "effect")
    yield row(say("may touch"), "roles")
    yield row(say("needs root"), "needs_root")
    yield (say("minimum level"), *(compatibility_guard.explained(item["minimum_level"]) for item in data))
    yield row(say("compatibility"), "compat_mode")
    yield (say("rollout"), *(f"{item['rollout_percent']} %" for item in data))
    yield row(say("pilot hosts"), "pilot")
    yield row(say("never"), "never")
    yield row(say("stages at most"), "stages")
    yield row(say("parameters"), "parameters")
    yield row(say("configured"), "configured")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(name if inner is None else f"{name}={_compact(inner)}" for name, inner in value.items()) or "-"
    return "-" if value in (None, "") else str(value)


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _scripts(data: list[dict[str, Any]], out: Out) -> None:
    """Each distinct script once, with the providers that it is for."""
    by_text: dict[str, list[str]] = {}
    for item in data:
        by_text.setdefault(item["observe"].strip(), []).append(item["provider"])
    for text, providers in by_text.items():
        title = say(
            "what it reads first, without changing anything ({providers}), after the engine's own facts:",
            providers=", ".join(providers),
        )
        lines = (f"  {one_line(line)}\n" for line in text.splitlines() or [shown(say("(nothing of its own)"))])
        out.write(f"\n{shown(title)}\n{''.join(lines)}")
