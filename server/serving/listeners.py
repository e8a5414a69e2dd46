"""The sockets that callers connect to. `serve` makes them and its children inherit them: a restarted child loses no caller.

Used by :mod:`server.serving.supervisor`.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from contracts.address import is_loopback
from contracts.bounded import whole
from contracts.text import say
from server.settings import variable

BACKLOG = 2048


class CannotListen(Exception):
    """The text names the setting, the cause and what to do."""


def public(bind: str) -> socket.socket:
    """A socket that listens on ``HOST:PORT``: who comes before the children are ready waits in its queue. Raises CannotListen."""
    host, _, port = bind.rpartition(":")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), whole(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(
            say(
                "{setting}: {host} is no address of this machine ({cause}); give HOST:PORT",
                setting=variable("bind"),
                host=host,
                cause=error.strerror,
            )
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # nginx relies on it
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(_cause(bind, error)) from None
    return listener


def serves_loopback(listener: socket.socket) -> bool:
    return is_loopback(listener.getsockname()[0].partition("%")[0])


def private(path: Path) -> socket.socket:
    """The UNIX socket between nginx and the application."""
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def _cause(bind: str, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return say(
                "{bind} is in use by another program, perhaps another `serve`; stop that one, or set {setting}",
                bind=bind,
                setting=variable("bind"),
            )
        case errno.EACCES:
            return say(
                "{bind}: this account may not listen on a port below 1024; set {setting} to a higher one, or "
                "give the service the capability (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)",
                bind=bind,
                setting=variable("bind"),
            )
        case errno.EADDRNOTAVAIL:
            return say("{bind} is no address of this machine; correct {setting}", bind=bind, setting=variable("bind"))
        case _:
            return say(
                "{bind}: {cause}; correct {setting}",
                bind=bind,
                cause=os.strerror(error.errno or 0),
                setting=variable("bind"),
            )
