"""``flagee-server network``."""

from __future__ import annotations

import shlex

import click

from commandline.help import Group, lang_option
from contracts.text import say
from server.cli.base import working
from server.cli.output import Output, emit_json, emit_rows, output_option, tell


@click.group(cls=Group)
@lang_option
def network() -> None:
    """Networks of clients: one configuration document each."""


@network.command("add")
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@output_option
def network_add(client_name: str, code: str, output: Output) -> None:
    """Register a network of CLIENT. The network's configuration document must name the same NETWORK.

    \b
    Example:
      flagee-server network add "Mercado Sol" SOL
    """
    with working() as services, services.database.writing() as session:
        from server.services.networks import add_network

        add_network(session, client_name, code, services.clock())
    if output == "json":
        emit_json({"client": client_name, "network": code})
    else:
        command = shlex.join(["flagee-server", "config", "set", client_name, code])
        tell(
            say(
                "network {network} of {client} added; next: {command} FILE",
                network=code,
                client=client_name,
                command=command,
            )
        )


@network.command("list")
@click.argument("client_name", metavar="[CLIENT]", required=False)
@output_option
def network_list(client_name: str | None, output: Output) -> None:
    """List all networks, or those of CLIENT.

    \b
    Examples:
      flagee-server network list
      flagee-server network list "Mercado Sol"
    """
    with working() as services, services.database.reading() as connection:
        from server.services.networks import list_networks

        rows = list_networks(connection, client_name)
    emit_rows(rows, ("client", "network", "created_at"), output)
