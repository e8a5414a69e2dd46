"""``flagee-server token``."""

from __future__ import annotations

import datetime as dt

import click

from commandline.help import Group, lang_option
from contracts.text import say
from server.cli.base import working
from server.cli.durations import Duration
from server.cli.output import Output, emit_json, emit_rows, output_option, remark, tell
from server.services.tokens.access import Scope

# The others are of use only in an agent's own token, which its enrolment makes.
_DEFAULT = (Scope.BOOTSTRAP, Scope.CONFIG)
_COLUMNS = (
    "id", "client", "networks", "scopes", "state", "created_at", "expires_at", "last_used_at", "agent", "used_at"
)  # fmt: skip


@click.group(cls=Group)
@lang_option
def token() -> None:
    """Tokens, with which proxies prove whose they are."""


@token.command("issue")
@click.argument("client_name", metavar="CLIENT")
@click.option(
    "--network",
    "networks",
    multiple=True,
    help="Only for this network; may be repeated. Default: all, also later ones.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="Only for this; may be repeated. Default: bootstrap and config.",
)
@click.option(
    "--expires", type=Duration(), help="Valid for this long: 90d, 12h, 30m, 2w. Default: until it is revoked."
)
@output_option
def token_issue(
    client_name: str, networks: tuple[str, ...], scopes: tuple[str, ...], expires: dt.timedelta | None, output: Output
) -> None:
    """Make a token for CLIENT. It is printed once, alone on the last line of stdout; only its hash is stored.

    \b
    Examples:
      flagee-server token issue "Mercado Sol"
      flagee-server token issue "Mercado Sol" --network SOL --scope config --expires 90d

    A proxy that is installed gets its own token without your copying any: see flagee-server install-command --help.
    """
    with working() as services, services.database.writing() as session:
        from server.services.tokens.lifecycle import issue

        now = services.clock()
        row, secret = issue(
            session,
            client=client_name,
            networks=networks,
            scopes=[Scope(scope) for scope in scopes or _DEFAULT],
            expires_at=now + expires if expires else None,
            now=now,
        )
    if output == "json":
        emit_json({"token": secret.reveal(), "id": row.id, "client": row.client, "networks": row.networks, "scopes": row.scopes,
                   "expires_at": row.expires_at})  # fmt: skip
        return
    until = (
        say("until {until} UTC", until=f"{row.expires_at:%Y-%m-%d %H:%M}") if row.expires_at else say("until revoked")
    )
    remark(
        say(
            "token {token} of {client}; networks: {networks}; scopes: {scopes}; valid {until}",
            token=row.id,
            client=row.client,
            networks=say("all") if isinstance(row.networks, str) else ", ".join(row.networks),
            scopes=", ".join(row.scopes),
            until=until,
        )
    )
    remark(say("It is shown this once; keep it where only the proxy reads it:"))
    click.echo(secret.reveal())


@token.command("list")
@click.argument("client_name", metavar="[CLIENT]", required=False)
@output_option
def token_list(client_name: str | None, output: Output) -> None:
    """List tokens by their public id. Each has its owner, purpose, state and last use (written every few minutes).

    The agent is the proxy that got the token when it enrolled. A token that works for one enrolment has the state used after it.

    \b
    Examples:
      flagee-server token list
      flagee-server token list "Mercado Sol" --output json
    """
    with working() as services, services.database.reading() as connection:
        from server.services.tokens.listing import list_tokens

        rows = list_tokens(connection, services.clock(), client_name)
    emit_rows(rows, _COLUMNS, output)


@token.command("revoke")
@click.argument("public_id", metavar="ID")
@output_option
def token_revoke(public_id: str, output: Output) -> None:
    """End a token at once. ID is its public id, the middle part of the token. Safe to repeat.

    \b
    Example:
      flagee-server token revoke 3f9a1c0be274
    """
    with working() as services, services.database.writing() as session:
        from server.services.tokens.lifecycle import revoke

        changed = revoke(session, public_id, services.clock())
    if output == "json":
        emit_json({"id": public_id, "state": "revoked", "changed": changed})
    else:
        tell(
            say("token {token} revoked", token=public_id)
            if changed
            else say("token {token} was revoked before", token=public_id)
        )
