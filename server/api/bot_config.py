"""``GET /api/ingest/bot/config[?rede=]``: a proxy's configuration document, with a strong ETag.

Polled by every proxy all day, so an answer is cheap: two indexed reads and no write. Plain polls are answered by
:mod:`server.api.config_poll`, with the same services.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from server.auth import endpoint
from server.current import services
from server.services.tokens.access import Scope
from server.services.tokens.admission import Admission

PATH = "/api/ingest/bot/config"
CONTENT_TYPE = "application/json"
CACHE_CONTROL = "private, no-cache"

blueprint = Blueprint("bot_config", __name__)


@blueprint.get(PATH)
@endpoint(Scope.CONFIG)
def bot_config(admitted: Admission) -> Response:
    """200 with the document as it was stored, 304 when If-None-Match has its ETag; errors are problem+json."""
    version = admitted.served()
    if request.if_none_match.contains_weak(version.tag):  # also in a list, as *, and when a gateway marked it as weak
        response = Response(status=304)
    else:
        response = Response(services().documents.opened(version), content_type=CONTENT_TYPE)
    response.headers["ETag"] = version.etag
    response.headers["Cache-Control"] = CACHE_CONTROL
    return response
