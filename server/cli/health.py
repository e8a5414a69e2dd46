"""``flagee-server health``: asks the running server, found by its own settings. The image's HEALTHCHECK, and for people."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import click

from commandline.help import Command
from contracts.text import say
from server.cli.base import settings_from
from server.cli.output import Output, emit_json, output_option, remark, tell

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from server.settings import Settings

_ANSWER_BYTES = 65_536


class NotAnswered(Exception):
    """The text says where was asked, and what came back or did not."""


@click.command("health", cls=Command)
@click.option(
    "--bind", metavar="HOST:PORT", help="Where the server listens; default: FLAGEE_BIND, else 127.0.0.1:8080."
)
@click.option("--timeout", type=click.FloatRange(0.1, 300), default=5.0, show_default=True, help="Seconds to wait.")
@output_option
def health(bind: str | None, timeout: float, output: Output) -> None:
    """Ask the running server how it is. Its own listener is asked: the address of FLAGEE_BIND, with TLS where
    FLAGEE_TLS_CERTIFICATE is set. Exit code 0 when configurations can be served (ok, degraded), 1 when not, and when nobody
    answers.

    The certificate is not checked: its name is the public one, and the connection does not leave this machine.

    \b
    Examples:
      flagee-server health
      flagee-server health --bind '[::1]:8443' --output json
    """
    environ = {**os.environ, **({"FLAGEE_BIND": bind} if bind is not None else {})}
    settings = settings_from(environ)
    try:
        status, body = _ask(settings, timeout)
    except NotAnswered as error:
        if output == "json":
            emit_json({"status": "unreachable", "message": str(error)})
        else:
            remark(say("unreachable: {error}", error=error))
        sys.exit(1)
    if output == "json":
        emit_json(body)
    else:
        reasons = ", ".join(map(str, body.get("reasons") or ()))
        (tell if status == 200 else remark)(f"{body['status']}{f': {reasons}' if reasons else ''}")
    sys.exit(0 if status == 200 else 1)


def _ask(settings: Settings, timeout: float) -> tuple[int, dict[str, Any]]:
    """The answer's status and content. Raises NotAnswered."""
    from http.client import HTTPException

    from contracts.bounded import Unreadable, read_json

    scheme = "https" if settings.tls_certificate else "http"
    where = f"{scheme}://{settings.bind}/health"
    try:
        with contextlib.closing(_connection(settings, timeout)) as connection:
            connection.request("GET", "/health", headers={"Connection": "close"})
            with connection.getresponse() as answer:
                raw = answer.read(_ANSWER_BYTES + 1)
        body = read_json(raw, limit=_ANSWER_BYTES)
    except TimeoutError:
        raise NotAnswered(
            say("{where} did not answer within {timeout} s", where=where, timeout=f"{timeout:g}")
        ) from None
    except OSError as error:
        raise NotAnswered(
            say("{where}: {cause}; is the server running there?", where=where, cause=error.strerror or error)
        ) from None
    except (HTTPException, Unreadable):
        raise NotAnswered(
            say("{where}: the answer is not one of this server; is another program listening there?", where=where)
        ) from None
    if not isinstance(body, dict) or not isinstance(body.get("status"), str) or answer.status not in (200, 503):
        raise NotAnswered(
            say(
                "{where}: status {status}, which is not one of this server's health answers",
                where=where,
                status=answer.status,
            )
        )
    return answer.status, body


def _connection(settings: Settings, timeout: float) -> HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection

    from contracts.bounded import whole

    name, _, digits = settings.bind.rpartition(":")
    host, port = _reachable(name.strip("[]")), whole(digits)
    if not port:
        raise NotAnswered(say("{bind}: with port 0 the system chose the port; name it with --bind", bind=settings.bind))
    if not settings.tls_certificate:
        return HTTPConnection(host, port, timeout=timeout)
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=timeout, context=context)


def _reachable(host: str) -> str:
    """Where a listener on this address is reached from here: one on every address, by loopback."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if not address.is_unspecified:
            return host
        return "127.0.0.1" if address.version == 4 or not _has_ipv6() else "::1"
    return host


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
