"""Reads a configuration document from bytes: strict where a person writes it, lenient where an older proxy reads it.

The server calls :func:`read_document` with ``strict=True`` before it stores one; the proxy with ``strict=False`` before it
replaces its last valid one. First-generation documents (``PARAM_*``) are translated by :mod:`contracts.legacy` on the way.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from contracts import broad_networks, clear_text
from contracts.bounded import Unreadable, read_json
from contracts.config import STRICT, NetworkConfig
from contracts.legacy import is_first_generation, origin, translate
from contracts.notes import Note
from contracts.pydantic_messages import sentence_of
from contracts.text import joined, say
from contracts.visible import quoted

_REASONS = {"too_large": "too_large", "too_deep": "wrong_type"}
REQUIRED = say("is required")
_MESSAGES = {"extra_forbidden": say("unknown key; is it spelled right?"), "missing": REQUIRED}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document. ``path`` is dotted, list positions in brackets; empty for the document itself."""

    path: str
    message: str

    def __str__(self) -> str:
        return joined((self.path, self.message), ": ") if self.path else self.message


class DocumentError(Exception):
    """The document cannot be used. ``reason``: not_json, wrong_type, too_large, newer_version, must_understand or invalid."""

    def __init__(self, reason: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(joined(map(str, problems), "; "))
        self.reason = reason
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document. ``notes`` say what was ignored, translated or dropped."""

    config: NetworkConfig
    generation: Literal[1, 2]
    notes: tuple[Note, ...]


def read_document(raw: bytes, *, strict: bool) -> Document:
    """Parse and validate. Raises :class:`DocumentError`; every message names the path of the wrong value."""
    data = _parse(raw)
    written = data
    notes: list[Note] = []
    generation: Literal[1, 2] = 2
    if is_first_generation(data):
        generation = 1
        data, translated = translate(data)
        notes += translated
    _check_version(data)
    unknown = _must_understand(data)
    if unknown:
        raise DocumentError(
            "must_understand",
            tuple(
                Problem(
                    "must_understand", say("{path} is not known to this version; update it first", path=quoted(path))
                )
                for path in unknown
            ),
        )
    try:
        config, ignored = _validated(data, strict=strict)
    except ValidationError as error:
        problems = problems_of(error)
        if generation == 1:
            problems = tuple(map(_with_origin, problems))
        raise DocumentError("invalid", problems) from None
    notes += ignored
    dangers = (*clear_text.notes_on(config), *broad_networks.notes_on(config))
    notes += [_where_written(note, written) for note in dangers]
    return Document(config, generation, tuple(notes))


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """Validation errors as dotted paths. Wrong values are not repeated: one may be a misplaced secret."""
    problems = []
    for item in error.errors():
        # A wrong key of a map is reported at the key, then "[key]".
        loc = item["loc"][:-1] if item["loc"][-1:] == ("[key]",) and item["type"] != "extra_forbidden" else item["loc"]
        problems.append(Problem(_dotted(loc), _MESSAGES.get(item["type"]) or sentence_of(item)))
    return tuple(problems)


def same_content(one: bytes, other: bytes) -> bool:
    """Whether two documents say the same: white space and the order of keys do not count. False when one cannot be read.

    Compared as texts and never as hashes: a hash that is kept or shown lets people guess weak secrets.
    """
    try:
        return one == other or _canonical(_parse(one)) == _canonical(_parse(other))
    except DocumentError:
        return False


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of schema version 2."""
    schema = NetworkConfig.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "config_bot.json, schema version 2",
    }


@cache
def known_paths() -> frozenset[str]:
    """Every dotted path of the schema, list positions and map keys left out; what ``must_understand`` may name."""
    return frozenset(_paths(NetworkConfig, ""))


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        data = read_json(raw)
    except Unreadable as error:
        problem = Problem(error.path, error.message)
        raise DocumentError(_REASONS.get(error.reason, "not_json"), (problem,)) from None
    if not isinstance(data, dict):
        raise DocumentError(
            "wrong_type", (Problem("", say("a JSON object is expected, this is {kind}", kind=_named(data))),)
        )
    try:
        _canonical(data).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        text = say(
            "{half} is half of a character (a surrogate without its other half): write the character itself", half=half
        )
        raise DocumentError("not_json", (Problem("", text),)) from None
    return data


def _canonical(data: Any) -> str:
    """JSON text with sorted keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


def _named(data: Any) -> str:
    """What JSON calls it."""
    kinds = {list: say("a list"), str: say("a text"), bool: say("a truth value"), type(None): "null"}
    return kinds.get(type(data), say("a number"))


def _where_written(note: Note, written: Mapping[str, Any]) -> Note:
    """The note at the key that was written: what a path of schema 2 was translated from, if that part is not there itself."""
    key = origin(note.path)
    return note if key is None or note.path.partition(".")[0] in written else replace(note, path=key)


def _with_origin(problem: Problem) -> Problem:
    key = origin(problem.path)
    if not key:
        return problem
    text = say("{problem} (translated from {key})", problem=problem.message, key=key)
    return replace(problem, message=text)


def _check_version(data: Mapping[str, Any]) -> None:
    version = data.get("schema_version", 2)
    if isinstance(version, int) and version > 2:
        raise DocumentError(
            "newer_version",
            (
                Problem(
                    "schema_version", say("is {version}; this version reads up to 2: update it first", version=version)
                ),
            ),
        )


def _must_understand(data: Mapping[str, Any]) -> list[str]:
    listed = data.get("must_understand", ())
    if not isinstance(listed, list):
        return []  # the wrong type is reported by validation, with its path
    return [path for path in listed if isinstance(path, str) and path not in known_paths()]


def _validated(data: dict[str, Any], *, strict: bool) -> tuple[NetworkConfig, list[Note]]:
    """Validated once, and again without its unknown keys, which are removed from ``data``, where they may be ignored. Raises
    ValidationError."""
    context = STRICT if strict else None
    try:
        return NetworkConfig.model_validate(data, context=context), []
    except ValidationError as error:
        extras = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
        if strict:
            raise
    notes = _remove_all(extras, data)
    return NetworkConfig.model_validate(data), notes


def _remove_all(extras: list[tuple[int | str, ...]], data: dict[str, Any]) -> list[Note]:
    """Remove what validation calls an extra key. Removing is by reported place, so the models stay the only description.

    A job whose selector has one is switched off: without a filter that we do not know it would mean more hosts than it says.
    """
    notes = []
    for loc in extras:
        _remove(data, loc)
        match loc:
            case ("schedule", int() as number, "selector", *_):
                data["schedule"][number]["enabled"] = False
                text = say(
                    "a filter that this version does not know: the job is switched off, so that it does not reach too many"
                )
                notes.append(Note("danger", _dotted(loc), text))
            case _:
                notes.append(Note("info", _dotted(loc), say("not known to this version; ignored")))
    return notes


def _remove(data: Any, loc: tuple[int | str, ...]) -> None:
    *way, last = _keys(loc)
    for step in way:
        data = data[step]
    del data[last]


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for step in _keys(loc):
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _keys(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A reported place as keys and positions of the document: pydantic adds which member of the union it took."""
    return (loc[0], *loc[2:]) if loc[:1] == ("inventory",) else loc


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _parts_in(inner)


def _paths(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in _parts_in(field.annotation):
            yield from _paths(part, f"{prefix}{name}.")
