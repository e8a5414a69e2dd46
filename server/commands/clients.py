"""``flagee-server client`` and ``flagee-server network``."""

from __future__ import annotations

import click

from server.commands.base import working
from server.commands.output import Output, emit_json, emit_rows, output_option, tell


@click.group()
def client() -> None:
    """Customers of the monitoring company."""


@client.command("add")
@click.argument("name")
@output_option
def client_add(name: str, output: Output) -> None:
    """Register the client NAME.

    \b
    Example:
      flagee-server client add "Mercado Sol"
    """
    with working() as context, context.database.writing() as session:
        from server.services.registry import add_client

        add_client(session, name, context.clock())
    if output == "json":
        emit_json({"client": name})
    else:
        tell(f"client {name} added; next: flagee-server network add")


@client.command("list")
@output_option
def client_list(output: Output) -> None:
    """List clients with the number of their networks."""
    with working() as context, context.database.reading() as connection:
        from server.services.registry import list_clients

        rows = list_clients(connection)
    emit_rows(rows, ("name", "networks", "created_at"), output)


@click.group()
def network() -> None:
    """Networks of clients: one configuration document each."""


@network.command("add")
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@output_option
def network_add(client_name: str, code: str, output: Output) -> None:
    """Register the network NETWORK of CLIENT; its configuration document must name the same network.

    \b
    Example:
      flagee-server network add "Mercado Sol" SOL
    """
    with working() as context, context.database.writing() as session:
        from server.services.registry import add_network

        add_network(session, client_name, code, context.clock())
    if output == "json":
        emit_json({"client": client_name, "network": code})
    else:
        tell(f"network {code} of {client_name} added; next: flagee-server config set")


@network.command("list")
@click.argument("client_name", metavar="[CLIENT]", required=False)
@output_option
def network_list(client_name: str | None, output: Output) -> None:
    """List all networks, or those of CLIENT."""
    with working() as context, context.database.reading() as connection:
        from server.services.registry import list_networks

        rows = list_networks(connection, client_name)
    emit_rows(rows, ("client", "network", "created_at"), output)
