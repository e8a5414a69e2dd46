"""A text that must never be seen: prints, logs and serialises as ``***``. Used by both sides for every credential."""

from __future__ import annotations

import re
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

MASK = "***"

# Names of values that are secrets, in the languages of those who name them. A `key` or `pin` counts as a word of its own only.
_SOUNDS_SECRET = re.compile(
    r"pass(?!ive)|pwd|token|secret|segredo|senha|chave|credential|credencia|private.?key|api.?key|"
    r"(?:^|[^a-z])(?:key|pin|otp|auth)(?:$|[^a-z])",
    re.IGNORECASE,
)


def sounds_secret(name: str) -> bool:
    """Whether a value by this name is probably a secret."""
    return _SOUNDS_SECRET.search(name) is not None


class Secret:
    """Holds one secret text. Only :meth:`reveal` gives it back, so a search for that word finds every use."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Secret is not pickled: it would leave the process in clear text")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def parse(value: object, text: core_schema.ValidatorFunctionWrapHandler) -> Secret:
            return value if isinstance(value, Secret) else cls(text(value))

        return core_schema.no_info_wrap_validator_function(
            parse,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "password", "writeOnly": True}
