"""Who is asking: the token of the request, checked. Called by every endpoint that needs one."""

from __future__ import annotations

from flask import g, request

from server.errors import ApiError
from server.reasons.refusal import Refusal
from server.services.tokens.access import Scope
from server.services.tokens.admission import Admission, admission
from server.wiring import Services


def authorized(services: Services, scope: Scope) -> Admission:
    """The owner of the request's token, which must have the scope, for the network asked for. Its use is remembered, its owner is
    put on the log line."""
    now = services.clock()
    text, network = presented(), network_asked_for()
    try:
        admitted = admission(services.rows, text, scope, network, now)
    except Refusal as refusal:
        g.token = refusal.token
        raise
    g.principal = admitted.principal
    services.last_use.note(admitted.principal.token_id, now)
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


def network_asked_for() -> str | None:
    """``rede``; None when it is missing or empty, as a proxy sends it that does not know its network yet."""
    values = set(request.args.getlist("rede"))
    if len(values) > 1:
        raise ApiError(400, "network_ambiguous", "rede is given more than once; give it once")
    return (values.pop() or None) if values else None
