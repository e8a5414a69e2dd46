"""``flagee-server config``."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING

import click

from server.commands.base import working
from server.commands.output import Output, emit_json, output_option, say

if TYPE_CHECKING:
    from contracts.notes import Note


@click.group()
def config() -> None:
    """Configuration documents (config_bot.json), one for each network."""


_FILE = click.argument("file", type=click.File("rb"), metavar="FILE")


@config.command("set")
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@_FILE
@output_option
def config_set(client_name: str, code: str, file: IO[bytes], output: Output) -> None:
    """Check FILE (- for stdin) and store it as the next version for NETWORK of CLIENT. Proxies fetch it at their next refresh.

    Documents of the first generation (PARAM_*) are taken as they are. The content is stored encrypted; earlier versions are kept.

    \b
    Example:
      flagee-server config set "Mercado Sol" SOL config_bot.json
    """
    with working() as context, context.database.writing() as session:
        from server.services.configurations import store

        stored = store(session, context.vault, client=client_name, code=code, raw=_read(file), now=context.clock())
    _say_notes(stored.notes)
    if output == "json":
        emit_json(stored)
    elif stored.changed:
        click.echo(f"version {stored.version} stored for network {code} of {client_name} (digest {stored.digest[:12]})")
    else:
        click.echo(f"version {stored.version} has this content already; nothing stored")


@config.command("show")
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@click.option("--reveal", is_flag=True, help="Print secrets too: the document exactly as it is served.")
@output_option
def config_show(client_name: str, code: str, reveal: bool, output: Output) -> None:
    """Print the document that NETWORK of CLIENT is served. Secrets show as *** unless --reveal is given.

    \b
    Examples:
      flagee-server config show "Mercado Sol" SOL
      flagee-server config show "Mercado Sol" SOL --reveal > config_bot.json
    """
    with working() as context, context.database.reading() as connection:
        from server.services.configurations import current_of, plaintext

        current = current_of(connection, client_name, code)
        raw = plaintext(connection, context.vault, current)
    if reveal and output == "text":
        click.echo(raw, nl=False)
        return
    from contracts.document import masked

    data = json.loads(raw.decode("utf-8-sig"))
    shown = data if reveal else masked(data)
    if output == "json":
        emit_json({"client": client_name, "network": code, "version": current.version, "etag": current.etag,
                   "created_at": current.created_at, "document": shown})  # fmt: skip
    else:
        say(
            f"version {current.version} of network {code}, stored {current.created_at:%Y-%m-%d %H:%M} UTC, ETag {current.etag}"
        )
        emit_json(shown)


@config.command("validate")
@_FILE
@output_option
def config_validate(file: IO[bytes], output: Output) -> None:
    """Check FILE (- for stdin) as strictly as `config set` does. Needs no database. Exit code 1 when something is wrong.

    Which actions there are, and their parameters, only a proxy knows: `flageemonitor-run config check FILE` looks at those too.

    \b
    Example:
      flagee-server config validate config_bot.json
    """
    from contracts.document import DocumentError, read_document

    try:
        document = read_document(_read(file), strict=True)
    except DocumentError as error:
        if output == "json":
            emit_json({"valid": False, "reason": error.reason, "problems": error.problems})
            sys.exit(1)
        raise click.ClickException("\n".join(("the document cannot be used", *map(str, error.problems)))) from None
    if output == "json":
        emit_json({"valid": True, "network": document.config.network, "generation": document.generation,
                   "digest": document.digest, "notes": document.notes})  # fmt: skip
        return
    _say_notes(document.notes)
    spoken = [part for part in ("actions", "overrides", "schedule") if getattr(document.config, part)]
    if spoken:
        say(
            f"info: {', '.join(spoken)}: a proxy knows the actions; there, `flageemonitor-run config check` looks at these"
        )
    click.echo(
        f"valid: network {document.config.network}, provider {document.config.provider}, generation {document.generation}"
    )


def _read(file: IO[bytes]) -> bytes:
    from contracts.document import MAX_BYTES

    return file.read(MAX_BYTES + 1)  # one more than is taken, so that a longer document is refused and not cut


def _say_notes(notes: tuple[Note, ...]) -> None:
    for note in notes:
        say(f"{note.level}: {note}")
