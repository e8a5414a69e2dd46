"""Documents of the first generation as tests write them: what is required, and whatever a case adds."""

from __future__ import annotations

import json
from typing import Any

from contracts.config import NetworkConfig
from contracts.document import read_document

REQUIRED = {"PARAM_REDE": "REDE", "PARAM_ZABBIX_SERVER": "zabbix.example", "PARAM_TOKEN": "example-token"}


def document(**keys: Any) -> bytes:
    return json.dumps({**REQUIRED, **keys}).encode()


def config(**keys: Any) -> NetworkConfig:
    return read_document(document(**keys), strict=True).config


def levels(**keys: Any) -> dict[str, str]:
    """Path -> level of the notes."""
    return {note.path: note.level for note in read_document(document(**keys), strict=True).notes}


def at(node: Any, path: str) -> Any:
    """What stands at a dotted path; a step with brackets goes through a list."""
    step, _, rest = path.partition(".")
    node = node.get(step.removesuffix("[]"))
    if step.endswith("[]"):
        return [at(item, rest) for item in node]
    return at(node, rest) if rest else node
