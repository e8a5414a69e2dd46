"""First-generation documents (``PARAM_*``) translated to schema version 2."""

from __future__ import annotations

from typing import Any

from contracts.notes import Note


def is_first_generation(data: dict[str, Any]) -> bool:
    """A document without ``schema_version`` that carries the first generation's required key."""
    return "schema_version" not in data and any(key.startswith("PARAM_") for key in data)


def translate(data: dict[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    return data, []
