"""Around every request: the correlation id in and out, and one log line. Registered by :func:`server.app.create_app`."""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, g, request

from contracts.ids import correlation_id
from server.current import services
from server.reasons.problem import CORRELATION_HEADER
from server.services.operators.access import Operator
from server.services.tokens.access import Principal

_log = structlog.get_logger(__name__)
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
    if "reason" in g:
        services().counters.refused(g.reason, enrolment=request.endpoint == "bootstrap.enroll_agent")
    response.headers[CORRELATION_HEADER] = g.correlation_id
    principal: Principal | None = g.get("principal")
    who = {"client": principal.client, "token": principal.public_id} if principal else {}
    operator: Operator | None = g.get("operator")
    if operator:
        who = {"operator": operator.name, "token": operator.public_id}
    # A token that was refused is named when its secret was right.
    refused = {"token": g.token} if g.get("token") else {}
    why = {"reason": g.reason} if "reason" in g else {}
    log_request(
        request.method, request.path, response.status_code, g.started, request.remote_addr, **who, **refused, **why
    )
    return response


def log_request(method: str, path: str, status: int, started: float, address: str | None, **more: str) -> None:
    """One line for a request. ``started``: by the clock of :func:`time.perf_counter`."""
    # A poll that found nothing new and a health check say nothing; there are thousands of them.
    write = _log.debug if status == 304 or (path.endswith(("/health", "/ready")) and status == 200) else _log.info
    write(
        "request",
        method=method,
        # The query is left out: somebody may have put a token there.
        path=path[:_PATH_LIMIT],
        status=status,
        ms=round((time.perf_counter() - started) * 1000, 2),
        address=address,
        **more,
    )
