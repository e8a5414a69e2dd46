"""Results and runs as JSON text. Never fails on odd content: a record that cannot be written would be a result lost.

Called by the ledger and by everything here that keeps a structure in a text column.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.bounded import Unreadable, read_json
from contracts.stored_text import sentences_of
from runtime.domain import wire
from runtime.domain.model import HostResult, RunInfo

RESULT_LIMIT = 256 * 1024
SENTENCES_LIMIT = 32 * 1024
_KEPT = 1000


def dumps(value: Any) -> str:
    """ASCII JSON of plain data, dataclasses, enums, instants, secrets (as ``***``); anything else as its text.

    ASCII, because text from terminals may hold lone surrogates, which SQLite does not take.
    """
    try:
        return json.dumps(value, default=_fallback, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        return json.dumps(_tamed(value), separators=(",", ":"))


def loads(text: str | None) -> Any:
    """Plain data; None for an empty column or one that cannot be read."""
    try:
        return None if text is None else read_json(text)
    except Unreadable:
        return None


def stored_name(text: str) -> str:
    """A name as it is, so that it is found again; half of a surrogate pair, which SQLite does not take, is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def encode_result(info: RunInfo, result: HostResult) -> str:
    """The result as every reader sees it. Above RESULT_LIMIT bytes facts and report are left out, and it says so."""
    text = dumps(wire.result_json(info, result))
    if len(text) <= RESULT_LIMIT:
        return text
    shorter = dataclasses.replace(
        result,
        message=result.message[:_KEPT],
        detail=result.detail[:_KEPT],
        steps=tuple(dataclasses.replace(step, output=step.output[:_KEPT]) for step in result.steps[:100]),
        plan=tuple(line[:_KEPT] for line in result.plan[:100]),
        stages=tuple(
            dataclasses.replace(stage, summary=tuple(line[:_KEPT] for line in stage.summary[:20]))
            for stage in result.stages[:20]
        ),
        facts={},
        report={"left_out": f"the result had {len(text)} bytes; at most {RESULT_LIMIT} are kept"},
        compatibility={},
    )
    return dumps(wire.result_json(info, shorter))


def encode_sentences(texts: Iterable[str]) -> str | None:
    """How these texts were made; None where none of them can be translated, or that takes more than SENTENCES_LIMIT bytes."""
    found = sentences_of(texts)
    text = dumps(found) if found else ""
    return text if 0 < len(text) <= SENTENCES_LIMIT else None


def result_sentences(result: HostResult) -> str | None:
    """Of the sentences that people are shown of a result."""
    gates, stages = (gate.text for gate in result.gates), (line for stage in result.stages for line in stage.summary)
    return encode_sentences((result.message, *gates, *(step.name for step in result.steps), *result.plan, *stages))


def _fallback(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _tamed(value: Any, depth: int = 0) -> Any:
    """The slow way for what JSON has no word for: NaN, keys that are no text, structures that contain themselves."""
    if depth > 20:
        return "..."
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _tamed(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_tamed(inner, depth + 1) for inner in value]
    return _tamed(_fallback(value), depth + 1)
