"""``flagee-server serve``: checks what it was given, then becomes the supervisor of :mod:`server.serving`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from commandline.help import Command, lang_option
from contracts.languages import asked_for
from contracts.text import joined, say
from server.cli.base import settings_from, working
from server.cli.output import remark

if TYPE_CHECKING:
    from server.settings import Settings


@click.command("serve", cls=Command)
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; default: FLAGEE_BIND, else 127.0.0.1:8080.")
@click.option("--workers", metavar="N", help="Processes; default: FLAGEE_WORKERS, else 2.")
@click.option(
    "--threads",
    metavar="N",
    help="Requests at work in each process; default: FLAGEE_THREADS, else 8.",
)
@lang_option
def serve(bind: str | None, workers: str | None, threads: str | None) -> None:
    """Serve proxies until stopped by SIGTERM or Ctrl-C. SIGHUP takes renewed certificates and starts fresh workers.

    nginx is started as the public listener; without it only a loopback address is served. Either give it a certificate, with
    FLAGEE_TLS_CERTIFICATE and FLAGEE_TLS_KEY, or put a reverse proxy with TLS in front and set FLAGEE_TRUSTED_PROXIES=1.

    \b
    Examples:
      flagee-server serve
      flagee-server serve --bind 0.0.0.0:8080 --workers 4
      FLAGEE_TLS_CERTIFICATE=/etc/flagee/tls.crt FLAGEE_TLS_KEY=/etc/flagee/tls.key flagee-server serve --bind 0.0.0.0:443
    """
    given = {"FLAGEE_BIND": bind, "FLAGEE_WORKERS": workers, "FLAGEE_THREADS": threads}
    environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    settings_from()  # so that whatever is wrong below was given on this command line
    try:
        settings = settings_from(environ)
    except click.ClickException as error:
        raise click.UsageError(error.message) from None
    _check_tls(settings)
    with working(settings) as services:
        from server.settings import unknown_settings

        found = services.health.now()
    if found.status == "error":
        raise click.ClickException(say("cannot serve\n{problems}", problems=joined(found.problems, "\n")))

    for warning in (*found.problems, *unknown_settings(environ)):
        remark(say("Warning: {text}", text=warning))
    # Replaced, not called: signals of the service manager reach the supervisor, and what was loaded for the checks is let go.
    language = asked_for(sys.argv[1:])
    words = ["-m", "server.serving", *(["--lang", language] if language else [])]
    os.execve(sys.executable, [sys.executable, *words], environ)  # noqa: S606


def _check_tls(settings: Settings) -> None:
    """Before the database is asked for: it is the faster one to correct."""
    from server.serving.certificates import TlsUnusable, check

    if settings.tls_certificate and settings.tls_key:
        try:
            check(settings.tls_certificate, settings.tls_key)
        except TlsUnusable as error:
            raise click.ClickException(say("cannot serve\n{problems}", problems=error)) from None
