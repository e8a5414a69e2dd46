"""Reads the body of a request within bounds. Called by the blueprints."""

from __future__ import annotations

from flask import request

from server.errors import ApiError


def read_body(limit: int, *, advice: str) -> bytes:
    """At most ``limit`` bytes; ``advice``: what to send instead of more. ApiError for a longer or an incomplete body."""
    try:
        # Counted here: Werkzeug's own limit cuts a body that comes in chunks instead of refusing it.
        raw = request.stream.read(limit + 1)
    except OSError:  # the caller has gone, or was silent for too long
        raise ApiError(400, "body_incomplete", "the body ended too early; send the request again") from None
    if len(raw) > limit:
        raise ApiError(413, "body_too_large", f"at most {limit} bytes are taken; {advice}")
    return raw
