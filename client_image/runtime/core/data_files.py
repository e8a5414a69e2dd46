"""Reads the product's own data files (providers, matrices) from text into typed models, with errors that name file and key.

Called by the parsers of `providers` and `compatibility_guard`; the text itself is read by `adapters.assets`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contracts.document import problems_of
from runtime.core.errors import RunError

Model = TypeVar("Model", bound=BaseModel)

if TYPE_CHECKING:
    from yaml import SafeLoader as _Loader
else:  # libyaml, where the wheel carries it: ten times as fast, at every start
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DataFault(RunError):
    """A data file that the image carries cannot be used, so no run may start. ``key`` is dotted, empty for the whole file."""

    exit_code = 3

    def __init__(self, where: str, key: str, problem: str) -> None:
        super().__init__(
            "bad_data_file",
            f"{where}: {key}: {problem}" if key else f"{where}: {problem}",
            "the file belongs to the image: correct it there, or go back to the previous image",
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
        names = [key.value for key, _ in node.value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(problem=f"key given twice: {twice}", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _parse(text: str, where: str) -> Any:
    try:
        loader = _UniqueKeys(text)
        return loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise DataFault(where, "", f"not readable as YAML: {text}") from None
