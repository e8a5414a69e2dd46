"""``flagee-server client``."""

from __future__ import annotations

import shlex

import click

from commandline.help import Group, lang_option
from contracts.text import say
from server.cli.base import working
from server.cli.output import Output, emit_json, emit_rows, output_option, tell


@click.group(cls=Group)
@lang_option
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
    with working() as services, services.database.writing() as session:
        from server.services.clients import add_client

        add_client(session, name, services.clock())
    if output == "json":
        emit_json({"client": name})
    else:
        tell(
            say(
                "client {name} added; next: flagee-server network add {word} NETWORK",
                name=name,
                word=shlex.quote(name),
            )
        )


@client.command("list")
@output_option
def client_list(output: Output) -> None:
    """List clients with the number of their networks.

    \b
    Example:
      flagee-server client list
    """
    with working() as services, services.database.reading() as connection:
        from server.services.clients import list_clients

        rows = list_clients(connection)
    emit_rows(rows, ("name", "networks", "created_at"), output)
