"""What several endpoints read from the query. Called by the blueprints."""

from __future__ import annotations

from flask import request

from server.errors import ApiError


def network_asked_for() -> str | None:
    """``rede``; None when it is missing or empty, as a proxy sends it that does not know its network yet."""
    values = set(request.args.getlist("rede"))
    if len(values) > 1:
        raise ApiError(400, "network_ambiguous", "rede is given more than once; give it once")
    return (values.pop() or None) if values else None
