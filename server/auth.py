"""Who is asking: the token of the request, checked. Called by every endpoint that needs one."""

from __future__ import annotations

from flask import g, request

from server.api.parameters import network_asked_for
from server.context import Context
from server.errors import ApiError
from server.services.access import Scope
from server.services.admission import Admission, admission
from server.services.refusal import Refusal


def authorized(context: Context, scope: Scope) -> Admission:
    """The owner of the request's token, which must have the scope, for the network asked for. Its use is remembered, its owner is
    put on the log line."""
    now = context.clock()
    text, network = presented(), network_asked_for()
    try:
        admitted = admission(context.rows, text, scope, network, now)
    except Refusal as refusal:
        g.token = refusal.token
        raise
    g.principal = admitted.principal
    context.last_use.note(admitted.principal.token_id, now)
    return admitted


def presented() -> str:
    """The token's text, from ``X-Bot-Token`` or ``Authorization: Bearer``. ApiError and Refusal when there is not exactly one."""
    bot = request.environ.get("HTTP_X_BOT_TOKEN", "").strip()
    scheme, _, credentials = request.environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    if bot and bearer and bot != bearer:
        raise ApiError(400, "token_ambiguous", "X-Bot-Token and Authorization hold different tokens; send one of them")
    if not bot and not bearer:
        raise Refusal(
            "token_missing",
            "send a token in X-Bot-Token, or as Authorization: Bearer; get one with: flagee-server token issue",
        )
    return bot or bearer
