"""Where two values of one model differ, as dotted paths with both values in short; secrets are compared and never shown. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from contracts.masking import shown_by_name
from contracts.secret import MASK, Secret
from contracts.text import say

_LONGEST = 60
Difference = tuple[str, str, str]  # path, before, after


def differences(before: BaseModel, after: BaseModel, path: str = "") -> Iterator[Difference]:
    """Each place once. Lists of parts are compared by their `id` or `name`, so that a moved entry is no difference."""
    if type(before) is not type(after):
        yield path, _kind(before), _kind(after)
        return
    for name in type(before).model_fields:
        yield from _values(getattr(before, name), getattr(after, name), f"{path}.{name}" if path else name)


def shown(name: str, value: Any) -> str:
    """A value in short; one whose name sounds like a secret is masked."""
    if value is None:
        return say("none")
    plain = shown_by_name(name, value)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _values(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        yield from differences(before, after, path)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _keyed(before, after, path)
    elif (was := _by_key(before)) is not None and (now := _by_key(after)) is not None:
        yield from _keyed(was, now, path)
    elif Secret in (type(before), type(after)):
        yield path, MASK if before else say("none"), say("a new value") if after else say("none")
    else:
        name = path.rpartition(".")[2]
        yield path, shown(name, _plain(before)), shown(name, _plain(after))


def _keyed(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Difference]:
    for key in sorted(before.keys() | after.keys()):
        if key in before and key in after:
            yield from _values(before[key], after[key], f"{path}.{key}")
        else:
            was, now = (say("there") if key in side else say("none") for side in (before, after))
            yield f"{path}.{key}", was, now


def _by_key(value: Any) -> Mapping[str, Any] | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    keyed = {
        str(key): part
        for part in value
        if isinstance(part, BaseModel) and (key := getattr(part, "id", None) or getattr(part, "name", None))
    }
    return keyed if (len(keyed) == len(value) and keyed) or not value else None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _kind(value: BaseModel) -> str:
    return str(getattr(value, "kind", type(value).__name__.lower()))
