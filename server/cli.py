"""``flagee-server``: the operator's command line.

Exit codes: 0 done, 1 it could not be done (the message names the fix), 2 wrong usage, 3 not for this kind of database.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from contracts import core_dumps
from contracts.visible import not_text, visible
from server.commands.backup import backup, restore
from server.commands.base import settings_from, working
from server.commands.clients import client, network
from server.commands.configurations import config
from server.commands.counters import counters
from server.commands.health import health
from server.commands.install import install_command
from server.commands.output import Output, emit_json, output_option, say, tell
from server.commands.tokens import token

if TYPE_CHECKING:
    from server.settings import Settings

_MIGRATION_WAIT = 120.0  # seconds that a second init-db waits for the first


class _Commands(click.Group):
    """Errors repeat what stands in files and databases: nothing in them steers a terminal."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if strange := not_text(args):
            raise click.UsageError(f"{strange} is not text in the encoding of this terminal; nothing was done", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = visible(error.message)
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="flageemonitor-proxy", prog_name="flagee-server")
def cli() -> None:
    """The control plane of FlageeMonitor Proxy: registers clients and networks, hands out configuration to their proxies.

    \b
    From nothing to a first answer:
      export FLAGEE_DATABASE_URL=sqlite:////var/lib/flagee/flagee.db
      export FLAGEE_SECRET_KEY_FILE=/etc/flagee/secret.key
      export FLAGEE_PUBLIC_URL=https://control.example.com
      (umask 077; openssl rand -base64 32 | tr '+/' '-_' > /etc/flagee/secret.key)
      flagee-server init-db
      flagee-server client add "Mercado Sol"
      flagee-server network add "Mercado Sol" SOL
      flagee-server config set "Mercado Sol" SOL config_bot.json
      flagee-server serve
      flagee-server install-command "Mercado Sol" SOL

    All settings are environment variables, described in docs/settings.md.
    """


@cli.command("init-db")
@output_option
def init_db(output: Output) -> None:
    """Create the database, or bring it up to this version. Safe to repeat; run it after every update, before serve."""
    with working(timeout=_MIGRATION_WAIT) as context:
        from server.storage.schema import OldContentKept, inspect_schema, upgrade

        database = context.database
        before = inspect_schema(database)
        if before.state == "newer":
            raise click.ClickException(f"{database.location}: {before.advice()}")
        try:
            upgrade(database)
        except OldContentKept as error:
            raise click.ClickException(f"{database.location}: {error}") from None
        after = inspect_schema(database)
    if output == "json":
        emit_json({"database": database.location, "before": before.revision, "revision": after.revision})
    elif before.state == "current":
        tell(f"{database.location} is up to date (revision {after.revision})")
    else:
        tell(f"{database.location} is ready (revision {after.revision})")


@cli.command()
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; default: FLAGEE_BIND, else 127.0.0.1:8080.")
@click.option("--workers", metavar="N", help="Processes; default: FLAGEE_WORKERS, else 2.")
@click.option(
    "--threads",
    metavar="N",
    help="Requests at work in each process; default: FLAGEE_THREADS, else 8.",
)
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
    with working(settings) as context:
        from server.settings import unknown_settings

        found = context.health.now()
    if found.status == "error":
        raise click.ClickException("cannot serve\n" + "\n".join(found.problems))

    for warning in (*found.problems, *unknown_settings(environ)):
        say(f"Warning: {warning}")
    # Replaced, not called: signals of the service manager reach the supervisor, and what was loaded for the checks is let go.
    os.execve(sys.executable, [sys.executable, "-m", "server.serving"], environ)  # noqa: S606


def _check_tls(settings: Settings) -> None:
    """Before the database is asked for: it is the faster one to correct."""
    from server.serving.certificates import TlsUnusable, check

    if settings.tls_certificate and settings.tls_key:
        try:
            check(settings.tls_certificate, settings.tls_key)
        except TlsUnusable as error:
            raise click.ClickException(f"cannot serve\n{error}") from None


for command in (client, network, token, config, install_command, backup, restore, counters, health):
    cli.add_command(command)


def main() -> None:
    """Entry of the console script."""
    core_dumps.switch_off(hidden=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="flagee-server")


if __name__ == "__main__":
    main()
