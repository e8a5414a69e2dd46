"""A document as it may be shown: values of declared names, and ``***`` for secrets and for every name that nobody has declared,
since it may be a secret under another name. Names are always shown. Valid or not, either generation. Pure.

Called for `config show`, `explain` and differences. The models and the table of the first generation are the declaration.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, Literal, Union

from pydantic import BaseModel

from contracts.config import NetworkConfig
from contracts.legacy_keys import KEYS, SECRET_KEYS
from contracts.secret import MASK, Secret, sounds_secret

_URL_USER = re.compile(r"(?<=://)[^/?#\s]+@")
_FIRST_GENERATION = frozenset(key.name.partition(".")[0] for key in KEYS)
_PER_PROVIDER = "PARAM_ROLLOUT_"


def masked(data: Mapping[str, Any], parameters: Collection[str] = ()) -> dict[str, Any]:
    """``parameters``: names that actions declare and that are no secrets; values of others in ``params`` are masked."""
    shown: dict[str, Any] = {}
    for key, value in data.items():
        if key in SECRET_KEYS:
            shown[key] = MASK if value else value
        elif key in NetworkConfig.model_fields:
            shown[key] = _of_type(value, NetworkConfig.model_fields[key].annotation, parameters)
        elif key in _FIRST_GENERATION or key.startswith(_PER_PROVIDER):
            shown[key] = shown_by_name(key, value)
        else:
            shown[key] = hidden(value)
    return shown


def masked_parameters(values: Mapping[str, Any], parameters: Collection[str]) -> dict[str, Any]:
    """Parameters of an action, those in ``parameters`` as they are."""
    return {name: shown_by_name(name, value) if name in parameters else hidden(value) for name, value in values.items()}


def shown_by_name(name: str, value: Any) -> Any:
    """A declared value; what sounds like a secret inside of it is masked, and so is a password in a URL."""
    if isinstance(value, Secret) or sounds_secret(name):
        return MASK if value else value
    if isinstance(value, Mapping):
        return {key: shown_by_name(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shown_by_name(name, inner) for inner in value]
    return _URL_USER.sub(f"{MASK}@", value) if isinstance(value, str) else value


def hidden(value: Any) -> Any:
    """Nothing but names, and what cannot be a secret: yes, no, and nothing."""
    if isinstance(value, Mapping):
        return {key: hidden(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(inner) for inner in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _of_type(value: Any, annotation: Any, parameters: Collection[str]) -> Any:
    """As the schema says; where the value is not of that kind, nothing says that it is harmless."""
    members = [one for one in _members(annotation) if one is not type(None)]
    if Secret in members:
        return MASK if value else value
    if isinstance(value, dict):
        return _of_map(value, members, parameters)
    if isinstance(value, list):
        inner = next((typing.get_args(one)[0] for one in members if typing.get_origin(one) is tuple), None)
        return [_of_type(one, inner, parameters) for one in value] if inner else hidden(value)
    if all(_is_model(one) or typing.get_origin(one) in (dict, tuple) for one in members):
        return hidden(value)
    return _URL_USER.sub(f"{MASK}@", value) if isinstance(value, str) else value


def _of_map(value: dict[str, Any], members: list[Any], parameters: Collection[str]) -> dict[str, Any]:
    models = [one for one in members if _is_model(one)]
    if models:
        return _of_model(value, _model_for(value, models), parameters)
    inner = next((typing.get_args(one)[1] for one in members if typing.get_origin(one) is dict), None)
    if inner is Any:
        return masked_parameters(value, parameters)
    if inner is str:
        return {key: shown_by_name(key, text) if isinstance(text, str) else hidden(text) for key, text in value.items()}
    return {key: _of_type(one, inner, parameters) if inner else hidden(one) for key, one in value.items()}


def _of_model(value: dict[str, Any], model: type[BaseModel] | None, parameters: Collection[str]) -> dict[str, Any]:
    fields = model.model_fields if model else {}
    return {
        key: _of_type(inner, fields[key].annotation, parameters) if key in fields else hidden(inner)
        for key, inner in value.items()
    }


def _model_for(value: dict[str, Any], models: list[type[BaseModel]]) -> type[BaseModel] | None:
    """The member of a union that the value's `kind` names; None when it names none, and then nothing is declared."""
    if len(models) == 1:
        return models[0]
    kinds = {typing.get_args(model.model_fields["kind"].annotation)[0]: model for model in models}
    return kinds.get(value["kind"]) if isinstance(value.get("kind"), str) else None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _members(annotation: Any) -> list[Any]:
    """The plain types of an annotation: members of a union, without what Annotated adds."""
    if hasattr(annotation, "__metadata__"):
        return _members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (Union, UnionType):
        return [inner for one in typing.get_args(annotation) for inner in _members(one)]
    return [str] if typing.get_origin(annotation) is Literal else [annotation]
