"""``GET /api/ingest/bot/config[?rede=]``: a proxy's configuration document, with a strong ETag.

Polled by every proxy all day, so the usual answer, 304, is cheap: two indexed reads and no write.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request

from server.api.parameters import network_asked_for
from server.api.shortcut import PATH
from server.auth import authorized
from server.context import EXTENSION, Context
from server.services.configurations import plaintext, served
from server.services.tokens import Scope

blueprint = Blueprint("bot_config", __name__)


@blueprint.get(PATH)
def bot_config() -> Response:
    """200 with the document as it was stored, 304 when If-None-Match has its ETag; errors are problem+json."""
    context: Context = current_app.extensions[EXTENSION]
    with context.database.reading() as connection:
        principal = authorized(connection, context, Scope.CONFIG)
        current = served(connection, principal, network_asked_for())
        if _is_known_to_caller(current.etag):
            response = Response(status=304)
        else:
            response = Response(plaintext(connection, context.vault, current), content_type="application/json")
    response.headers["ETag"] = current.etag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _is_known_to_caller(etag: str) -> bool:
    given = request.environ.get("HTTP_IF_NONE_MATCH")
    if given is None:
        return False
    # The plain case first, it is nearly all of the traffic; else lists, * and what a gateway marked as weak.
    return given == etag or request.if_none_match.contains_weak(etag.strip('"'))
