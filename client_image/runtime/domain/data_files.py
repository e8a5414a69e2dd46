"""Reads the product's own data files (providers, matrices) from text into typed models, with errors that name file and key.

Called by the parsers of `providers` and `compatibility_guard`; the text itself is read by `adapters.assets`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contracts.bounded import MAX_DEPTH, Unreadable, require_bounds
from contracts.document import problems_of
from contracts.text import joined, say
from runtime.domain.errors import RunError

Model = TypeVar("Model", bound=BaseModel)

if TYPE_CHECKING:
    from yaml import SafeLoader as _Loader
else:  # libyaml, where the wheel carries it: ten times as fast, at every start
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_MAX_CHARACTERS = 1024 * 1024


class DataFault(RunError):
    """A data file that the image carries cannot be used, so no run may start. ``key`` is dotted, empty for the whole file."""

    exit_code = 3

    def __init__(self, where: str, key: str, problem: str) -> None:
        super().__init__(
            "bad_data_file",
            joined((where, key, problem) if key else (where, problem), ": "),
            say("the file belongs to the image: correct it there, or go back to the previous image"),
        )
        self.where, self.key, self.problem = where, key, problem


def read(model: type[Model], text: str, where: str) -> Model:
    """``where`` names the file in errors. Raises DataFault for the first thing wrong with it."""
    try:
        return model.model_validate(_parse(text, where))
    except ValidationError as error:
        first = problems_of(error)[0]
        raise DataFault(where, first.path, first.message) from None


class _UniqueKeys(_Loader):
    """YAML lets the last of two equal keys win, in silence; here that is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key given twice: {name}", problem_mark=node.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _parse(text: str, where: str) -> Any:
    try:
        _require_plain(text)
        data = _UniqueKeys(text).get_single_data()
        require_bounds(data)
    except Unreadable as error:
        raise DataFault(where, error.path, error.message) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise DataFault(where, "", say("not readable as YAML: {cause}", cause=text)) from None
    return data


def _require_plain(text: str) -> None:
    """No references, where a few lines stand for millions, and no nesting that ends the process: libyaml composes by recursion in
    C, which no exception can stop."""
    if len(text) > _MAX_CHARACTERS:
        raise Unreadable(
            "too_large", say("{count} characters; at most {most} are read", count=len(text), most=_MAX_CHARACTERS)
        )
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1 if event.start_mark else "unknown"
        if depth > MAX_DEPTH:
            raise Unreadable(
                "too_deep", say("nested more than {most} levels deep, line {line}", most=MAX_DEPTH, line=line)
            )
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(
                "not_plain",
                say("a reference (*{anchor}), line {line}: write the values out", anchor=event.anchor, line=line),
            )
