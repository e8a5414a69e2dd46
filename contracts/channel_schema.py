"""The JSON Schema of the channel, made from its types: what a client in any language is written from. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import heartbeat, ingest
from contracts.bodies import BODIES
from contracts.envelope import MOST_ENVELOPES, Envelope
from contracts.kinds import KINDS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def channel_schema() -> dict[str, Any]:
    """``$defs``: Batch, Envelope, every body, and the answers. An envelope's body is what its kind and sub say."""
    bodies = dict.fromkeys(BODIES.values())
    types = [Envelope, ingest.Ingested, heartbeat.Report, heartbeat.Answer, *bodies]
    _, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    parts = {**{f"Heartbeat{name}": parts.pop(name) for name in ("Report", "Answer")}, **parts}
    envelope = parts["Envelope"]
    envelope["properties"]["kind"] = {"enum": sorted(KINDS)}
    envelope["properties"]["body"] = {"type": "object"}
    envelope["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}, "sub": {"const": sub}}, "required": ["kind", "sub"]},
            "then": {"properties": {"body": {"$ref": f"#/$defs/{body.__name__}"}}},
        }
        for (kind, sub), body in BODIES.items()
    ]
    parts["Batch"] = {"type": "array", "maxItems": MOST_ENVELOPES, "items": {"$ref": "#/$defs/Envelope"}}
    for part in parts.values():
        if "description" in part:
            part["description"] = " ".join(part["description"].replace("``", "`").split())
    return {"$schema": _DIALECT, "title": "FlageeMonitor channel", "$defs": dict(sorted(parts.items()))}
