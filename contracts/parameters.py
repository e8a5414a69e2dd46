"""Parameters of actions as they travel: JSON Schema in the catalogue, and the typed model that is made from it again.

An action declares its parameters in Python on the proxy; the control plane knows them from `contracts/catalogue.json` alone. A
type that plain JSON Schema cannot say has a ``format``, and a format is one type of :mod:`contracts`, so both sides check with
the same code. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model

from contracts.config import Address, Cidr, CronText, HostOrAddress, WallTime, ZoneFile, ZoneName
from contracts.secret import Secret
from contracts.visible import quoted
from contracts.windows import Window

SECRET = "password"  # noqa: S105  # the format of JSON Schema for what must not be shown
FORMATS: Mapping[str, Any] = {
    "time": WallTime,
    "time-zone": ZoneName,
    "zone-file": ZoneFile,
    "host-or-address": HostOrAddress,
    "ip-address": Address,
    "ip-network": Cidr,
    "cron": CronText,
    "window": Window,
    SECRET: Secret,
}
_SIMPLE: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
# Keyword of JSON Schema -> argument of Field.
_LIMITS = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minItems": "min_length",
    "maxItems": "max_length",
}
_SAID = {"type", "format", "title", "description", "default", "writeOnly", "properties", "required", "items",
         "additionalProperties", "anyOf", "enum", "const", "$ref", "$defs"}  # fmt: skip

Schema = Mapping[str, Any]


def model_of(schema: Schema, name: str = "Parameters") -> type[BaseModel]:
    """The model that a schema of the catalogue describes. Raises ValueError for a keyword or format that it cannot carry."""
    model = _type(schema, schema.get("$defs", {}), name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ValueError(f"{name}: parameters are an object")  # noqa: TRY004
    return model


def secrets_of(schema: Schema) -> frozenset[str]:
    """The names of top-level parameters that are secret."""
    return frozenset(name for name, part in schema.get("properties", {}).items() if _is_secret(part))


def _is_secret(part: Schema) -> bool:
    return part.get("format") == SECRET or any(_is_secret(one) for one in part.get("anyOf", ()))


def _type(schema: Schema, defs: Mapping[str, Schema], name: str) -> Any:
    strange = schema.keys() - _SAID - _LIMITS.keys()
    if strange:
        raise ValueError(f"{name}: the catalogue cannot carry {', '.join(sorted(strange))}")
    if "$ref" in schema:
        target = schema["$ref"].rpartition("/")[2]
        return _type(defs[target], defs, target)
    if "format" in schema:
        if schema["format"] not in FORMATS:
            raise ValueError(f"{name}: unknown format {quoted(schema['format'])}")
        return FORMATS[schema["format"]]
    if "anyOf" in schema:
        return Union[tuple(_type(one, defs, name) for one in schema["anyOf"])]  # noqa: UP007  # members known at run time
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema["enum"]) if "enum" in schema else (schema["const"],)]
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, defs, name)
    limits = {_LIMITS[key]: value for key, value in schema.items() if key in _LIMITS}
    if kind == "array":
        plain: Any = GenericAlias(tuple, (_type(schema.get("items", {}), defs, name), ...))
    else:
        plain = _SIMPLE[kind] if kind is not None else Any
    return Annotated[plain, Field(**limits)] if limits else plain


def _object(schema: Schema, defs: Mapping[str, Schema], name: str) -> Any:
    if "properties" not in schema:
        inner = schema.get("additionalProperties", True)
        values: Any = _type(inner, defs, name) if isinstance(inner, Mapping) else Any
        return GenericAlias(dict, (str, values))
    required = schema.get("required", ())
    fields: dict[str, Any] = {
        key: (_type(part, defs, f"{name}.{key}"), ... if key in required else Field(None, validate_default=False))
        for key, part in schema["properties"].items()
    }
    for key, part in schema["properties"].items():
        if "default" in part:
            fields[key] = (fields[key][0], Field(part["default"], validate_default=True))
    config = ConfigDict(extra="forbid", frozen=True)
    return create_model(name.rpartition(".")[2] or name, __config__=config, **fields)
