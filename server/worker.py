"""Gunicorn's worker and logger in our shapes: what fails before Flask is problem+json too.

Named by :mod:`server.gunicorn_conf`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import sys
from http import HTTPStatus
from typing import Any

import structlog
from gunicorn import glogging
from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from contracts.ids import correlation_id
from server.heads import HEAD_S, Heads
from server.logs import configure_logging
from server.problem import (
    CONTENT_TYPE,
    CORRELATION_HEADER,
    INTERNAL_ERROR,
    MALFORMED,
    MalformedRequest,
    problem_body,
)
from server.settings import read_settings

_log = structlog.get_logger("server.worker")

_REFUSED: dict[type[Exception], tuple[int, str, str]] = {
    errors.LimitRequestLine: (414, "uri_too_long", "the address is too long; send rede and nothing else"),
    errors.LimitRequestHeaders: (
        431,
        "headers_too_large",
        "the headers are too large; a token has about sixty characters",
    ),
    errors.UnsupportedTransferCoding: (
        501,
        "transfer_coding",
        "this transfer coding is not taken; send a Content-Length",
    ),
}


class Worker(ThreadWorker):
    """Requests that cannot be parsed are answered here: no Flask has seen them.

    With TLS there may be no reverse proxy in front, so what strangers do with a connection must not end or occupy the worker.
    """

    def enqueue_req(self, conn: Any) -> None:
        try:
            super().enqueue_req(conn)
        except OSError:  # gone before the handshake; raised in the worker's main loop, where it would end the worker
            self.nr_conns -= 1
            conn.close()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        alone = read_settings(os.environ).trusted_proxies == 0
        self._heads: Heads[Any] = Heads(max(1, self.cfg.threads // 2) if alone else None)

    def handle(self, conn: Any) -> Any:
        # Handshake and head: a caller that is silent in the middle of them, or drips, would keep a thread for ever.
        conn.sock.settimeout(HEAD_S)
        self._heads.begin(conn, conn.client[0] if isinstance(conn.client, tuple) else "")
        try:
            return super().handle(conn)
        finally:
            self._heads.end(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._heads.end(conn)
        conn.sock.settimeout(None)  # a long document on a slow line takes as long as it takes
        return super().handle_request(req, conn)

    def murder_keepalived(self) -> None:
        """Called by gunicorn in every round of its loop, at least once a second."""
        super().murder_keepalived()
        for conn in self._heads.overdue():
            _log.info("caller took too long for a request head", address=conn.client and conn.client[0])
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)  # whoever reads from it sees its end

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        if isinstance(exc, ssl.SSLError):  # nobody to answer: the two sides do not understand each other
            _log.warning("TLS handshake failed", cause=exc.reason, address=addr and addr[0])
            return
        status, reason, detail = _classify(exc)
        correlation = correlation_id(_received_id(req))
        with structlog.contextvars.bound_contextvars(correlation_id=correlation):
            if status == 500:
                _log.error("unexpected error", exc_info=exc)
            else:
                # Only the kind of error: its text repeats the header, and that may be a token.
                _log.warning(
                    "request refused", status=status, reason=reason, kind=type(exc).__name__, address=addr and addr[0]
                )
        body = problem_body(status, reason, detail, correlation)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n{CORRELATION_HEADER}: {correlation}\r\n\r\n"
        )
        try:
            write_nonblock(client, head.encode() + body)
        except OSError:
            _log.debug("caller has gone")


class Logger(glogging.Logger):
    """Hands gunicorn's lines to our logging. Its access log stays off: :mod:`server.api.requests` writes one line a request."""

    def setup(self, cfg: Any) -> None:
        settings = read_settings(os.environ)
        configure_logging(settings.log_format, settings.log_level)
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], TimeoutError):  # our own limit in Worker.handle; a fault of the caller
            _log.info("caller was silent for too long")
            return
        super().exception(msg, *args, **kwargs)


def _classify(error: BaseException) -> tuple[int, str, str]:
    for kind, answer in _REFUSED.items():
        if isinstance(error, kind):
            return answer
    if isinstance(error, errors.ParseException | MalformedRequest):
        return (400, "bad_request", MALFORMED)
    return (500, "internal_error", INTERNAL_ERROR)


def _received_id(request: Any) -> str | None:
    """The caller's correlation id, when the headers were read that far. Gunicorn gives names in capitals."""
    return dict(getattr(request, "headers", None) or ()).get(CORRELATION_HEADER.upper())
