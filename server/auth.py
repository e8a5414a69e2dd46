"""Who is asking: the token of the request, checked. Called by every endpoint that needs one."""

from __future__ import annotations

from flask import g, request
from sqlalchemy import Connection

from server.context import Context
from server.errors import ApiError
from server.services.refusal import Refusal
from server.services.tokens import Principal, Scope, authenticate, require


def authorized(connection: Connection, context: Context, scope: Scope) -> Principal:
    """The owner of the request's token, which must have the scope. Its use is remembered, its owner is put on the log line."""
    now = context.clock()
    principal = authenticate(connection, presented(), now)
    g.principal = principal
    require(principal, scope)
    context.last_use.note(principal.token_id, now)
    return principal


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
