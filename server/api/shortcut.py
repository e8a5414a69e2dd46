"""Answers the usual poll, 304, before Flask sees it. Wrapped around the application by :func:`server.app.create_app`.

Nearly all traffic is proxies asking whether their document is still current, and routing and request objects cost more than the
answer does. Everything that is not a plain poll with a plain yes goes on to Flask, errors too; and Flask would answer a plain
poll the same. This saves time and decides nothing of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from contracts.ids import correlation_id
from server.context import Context
from server.problem import CORRELATION_HEADER
from server.services.polls import Polls

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/api/ingest/bot/config"
_QUERY = re.compile(r"rede=([A-Za-z0-9_.-]{1,64})")
_ETAG = re.compile(r'"([0-9a-f]{32})"')


class Shortcut:
    """A WSGI application in front of another."""

    def __init__(self, app: WSGIApplication, context: Context) -> None:
        self._app = app
        self._context = context
        self._polls = Polls(context.database)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        etag = environ.get("HTTP_IF_NONE_MATCH")
        if etag is None or environ["PATH_INFO"] != PATH or not self._is_current(environ, etag):
            return self._app(environ, start_response)
        headers = [
            ("ETag", etag),
            ("Cache-Control", "private, no-cache"),
            (CORRELATION_HEADER, correlation_id(environ.get("HTTP_X_CORRELATION_ID"))),
        ]
        start_response("304 NOT MODIFIED", headers)
        return ()

    def _is_current(self, environ: WSGIEnvironment, etag: str) -> bool:
        query, digest = _QUERY.fullmatch(environ["QUERY_STRING"]), _ETAG.fullmatch(etag)
        token = environ.get("HTTP_X_BOT_TOKEN")
        if not (query and digest and token) or "HTTP_AUTHORIZATION" in environ:
            return False
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return False
        now = self._context.clock()
        try:
            token_id = self._polls.unchanged(token=token, code=query[1], digest=digest[1], now=now)
        except Exception:  # whatever it is, Flask takes the request, meets it too, logs it and has the answer
            return False
        if token_id is None:
            return False
        self._context.last_use.note(token_id, now)
        return True
