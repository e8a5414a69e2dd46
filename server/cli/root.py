"""``flagee-server``: the operator's command line.

Exit codes: 0 done, 1 it could not be done (the message names the fix), 2 wrong usage, 3 not for this kind of database.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import click

from commandline.errors import show_error
from commandline.help import Group, lang_option
from commandline.language import choose_language
from contracts import core_dumps
from contracts.text import say
from contracts.visible import not_text
from server.cli.agents import agents
from server.cli.backups import backup, restore
from server.cli.clients import client
from server.cli.configurations import config
from server.cli.counters import counters
from server.cli.database import init_db
from server.cli.events import events
from server.cli.health import health
from server.cli.install_command import install_command
from server.cli.networks import network
from server.cli.operators import operator
from server.cli.output import remark
from server.cli.runs import runs, why
from server.cli.serve import serve
from server.cli.status import status
from server.cli.tokens import token
from server.cli.trace import trace


class _Program(Group):
    """All commands. What ends one with an error is shown here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if strange := not_text(args):
            text = say("{word} is not text in the encoding of this terminal; nothing was done", word=strange)
            raise click.UsageError(text, ctx)
        return super().parse_args(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click does it, with errors in the reader's language."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
        except click.ClickException as error:
            show_error(error)
            code = error.exit_code
        except click.Abort:
            remark(say("Aborted!"))
            code = 1
        sys.exit(code)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="flageemonitor-proxy", prog_name="flagee-server")
@lang_option
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


_COMMANDS = (
    init_db, serve, client, network, token, config, install_command, operator, status, agents, events, runs, why, trace,
    backup, restore, counters, health
)  # fmt: skip
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Entry of the console script."""
    core_dumps.switch_off(hidden=True)
    choose_language(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="flagee-server")
