"""``flagee-server install-command``."""

from __future__ import annotations

import datetime as dt

import click

from commandline.help import Command
from commandline.language import shown
from contracts.text import say
from server.cli.base import working
from server.cli.durations import Duration
from server.cli.output import Output, emit_json, output_option, remark


@click.command("install-command", cls=Command)
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@click.option(
    "--expires", type=Duration(), default="1h", show_default=True, help="How long the line works: 30m, 12h, 7d, 2w."
)
@click.option(
    "--ca",
    metavar="FILE",
    help="For a server whose certificate comes from a private authority: the authority's certificate, as a path on the host "
    "that gets the proxy. Copy it there first.",
)
@click.option("--windows", is_flag=True, help="For a host with Windows: to paste into PowerShell, as an administrator.")
@output_option
def install_command(
    client_name: str, code: str, expires: dt.timedelta, ca: str | None, windows: bool, output: Output
) -> None:
    """Print the line that installs a proxy. To paste on a host of NETWORK of CLIENT; it works for one installation.

    The line is the last one on stdout. The three commands above it do the same in steps: save the script, read it, run it. The
    line and the first command hold a token, so hand them over as you would a password. The installer's options go to the end of
    the line, or of the third command. The host needs Docker, and curl where it is Linux. The network's configuration must be
    stored, and FLAGEE_PUBLIC_URL must be set as it is for the server.

    \b
    Examples:
      flagee-server install-command "Mercado Sol" SOL
      flagee-server install-command "Mercado Sol" SOL --expires 12h
      flagee-server install-command "Mercado Sol" SOL --ca /root/company-ca.pem
      flagee-server install-command "Mercado Sol" SOL --windows
    """
    with working() as services, services.database.writing() as session:
        from server.services.configurations.in_force import current_of
        from server.services.installer.assets import LINUX, WINDOWS
        from server.services.installer.lines import NOT_A_SCRIPT
        from server.services.installer.lines import linux as linux_recipe
        from server.services.installer.lines import windows as windows_recipe
        from server.services.installer.script import install_script
        from server.services.tokens.access import Scope
        from server.services.tokens.lifecycle import issue

        now = services.clock()
        current = current_of(session, client_name, code)
        row, token = issue(
            session,
            client=client_name,
            networks=[code],
            scopes=[Scope.BOOTSTRAP],
            expires_at=now + expires,
            now=now,
            single_use=True,
        )
        # Made once for nobody: what would be refused on the host is told here, and no token is left behind.
        platform = WINDOWS if windows else LINUX
        install_script(session, services.vault, services.bootstrap, current, token, now, platform)
        recipe_of = windows_recipe if windows else linux_recipe
        recipe = recipe_of(services.bootstrap, code, token, ca, shown(NOT_A_SCRIPT))
    if output == "json":
        emit_json(
            {
                "command": recipe.line,
                "steps": {"save": recipe.save, "read": recipe.read, "run": recipe.run},
                "token_id": row.id,
                "client": row.client,
                "network": code,
                "expires_at": row.expires_at,
            }
        )
        return
    remark(say("To read the script before it runs, use these commands: save, read, run."))
    for step in (recipe.save, recipe.read, recipe.run):
        click.echo(step)
    remark(say("Or use the one line at the end."))
    remark(
        say(
            "Paste this on the host, into a PowerShell that was started as administrator. "
            "It installs one proxy for network {network} of {client}.",
            network=code,
            client=client_name,
        )
        if windows
        else say(
            "Paste this on the host, as somebody who may use sudo. It installs one proxy for network {network} "
            "of {client}.",
            network=code,
            client=client_name,
        )
    )
    remark(
        say(
            "It works once, until {until} UTC; to take it back: flagee-server token revoke {token}",
            until=f"{row.expires_at:%Y-%m-%d %H:%M}",
            token=row.id,
        )
    )
    if ca is not None:
        remark(say("The authority's certificate must be on the host before that, as {path}", path=ca))
    click.echo(recipe.line)
