"""Every error becomes one ``application/problem+json`` answer here. Registered by :func:`server.app.create_app`."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from flask import Flask, Response, current_app, g
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from server.reasons.problem import CONTENT_TYPE, INTERNAL_ERROR, MALFORMED, NOT_FOUND, MalformedRequest, problem_body
from server.reasons.refusal import Reason, Refusal
from server.storage.causes import Code, DatabaseReplaced, DatabaseUnavailable
from server.storage.faults import explain
from server.wiring import EXTENSION, Services

_log = structlog.get_logger("server.errors")

# Reasons that are not listed come from the CLI's use cases only.
_STATUS: dict[Reason, int] = {
    "token_missing": 401,
    "token_unknown": 401,
    "token_revoked": 403,
    "token_expired": 403,
    "token_used": 403,
    "scope_missing": 403,
    "network_not_allowed": 403,
    "network_required": 400,
    "configuration_missing": 404,
    "configuration_invalid": 409,
    "configuration_changed": 409,
    "installer_value_invalid": 409,
    "agent_elsewhere": 409,
    "configuration_damaged": 503,
    "public_url_missing": 503,
    "assets_missing": 503,
    "secret_key_missing": 503,
    "secret_key_mismatch": 503,
}
# The operator has to correct these, and the caller is told the cause too: no key, path or host is in it.
_HARMLESS: frozenset[Reason] = frozenset({"public_url_missing"})
_MISCONFIGURED = "The server is misconfigured; its log names the setting to correct."
_RETRY_AFTER = "30"  # seconds; a proxy keeps its last valid configuration meanwhile


class ApiError(Exception):
    """An answer that is an error. ``reason`` is for programs; ``detail`` tells the caller what to do next."""

    def __init__(self, status: int, reason: str, detail: str, *, networks: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.networks = networks


def register(app: Flask) -> None:
    app.register_error_handler(ApiError, _answer)
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(MalformedRequest, _malformed)
    app.register_error_handler(SQLAlchemyError, _database)
    app.register_error_handler(DatabaseUnavailable, _database)
    app.register_error_handler(Exception, _unexpected)


def _answer(error: ApiError) -> Response:
    g.reason = error.reason
    body = problem_body(error.status, error.reason, error.detail, g.correlation_id, error.networks)
    response = Response(body, status=error.status, content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if error.status == 401:
        invalid = ', error="invalid_token"' if error.reason == "token_unknown" else ""
        response.headers["WWW-Authenticate"] = f'Bearer realm="flageemonitor"{invalid}'
    if error.status == 503:
        response.headers["Retry-After"] = _RETRY_AFTER
    return response


def _refused(refusal: Refusal) -> Response:
    status = _STATUS[refusal.reason]
    if status == 503:  # the operator has to correct it: the log has the cause, the caller only the outline
        _log.error("cannot_serve", reason=refusal.reason, cause=refusal.message)
        if refusal.reason not in _HARMLESS:
            return _answer(ApiError(status, refusal.reason, _MISCONFIGURED))
    return _answer(ApiError(status, refusal.reason, refusal.message, networks=refusal.networks))


def _http(error: HTTPException) -> BaseResponse:
    """Errors of routing and parsing. Their own headers stay, such as Allow."""
    status = error.code or 500
    if status < 400:
        return error.get_response()  # a redirect, from //health to /health
    reason, detail = _ROUTING.get(status, ("bad_request", error.description or "the request cannot be understood"))
    response = _answer(ApiError(status, reason, detail))
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _malformed(_: Exception) -> Response:
    return _answer(ApiError(400, "bad_request", MALFORMED))


_ROUTING = {
    404: ("not_found", NOT_FOUND),
    405: ("method_not_allowed", "this path takes other methods, see the Allow header"),
}


# Told to the caller by name; everything else is database_unavailable.
_NAMED: dict[Code, str] = {
    "disk_full": "the server's disk is full and nothing was stored; try again when its operator has freed space",
    "read_only": "the server's database takes no writes and nothing was stored; the server's log says why",
    "database_replaced": "the server's database file was replaced or removed while it was in use; "
    "nothing is served or stored until the server's operator has restarted it",
}


_LOCKED = "the server's database is locked by another process and nothing was stored; try again later"
_UNAVAILABLE = "the database cannot be used just now; try again later, the server's log says why"


def _database(error: Exception) -> Response:
    services: Services = current_app.extensions[EXTENSION]
    if not isinstance(error, DatabaseReplaced):  # that was logged once, when it was noticed
        _log.error("database_failed", cause=explain(error, services.database))
    cause = services.database.cause_of(error)
    if cause and cause.code in _NAMED:
        return _answer(ApiError(503, cause.code, _NAMED[cause.code]))
    detail = _LOCKED if cause and cause.code == "locked" else _UNAVAILABLE
    return _answer(ApiError(503, "database_unavailable", detail))


def _unexpected(error: Exception) -> Response:
    _log.error("unexpected_error", exc_info=error)
    return _answer(
        ApiError(
            500,
            "internal_error",
            INTERNAL_ERROR,
        )
    )
