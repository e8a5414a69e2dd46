"""Where a caller is: one place makes an address of what was written about it. Put around the application by :mod:`server.app`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contracts.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_LONGEST = 80  # an IPv6 address with its zone, brackets and a port
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def caller_address(text: str | None) -> str | None:
    """The address in its one form, from itself, ``address:port``, ``[address]`` or ``[address]:port``; None for anything else.

    A reverse proxy may pass on whatever a caller wrote, of any length.
    """
    if not text or len(text) > _LONGEST:
        return None
    found = _WITH_PORT.fullmatch(text)
    host = found[1] or found[2] or "" if found else text
    try:
        return str(parse_address(host.partition("%")[0]))
    except ValueError:
        return None


class CallerAddress:
    """A WSGI application in front of another, which finds an address in ``REMOTE_ADDR`` or no ``REMOTE_ADDR`` at all."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        address = caller_address(environ.pop("REMOTE_ADDR", None))
        if address is not None:
            environ["REMOTE_ADDR"] = address
        return self._app(environ, start_response)
