"""Reads the body of a request within bounds. Called by the blueprints."""

from __future__ import annotations

from flask import request

from server.reasons import table
from server.reasons.refusal import Refusal


def read_body(limit: int, *, advice: str) -> bytes:
    """At most ``limit`` bytes; ``advice``: what to send instead of more. Refusals: body_too_large, body_incomplete."""
    try:
        # Counted here: Werkzeug's own limit cuts a body that comes in chunks instead of refusing it.
        raw = request.stream.read(limit + 1)
    except OSError:  # the caller has gone, or was silent for too long
        raise Refusal(table.BODY_INCOMPLETE) from None
    if len(raw) > limit:
        raise Refusal(table.BODY_TOO_LARGE, says=f"at most {limit} bytes are taken", do=advice)
    return raw
