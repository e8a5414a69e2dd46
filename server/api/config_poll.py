"""Answers the usual poll of a proxy before Flask sees it. Wrapped around the application by :func:`server.app.create_app`.

Nearly all traffic is proxies asking for their document, and routing and request objects cost more than the answer does. This
saves that cost and decides nothing: who may have what is asked where every endpoint asks, in
:mod:`server.services.tokens.admission`. What is no plain poll, or is no 200 and no 304, goes to Flask, which has every error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from contracts.ids import correlation_id
from server.api.bot_config import CACHE_CONTROL, CONTENT_TYPE, PATH, bot_config
from server.api.caller_address import caller_address
from server.api.requests import log_request
from server.auth import required_scope
from server.reasons.problem import CORRELATION_HEADER
from server.services.tokens.admission import admission
from server.wiring import Services

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_SCOPE = required_scope(bot_config)  # the endpoint's own requirement
_QUERY = re.compile(r"rede=([A-Za-z0-9_.-]{1,64})|")
_ONE_ETAG = re.compile(r'"[!#-~]*"')


class ConfigPoll:
    """A WSGI application in front of another. ``all_lines``: a poll that found nothing new is logged too."""

    def __init__(self, app: WSGIApplication, services: Services, *, all_lines: bool = False) -> None:
        self._app = app
        self._services = services
        self._all_lines = all_lines

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "GET":
            answer = self._answer(environ, start_response)
            if answer is not None:
                return answer
        return self._app(environ, start_response)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        started = time.perf_counter()
        token, query = environ.get("HTTP_X_BOT_TOKEN"), _QUERY.fullmatch(environ["QUERY_STRING"])
        known = environ.get("HTTP_IF_NONE_MATCH")
        plain = known is None or _ONE_ETAG.fullmatch(known)
        if not (token and query and plain) or "HTTP_AUTHORIZATION" in environ:
            return None
        services = self._services
        try:
            now = services.clock()
            admitted = admission(services.rows, token, _SCOPE, query[1], now)
            current = admitted.served()
            body = None if known == current.etag else services.documents.opened(current)
        except Exception:  # whatever it is, Flask takes the request, meets it too, logs it and has the answer
            return None
        principal = admitted.principal
        services.last_use.note(principal.token_id, now)
        correlation = correlation_id(environ.get("HTTP_X_CORRELATION_ID"))
        headers = [("ETag", current.etag), ("Cache-Control", CACHE_CONTROL), (CORRELATION_HEADER, correlation)]
        if body is not None:
            headers += [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))]
        if body is not None or self._all_lines:
            log_request(
                "GET",
                PATH,
                304 if body is None else 200,
                started,
                caller_address(environ.get("REMOTE_ADDR")),
                client=principal.client,
                token=principal.public_id,
                correlation_id=correlation,
            )
        start_response("304 NOT MODIFIED" if body is None else "200 OK", headers)
        return () if body is None else (body,)
