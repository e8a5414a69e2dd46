"""The filters of `run` and `hosts` as options of a command line, and what was typed as a selector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from contracts.text import say
from runtime.domain.errors import UsageFault
from runtime.domain.filters import FILTERS, Filter
from runtime.domain.model import Selector


def options() -> list[click.Parameter]:
    """Every one that is given must hold. Several values: repeat the option, or separate by commas."""
    return [
        *map(_option, FILTERS),
        click.Option(
            ["--rede", "--network", "network"], metavar="CODE", help="Must be the network that this proxy serves."
        ),
        click.Option(
            ["--limit"], type=click.IntRange(1), metavar="N", help="Select at most N hosts, in order of store."
        ),
        click.Option(["--all", "everything"], is_flag=True, help="Select every host of the network."),
        click.Option(
            ["--ignore-missing"],
            is_flag=True,
            help="Continue with the other hosts when a value of a filter matches no host.",
        ),
    ]


def _option(one: Filter) -> click.Option:
    kind = click.IntRange(*one.bounds) if one.bounds else click.STRING
    return click.Option([*one.options, one.field], type=kind, multiple=one.many, metavar=one.metavar, help=one.help)


def selector(values: Mapping[str, Any]) -> Selector:
    """``values``: by the names of the options above. Raises UsageFault."""
    given = {one.field: _read(one, values[one.field]) for one in FILTERS}
    if values["network"] is not None:
        _require_text("--rede", values["network"])
    return Selector(**given, limit=values["limit"], all=values["everything"])


def _read(one: Filter, typed: Any) -> Any:
    if one.bounds:  # the option parser has read it
        return typed
    texts = tuple(typed) if one.many else (() if typed is None else (typed,))
    for text in texts:
        _require_text(one.option, text)
    if one.commas:
        texts = tuple(word.strip() for text in texts for word in text.split(",") if word.strip())
    values = tuple(one.read(text) for text in texts)
    if one.field == "tags":
        _require_one_value_each(values)
        values = tuple(sorted(values))
    if one.many:
        return values
    return values[0] if values else None


def _require_text(option: str, text: str) -> None:
    if not text.replace(",", " ").strip():
        # A variable that a script forgot to set must not widen the run to everything.
        message = say("{option} is given without a value", option=option)
        raise UsageFault("empty_filter", message, say("give one, or leave the option out"))


def _require_one_value_each(tags: tuple[tuple[str, str], ...]) -> None:
    names = [name for name, _ in tags]
    for name in names:
        if names.count(name) > 1:
            raise UsageFault("bad_tag", say("--tag {name} is given twice", name=name), say("give only one of them"))
