"""``flagee-server operator``."""

from __future__ import annotations

import datetime as dt

import click

from commandline.help import Group, lang_option
from contracts.text import plural, say
from server.cli.base import working
from server.cli.durations import Duration
from server.cli.output import Output, emit_json, emit_rows, output_option, remark, tell
from server.services.operators.access import Role

_COLUMNS = ("name", "role", "clients", "tokens", "created_at")
_TOKENS = ("id", "operator", "state", "created_at", "expires_at", "last_used_at")
_ROLES = click.Choice([role.value for role in Role])
_clients = click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="CLIENT",
    help="Only for this client; may be repeated. Default: all, also later ones.",
)


@click.group(cls=Group)
@lang_option
def operator() -> None:
    """Operators: people and programs that look at the fleet over HTTP, each with a role and tokens.

    \b
    viewer     sees agents and telemetry
    operator   may also act, where an endpoint allows it

    An operator's token is not taken where a proxy's is expected, and the other way round.

    \b
    Examples:
      flagee-server operator add ana --role viewer --client "Mercado Sol"
      flagee-server operator token ana --expires 90d
    """


@operator.command("add")
@click.argument("name")
@click.option("--role", required=True, type=_ROLES, help="What the operator may do.")
@_clients
@output_option
def operator_add(name: str, role: str, clients: tuple[str, ...], output: Output) -> None:
    """Register the operator NAME. One that was removed is taken back, without its earlier tokens.

    \b
    Examples:
      flagee-server operator add ana --role viewer --client "Mercado Sol"
      flagee-server operator add night-shift --role operator
    """
    with working() as services, services.database.writing() as session:
        from server.services.operators.managing import add_operator

        row = add_operator(session, name, Role(role), clients, services.clock())
    if output == "json":
        emit_json(row)
    else:
        tell(
            say(
                "operator {name} added as {role}; next: flagee-server operator token {name}",
                name=row.name,
                role=row.role,
            )
        )


@operator.command("set")
@click.argument("name")
@click.option("--role", type=_ROLES, help="The new role. Default: it stays.")
@click.option(
    "--client", "clients", multiple=True, metavar="CLIENT", help="Only for this client from now on; may be repeated."
)
@click.option("--all-clients", is_flag=True, help="For all clients from now on, also later ones.")
@output_option
def operator_set(name: str, role: str | None, clients: tuple[str, ...], all_clients: bool, output: Output) -> None:
    """Change the role or the clients of the operator NAME. It counts at once, also for tokens that exist.

    \b
    Examples:
      flagee-server operator set ana --role operator
      flagee-server operator set ana --all-clients
    """
    if clients and all_clients:
        raise click.UsageError(say("--client and --all-clients exclude each other"))
    if not (role or clients or all_clients):
        raise click.UsageError(say("give --role, --client or --all-clients"))
    with working() as services, services.database.writing() as session:
        from server.services.operators.managing import change_operator

        given = clients if clients or all_clients else None
        row = change_operator(session, name, services.clock(), role=Role(role) if role else None, clients=given)
    emit_json(row) if output == "json" else emit_rows([row], _COLUMNS, output)


@operator.command("list")
@output_option
def operator_list(output: Output) -> None:
    """List operators with their clients, and how many valid tokens each has.

    \b
    Example:
      flagee-server operator list
    """
    with working() as services, services.database.reading() as connection:
        from server.services.operators.managing import list_operators

        rows = list_operators(connection, services.clock())
    emit_rows(rows, _COLUMNS, output)


@operator.command("remove")
@click.argument("name")
@output_option
def operator_remove(name: str, output: Output) -> None:
    """Remove the operator NAME: all its tokens end at once.

    \b
    Example:
      flagee-server operator remove ana
    """
    with working() as services, services.database.writing() as session:
        from server.services.operators.managing import remove_operator

        ended = remove_operator(session, name, services.clock())
    if output == "json":
        emit_json({"operator": name, "revoked": ended})
    else:
        tell(
            plural(
                "operator {name} removed; {n} token has ended",
                "operator {name} removed; {n} tokens have ended",
                ended,
                name=name,
            )
        )


@operator.command("token")
@click.argument("name")
@click.option(
    "--expires", type=Duration(), help="Valid for this long: 90d, 12h, 30m, 2w. Default: until it is revoked."
)
@output_option
def operator_token(name: str, expires: dt.timedelta | None, output: Output) -> None:
    """Make a token for the operator NAME. It is printed once, alone on the last line of stdout; only its hash is stored.

    \b
    Examples:
      flagee-server operator token ana --expires 90d
      curl -H "Authorization: Bearer $TOKEN" https://control.example.com/agents/status
    """
    with working() as services, services.database.writing() as session:
        from server.services.operators.tokens import issue_token

        now = services.clock()
        row, secret = issue_token(session, name, now + expires if expires else None, now)
    if output == "json":
        emit_json({"token": secret.reveal(), "id": row.id, "operator": row.operator, "expires_at": row.expires_at})
        return
    until = (
        say("until {until} UTC", until=f"{row.expires_at:%Y-%m-%d %H:%M}") if row.expires_at else say("until revoked")
    )
    remark(say("token {token} of operator {name}; valid {until}", token=row.id, name=row.operator, until=until))
    remark(say("It is shown this once; keep it where only the operator reads it:"))
    click.echo(secret.reveal())


@operator.command("tokens")
@click.argument("name", metavar="[NAME]", required=False)
@output_option
def operator_tokens(name: str | None, output: Output) -> None:
    """List operators' tokens by their public id, with state and last use (written every few minutes).

    \b
    Example:
      flagee-server operator tokens ana
    """
    with working() as services, services.database.reading() as connection:
        from server.services.operators.tokens import list_operator_tokens

        rows = list_operator_tokens(connection, services.clock(), name)
    emit_rows(rows, _TOKENS, output)


@operator.command("revoke")
@click.argument("public_id", metavar="ID")
@output_option
def operator_revoke(public_id: str, output: Output) -> None:
    """End one token of an operator at once. ID is its public id, the middle part of the token. Safe to repeat.

    \b
    Example:
      flagee-server operator revoke 3f9a1c0be274
    """
    with working() as services, services.database.writing() as session:
        from server.services.operators.tokens import revoke_token

        found, changed = revoke_token(session, public_id, services.clock())
    if output == "json":
        emit_json({"id": found, "state": "revoked", "changed": changed})
    else:
        tell(
            say("token {token} revoked", token=found)
            if changed
            else say("token {token} was revoked before", token=found)
        )
