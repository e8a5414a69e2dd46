"""Every error becomes one answer here: ``application/problem+json``, or a script where an installer was asked for, because what
comes there is run. Registered by :func:`server.app.create_app`.

Which reason has which status and words is said in :mod:`server.reasons.table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from server import current
from server.reasons import table
from server.reasons.problem import CONTENT_TYPE, MalformedRequest, problem_body
from server.reasons.refusal import Refusal
from server.reasons.row import Row
from server.services.installer.error_script import error_script, form_for
from server.storage.causes import DatabaseReplaced, DatabaseUnavailable
from server.storage.faults import explain

_log = structlog.get_logger(__name__)
_RETRY_AFTER = "30"  # seconds; a proxy keeps its last valid configuration meanwhile


def register(app: Flask) -> None:
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(MalformedRequest, lambda _: _answer(table.BAD_REQUEST))
    app.register_error_handler(SQLAlchemyError, _database)
    app.register_error_handler(DatabaseUnavailable, _database)
    app.register_error_handler(Exception, _unexpected)


def _answer(
    row: Row,
    detail: str = "",
    *,
    status: int | None = None,
    networks: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
) -> Response:
    """``detail``: instead of the row's words; ``status``: instead of its status; ``values``: for the words on a host."""
    g.reason = row.code
    code = status or row.status or 500
    body: str | bytes
    if form := form_for(request.path, request.headers.get("Accept", "")):
        body, content_type = error_script(form, row, code, g.correlation_id, values or {}), form.content_type
    else:
        body = problem_body(code, row.code, detail or row.told or row.text(), g.correlation_id, networks)
        content_type = CONTENT_TYPE
    response = Response(body, status=code, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    if code == 401:
        invalid = ', error="invalid_token"' if row is table.TOKEN_UNKNOWN else ""
        response.headers["WWW-Authenticate"] = f'Bearer realm="flageemonitor"{invalid}'
    if code == 503:
        response.headers["Retry-After"] = _RETRY_AFTER
    return response


def _refused(refusal: Refusal) -> Response:
    if (
        refusal.row.status == 503 and refusal.retry_after is None
    ):  # the operator has to correct it: the log has the cause
        _log.error("cannot_serve", reason=refusal.reason, cause=refusal.message)
    response = _answer(
        refusal.row, refusal.row.told or refusal.message, networks=refusal.networks, values=refusal.values
    )
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


_ROUTING = {404: table.NOT_FOUND, 405: table.METHOD_NOT_ALLOWED}


def _http(error: HTTPException) -> BaseResponse:
    """Errors of routing and parsing. Their own headers stay, such as Allow."""
    status = error.code or 500
    if status < 400:
        return error.get_response()  # a redirect, from //health to /health
    if row := _ROUTING.get(status):
        response = _answer(row)
    else:
        response = _answer(table.BAD_REQUEST, error.description or "", status=status)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


# Told to the caller by name; everything else is database_unavailable.
_NAMED = (table.DISK_FULL, table.READ_ONLY, table.DATABASE_REPLACED)
_LOCKED = table.DATABASE_UNAVAILABLE.text(
    says="the server's database is locked by another process and nothing was stored", do="try again later"
)


def _database(error: Exception) -> Response:
    database = current.services().database
    if not isinstance(error, DatabaseReplaced):  # that was logged once, when it was noticed
        _log.error("database_failed", cause=explain(error, database))
    cause = database.cause_of(error)
    if cause and cause.row in _NAMED:
        return _answer(cause.row)
    return _answer(table.DATABASE_UNAVAILABLE, _LOCKED if cause and cause.row is table.LOCKED else "")


def _unexpected(error: Exception) -> Response:
    _log.error("unexpected_error", exc_info=error)
    return _answer(table.INTERNAL_ERROR)
