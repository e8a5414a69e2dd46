"""The application as gunicorn serves it: told who calls, and spared gunicorn's own exceptions. Loaded by the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from gunicorn.http.errors import NoMoreData
from werkzeug.exceptions import BadRequest, RequestTimeout

from server.app import create_app
from server.current import EXTENSION
from server.wiring import Services

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def load() -> Front:
    """Settings come from the environment. Raises SettingsError."""
    app = create_app()
    return Front(app, app.extensions[EXTENSION], behind_nginx=bool(os.environ.get("SERVE_BEHIND_NGINX")))


class Front:
    """A WSGI application in front of another. Behind nginx the connection's other end is nginx; it tells who is at its own."""

    def __init__(self, app: WSGIApplication, services: Services, *, behind_nginx: bool) -> None:
        self._app = app
        self._services = services
        self._behind_nginx = behind_nginx

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._behind_nginx:
            environ["REMOTE_ADDR"] = environ.pop("HTTP_X_FLAGEE_ADDRESS", "")
            environ["wsgi.url_scheme"] = environ.pop("HTTP_X_FLAGEE_SCHEME", "http")
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _Body(environ["wsgi.input"])
        return self._app(environ, start_response)

    def end_streams(self) -> None:
        """Answers that have no end of their own end now; new ones may begin."""
        self._services.live.end_all()

    def ending(self) -> None:
        """The worker is to end: no answer without an end goes on, or begins."""
        self._services.live.close()

    def close(self) -> None:
        self._services.close()


class _Body:
    """The request's body. One that ends early or takes too long is the caller's fault, not ours."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        return self._guarded(self._body.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._guarded(self._body.readline, size)

    @staticmethod
    def _guarded(read: Any, size: int) -> bytes:
        try:
            content: bytes = read(size)
        except TimeoutError:
            raise RequestTimeout("the body did not arrive in time; nothing was done, send it again") from None
        except (NoMoreData, OSError):
            raise BadRequest("the body ended early; nothing was done, send it again") from None
        return content
