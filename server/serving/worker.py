"""Gunicorn's worker and logger in our shapes: thousands of connections, each with limited time, and problem+json for what fails
before Flask.

Named by :mod:`server.serving.gunicorn_conf`. Uses gunicorn's insides: ``tests/unit/server/test_gunicorn_insides.py`` says which.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from http import HTTPStatus
from typing import Any

import gevent
import gevent.socket
import structlog
from gunicorn import glogging, util
from gunicorn.http import RequestParser, errors
from gunicorn.workers.ggevent import GeventWorker

from contracts.ids import correlation_id
from server.api.caller_address import caller_address
from server.logs import configure_logging
from server.reasons.problem import CONTENT_TYPE, CORRELATION_HEADER, MalformedRequest, problem_body
from server.serving import parsing
from server.serving.caller import Caller
from server.serving.refusals import (
    BAD_REQUEST,
    HEADERS_TOO_LARGE,
    INTERNAL,
    TOO_MANY_HEADERS,
    TRANSFER_CODING,
    URI_TOO_LONG,
    EarlyRefusal,
)
from server.settings import read_settings

_log = structlog.get_logger(__name__)

_REFUSED: dict[type[Exception], EarlyRefusal] = {
    errors.LimitRequestLine: URI_TOO_LONG,
    parsing.TooManyHeaders: TOO_MANY_HEADERS,
    errors.LimitRequestHeaders: HEADERS_TOO_LARGE,
    errors.UnsupportedTransferCoding: TRANSFER_CODING,
    errors.ParseException: BAD_REQUEST,
    MalformedRequest: BAD_REQUEST,
}
_FULL = 0.9  # of the connections that it may hold: from there on those that only wait make room for new ones


class Worker(GeventWorker):
    """One greenlet a connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open = 0
        self._waiting: dict[Caller, None] = {}  # between requests or in a head; the longest waiting first

    def patch(self) -> None:
        """The library is patched since the start of the process; what is left are the sockets that the master has made."""
        listeners: list[Any] = self.sockets
        self.sockets = [
            gevent.socket.socket(one.FAMILY, socket.SOCK_STREAM, fileno=one.sock.fileno()) for one in listeners
        ]

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """A connection from its first byte to its end."""
        caller: Any = Caller(client)
        req = None
        self._open += 1
        self._make_room()
        try:
            requests = RequestParser(self.cfg, caller, addr)
            while True:
                req = None
                self._waiting[caller] = None
                try:
                    req = next(requests)
                finally:
                    self._waiting.pop(caller, None)
                caller.body()
                self.handle_request(listener.getsockname(), req, caller, addr)
                caller.next_request()
                gevent.sleep(0)  # one that sends without a pause would never let another have its turn
        except (StopIteration, errors.NoMoreData):
            pass
        except TimeoutError:
            _log.debug("caller_too_slow", address=_host(addr))
        except Exception as error:
            if isinstance(error, OSError):
                _log.debug("caller_gone", address=_host(addr))
            else:
                self.handle_error(req, caller, addr, error)
        finally:
            self._open -= 1
            util.close(client)

    def notify(self) -> None:
        """Called by gunicorn once a second; at the end of the worker neither idle connections nor live views are waited for."""
        super().notify()
        if not self.alive:
            if ending := getattr(self.wsgi, "ending", None):
                ending()
            for caller in list(self._waiting):
                _cut(caller)

    def handle_usr1(self, sig: Any, frame: Any) -> None:
        """`serve` is to stop, and nginx waits for all answers before the worker is told so: those without an end are ended now.

        In a greenlet of its own, because a signal may come while the hub runs, which must not wait for a lock.
        """
        if end_streams := getattr(self.wsgi, "end_streams", None):
            gevent.spawn(end_streams)

    def _make_room(self) -> None:
        if self._open > self.worker_connections * _FULL and self._waiting:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            _cut(longest)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        refused = next((answer for kind, answer in _REFUSED.items() if isinstance(exc, kind)), INTERNAL)
        headers = _headers(req, exc)
        correlation = correlation_id(headers.get(CORRELATION_HEADER.upper()))
        with structlog.contextvars.bound_contextvars(correlation_id=correlation):
            if refused is INTERNAL:
                _log.error("unexpected_error", exc_info=exc)
            else:
                # Only the kind of error: its text repeats the header, and that may be a token.
                _log.warning(
                    "request_refused",
                    status=refused.status,
                    reason=refused.reason,
                    kind=type(exc).__name__,
                    address=_host(addr) or caller_address(headers.get(parsing.ADDRESS)),
                )
        body = problem_body(refused.status, refused.reason, refused.detail, correlation)
        head = (
            f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}\r\nConnection: close\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n{CORRELATION_HEADER}: {correlation}\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            client.sendall(head.encode() + body)


class Logger(glogging.Logger):
    """Hands gunicorn's lines to our logging. Its access log stays off: :mod:`server.api.requests` writes one line a request."""

    def setup(self, cfg: Any) -> None:
        settings = read_settings(os.environ)
        configure_logging(settings.log_format, settings.log_level)
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """A worker that ends by the signal that gunicorn itself sends, in a reload and at the end, is not an error."""
        write = super().debug if "was sent SIGTERM!" in str(msg) else super().error
        write(msg, *args, **kwargs)


def _cut(caller: Caller) -> None:
    """Whoever reads from it sees its end."""
    with contextlib.suppress(OSError):
        caller.shutdown(socket.SHUT_RDWR)


def _host(addr: Any) -> str | None:
    return addr[0] if isinstance(addr, tuple) else None


def _headers(request: Any, error: BaseException) -> dict[str, str]:
    """Those of a request, or of one that could not be read as a whole, by their names in capitals."""
    return dict(request.headers) if request else parsing.headers_of(error)
