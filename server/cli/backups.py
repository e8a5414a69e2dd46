"""``flagee-server backup`` and ``flagee-server restore``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commandline.help import Command
from commandline.language import shown
from contracts.text import joined, say
from server.cli.base import settings_from, working
from server.cli.output import Output, emit_json, output_option, remark, tell

if TYPE_CHECKING:
    from server.services.backups.restore import Fallback, Restored
    from server.settings import Settings
    from server.storage.copies import Contents

NOT_SQLITE = 3
_TABLES = {
    "clients": say("clients"),
    "networks": say("networks"),
    "agents": say("agents"),
    "tokens": say("tokens"),
    "configurations": say("configurations"),
}
_SHOWN = 20  # tokens in a list for people; JSON has all


class NotSqlite(click.ClickException):
    """PostgreSQL has better tools of its own."""

    exit_code = NOT_SQLITE


@click.command("backup", cls=Command)
@click.argument("target", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE when it exists.")
@output_option
def backup(target: Path, overwrite: bool, output: Output) -> None:
    """Copy the SQLite database while the server runs. The copy becomes FILE, or a new file in FOLDER.

    The copy is of one moment, checked, and readable by its owner alone. Configurations in it are encrypted: keep the secret key
    too, in another place. With PostgreSQL the command says how to use pg_dump, and exits with 3.

    \b
    Examples:
      flagee-server backup /var/backups/flagee
      flagee-server backup /var/backups/flagee/today.db --overwrite
    """
    settings = settings_from()
    _need_sqlite(settings, lambda address: f"pg_dump --format=custom --file={shlex.quote(str(target))} {address}", "")
    from server.services.backups.backup import back_up
    from server.storage.copies import CopyFailed

    with working(settings) as services, _progress(say("copying")) as progress:
        try:
            made = back_up(services.database, target, overwrite=overwrite, now=services.clock(), progress=progress)
        except CopyFailed as error:
            raise click.ClickException(str(error)) from None
    if output == "json":
        emit_json({"file": str(made.file), "size": made.size, **_described(made.contents)})
        return
    tell(
        say(
            "{file}: {size} MB, {contents}; checked",
            file=made.file,
            size=f"{made.size / 1e6:.1f}",
            contents=_in_words(made.contents),
        )
    )
    for key in made.contents.key_ids:
        remark(say("To use it you need the secret key {key} as well; keep that in another place.", key=key))


@click.command("restore", cls=Command)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--without-revocations",
    is_flag=True,
    help="Let tokens that were revoked or used since the backup work again. Default: they stay ended.",
)
@output_option
def restore(source: Path, without_revocations: bool, output: Output) -> None:
    """Put a backup in place of the database. FILE is the backup. Stop the server first; the replaced database is kept
    beside it.

    The backup is checked before anything is changed. Tokens that were revoked since it was made stay revoked. What was issued,
    enrolled or stored since is listed: it is not in the backup.

    \b
    Example:
      flagee-server restore /var/backups/flagee/flagee-20261130T020000Z.db
    """
    settings = settings_from()
    _need_sqlite(
        settings,
        lambda address: f"pg_restore --clean --if-exists --single-transaction {address} {shlex.quote(str(source))}",
        say(
            " Tokens that were revoked since the dump work again after it; note them before (flagee-server token "
            "list), and revoke them again."
        ),
    )
    from server.services.backups.restore import restore as put_back
    from server.storage.copies import CopyFailed

    with working(settings) as services, _progress(say("restoring")) as progress:
        file = services.database.file
        assert file is not None  # noqa: S101 -- PostgreSQL was told apart above
        try:
            done = put_back(
                file,
                source,
                services.vault,
                carry_over=not without_revocations,
                now=services.clock(),
                progress=progress,
            )
        except CopyFailed as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(
                say("nothing was changed: {cause}: {filename}", cause=error.strerror, filename=error.filename)
            ) from None
    if output == "json":
        emit_json(_json(done, source, file.path))
    else:
        _tell(done, source, file.path)


def _need_sqlite(settings: Settings, command: Callable[[str], str], care: str) -> None:
    from sqlalchemy.engine import URL, make_url

    url = make_url(settings.database_url.reveal())
    if url.get_backend_name() == "sqlite":
        return
    rest = {name: value for name, value in url.query.items() if "password" not in name}
    named = URL.create("postgresql", url.username, None, url.host, url.port, url.database, rest)
    address = named.render_as_string()
    raise NotSqlite(
        say(
            "this is for SQLite, and FLAGEE_DATABASE_URL is a PostgreSQL database; nothing was done. Use "
            "PostgreSQL's own tools (they ask for the password, or take it from PGPASSFILE).{care}\n  {command}",
            care=care,
            command=command(f"--dbname={shlex.quote(address)}"),
        )
    )


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, when there is enough to wait for."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(shown(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _described(contents: Contents) -> dict[str, object]:
    return {"revision": contents.revision, "counts": contents.counts, "key_ids": contents.key_ids}


def _in_words(contents: Contents) -> str:
    return say(
        "revision {revision}; {counts}",
        revision=contents.revision,
        counts=joined(
            say("{table} {number}", table=_TABLES[name], number=number) for name, number in contents.counts.items()
        ),
    )


def _json(done: Restored, source: Path, path: Path) -> dict[str, object]:
    lost = done.difference
    return {
        "restored": str(source),
        "database": str(path),
        "kept": done.kept and str(done.kept),
        **_described(done.contents),
        "schema": done.schema.state,
        "secret_key": _key_state(done.foreign_keys),
        "revocations": done.revocations,
        "ended_since": lost and lost.ended,
        "issued_since": lost and lost.issued,
        "older_configurations": lost and lost.configurations,
    }


def _key_state(foreign: tuple[str, ...] | None) -> str:
    if foreign is None:
        return "unknown"
    return "mismatch" if foreign else "ok"


def _tell(done: Restored, source: Path, path: Path) -> None:
    tell(
        say("{path}: restored from {source} ({contents})", path=path, source=source, contents=_in_words(done.contents))
    )
    if done.kept:
        tell(say("the replaced database is kept as {kept}", kept=done.kept))
    lost = done.difference
    if lost is None and done.kept:
        remark(
            say(
                "Warning: the replaced database could not be read. Tokens that were revoked since the backup "
                "work again; see flagee-server token list, and revoke them with flagee-server token revoke ID."
            )
        )
    elif lost is None:
        remark(
            say(
                "There was no database, so it is not known what was revoked since the backup. See flagee-server "
                "token list, and revoke with flagee-server token revoke ID."
            )
        )
    else:
        if done.revocations == "carried_over":
            tell(
                say(
                    "tokens that ended since the backup stay ended ({count}): {tokens}",
                    count=len(lost.ended),
                    tokens=_ids(lost.ended),
                )
            )
        elif lost.ended:
            remark(
                say(
                    "Warning: tokens that ended since the backup work again ({count}): {tokens}",
                    count=len(lost.ended),
                    tokens=_ids(lost.ended),
                )
            )
        if lost.issued:
            remark(
                say(
                    "Tokens issued since the backup no longer work ({count}); their hosts have to be enrolled "
                    "again: {tokens}",
                    count=len(lost.issued),
                    tokens=_ids(lost.issued),
                )
            )
        for older in lost.configurations:
            remark(_fallback(older))
    if done.foreign_keys:
        remark(
            say(
                "Warning: configurations in it need the secret key {keys}, which FLAGEE_SECRET_KEY is not; set "
                "that one before serve.",
                keys=", ".join(done.foreign_keys),
            )
        )
    elif done.foreign_keys is None:
        remark(say("FLAGEE_SECRET_KEY is not set, so it is not known whether it opens the configurations."))
    if advice := done.schema.advice():
        remark(say("Before serve: {advice}", advice=advice))


def _fallback(older: Fallback) -> str:
    if not older.now:
        return say(
            "{client} {network}: configuration version {was} is gone; none is in force",
            client=older.client,
            network=older.network,
            was=older.was,
        )
    return say(
        "{client} {network}: configuration version {was} is gone; {now} is in force",
        client=older.client,
        network=older.network,
        was=older.was,
        now=older.now,
    )


def _ids(tokens: Sequence[object]) -> str:
    names = [f"{token.id} ({token.agent or token.client or token.operator})" for token in tokens[:_SHOWN]]  # type: ignore[attr-defined]
    more = len(tokens) - _SHOWN
    text = ", ".join(names)
    return say("{tokens} and {n} more (--output json lists all)", tokens=text, n=more) if more > 0 else text
