"""Around every request: the correlation id in and out, and one log line. Registered by :func:`server.app.create_app`."""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, g, request

from contracts.ids import correlation_id
from server.problem import CORRELATION_HEADER
from server.services.tokens import Principal

_log = structlog.get_logger("server.request")
_PATH_LIMIT = 200


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    g.correlation_id = correlation_id(request.environ.get("HTTP_X_CORRELATION_ID"))
    structlog.contextvars.clear_contextvars()  # the thread served somebody else before
    structlog.contextvars.bind_contextvars(correlation_id=g.correlation_id)


def _end(response: Response) -> Response:
    response.headers[CORRELATION_HEADER] = g.correlation_id
    # A poll that found nothing new and a health check say nothing; there are thousands of them.
    write = (
        _log.debug
        if response.status_code == 304 or (request.path.endswith(("/health", "/ready")) and response.status_code == 200)
        else _log.info
    )
    principal: Principal | None = g.get("principal")
    write(
        "request",
        method=request.method,
        # The query is left out: somebody may have put a token there.
        path=request.path[:_PATH_LIMIT],
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 2),
        address=request.remote_addr,
        **({"client": principal.client, "token": principal.public_id} if principal else {}),
        **({"reason": g.reason} if "reason" in g else {}),
    )
    return response
