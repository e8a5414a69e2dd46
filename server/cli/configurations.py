"""``flagee-server config``."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commandline.help import Group, lang_option
from commandline.language import shown
from contracts.text import joined, say
from contracts.visible import visible
from server.cli.base import working
from server.cli.output import Output, emit_json, output_option, remark, tell
from server.reasons import table

if TYPE_CHECKING:
    from contracts.action_check import Finding
    from contracts.changes import Change
    from contracts.notes import Note


@click.group(cls=Group)
@lang_option
def config() -> None:
    """Configuration documents, one for each network."""


_FILE = click.argument("file", metavar="FILE")
_LEVELS = {
    "ok": say("ok"),
    "info": say("info"),
    "warning": say("warning"),
    "danger": say("danger"),
    "error": say("error"),
}
# How often another writer may be faster before `config set` gives up.
_TRIES = 20


_ALLOW_UNKNOWN = click.option(
    "--allow-unknown-actions",
    "allow_unknown",
    is_flag=True,
    help="Only warn of names of actions that this release does not have, for a network whose proxy is newer.",
)


@config.command("set")
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@_FILE
@click.option("--yes", is_flag=True, help="Do not ask before something dangerous is stored.")
@_ALLOW_UNKNOWN
@output_option
def config_set(client_name: str, code: str, file: str, yes: bool, allow_unknown: bool, output: Output) -> None:
    """Check FILE and store it as the next version. Proxies of NETWORK of CLIENT fetch it at their next refresh.

    FILE may be - for stdin.

    What changes for terminals is shown first, the most dangerous changes at the top. On a terminal, changes that reach more
    terminals or protect fewer have to be confirmed; in a pipe they are shown and stored. A version in force that cannot be opened
    (another FLAGEE_SECRET_KEY, a damaged row) cannot be compared: replacing it has to be confirmed, in a pipe with --yes.

    Documents of the first generation (PARAM_*) are taken as they are. The content is stored encrypted; earlier versions are kept.

    \b
    Examples:
      flagee-server config set "Mercado Sol" SOL config_bot.json
      flagee-server config set "Mercado Sol" SOL - --yes --output json < config_bot.json
    """
    from server.reasons.refusal import Refusal
    from server.services.configurations.storing import preview, store

    raw = _read(file)
    with working() as services, _refused(output):
        now = services.clock()
        target: dict[str, Any] = {"client": client_name, "code": code, "raw": raw, "now": now}
        for last in (*[False] * _TRIES, True):
            with services.database.reading() as connection:
                what = preview(connection, services.vault, **target, allow_unknown=allow_unknown)
            _say_notes(what.checked.document.notes)
            _say_findings(what.checked.findings)
            _say_changes(what.changes)
            asked = (what.dangerous or what.unreadable is not None) and not yes and _on_terminal()
            if what.unreadable and (yes or asked):  # else nothing is stored, and the refusal has this text
                remark(
                    say(
                        "Warning: version {served} cannot be compared: {message}",
                        served=what.served,
                        message=what.unreadable.message,
                    )
                )
            if asked:
                _ask(
                    say("Store this for network {network} of {client}?", network=code, client=client_name),
                    what.served,
                    output,
                )
            try:
                with services.database.writing() as session:
                    stored = store(
                        session,
                        services.vault,
                        **target,
                        allow_unknown=allow_unknown,
                        expected=what.served,
                        replace=yes or asked,
                    )
                break
            except Refusal as refusal:
                # What somebody agreed to holds for that version alone; where nobody was asked, the changes are said again.
                if asked or last or refusal.row is not table.CONFIGURATION_CHANGED:
                    raise
    if output == "json":
        emit_json({**dataclasses.asdict(stored), "findings": _plain(stored.findings), "changes": what.changes})
    elif stored.changed:
        tell(
            say(
                "version {version} stored for network {network} of {client} (ETag {etag})",
                version=stored.version,
                network=code,
                client=client_name,
                etag=stored.etag,
            )
        )
    else:
        tell(say("version {version} has this content already; nothing stored", version=stored.version))


@config.command("show")
@click.argument("client_name", metavar="CLIENT")
@click.argument("code", metavar="NETWORK")
@click.option("--reveal", is_flag=True, help="Print secrets too: the document exactly as it is served.")
@output_option
def config_show(client_name: str, code: str, reveal: bool, output: Output) -> None:
    """Print the document that a network is served. Secrets show as *** unless --reveal is given.

    \b
    Examples:
      flagee-server config show "Mercado Sol" SOL
      flagee-server config show "Mercado Sol" SOL --reveal > config_bot.json
    """
    with working() as services, services.database.reading() as connection:
        from server.services.configurations.in_force import current_of, plaintext, stored_at

        current = current_of(connection, client_name, code)
        at = stored_at(connection, current)
        raw = plaintext(connection, services.vault, current)
    if reveal and output == "table":
        click.echo(raw, nl=False)
        return
    from contracts.bounded import read_json
    from contracts.masking import masked
    from server.services.configurations.actions import catalogue

    data = read_json(raw)
    shown = data if reveal else masked(data, catalogue().harmless_parameters())
    if output == "json":
        emit_json({"client": client_name, "network": code, "version": current.version, "etag": current.etag,
                   "created_at": at, "document": shown})  # fmt: skip
    else:
        remark(
            say(
                "version {version} of network {network}, stored {at} UTC, ETag {etag}",
                version=current.version,
                network=code,
                at=f"{at:%Y-%m-%d %H:%M}",
                etag=current.etag,
            )
        )
        emit_json(shown)


@config.command("validate")
@_FILE
@click.option(
    "--client", "client_name", metavar="CLIENT", help="With --network: show what would change from the stored version."
)
@click.option("--network", "code", metavar="NETWORK", help="With --client: the network that the document is for.")
@_ALLOW_UNKNOWN
@output_option
def config_validate(file: str, client_name: str | None, code: str | None, allow_unknown: bool, output: Output) -> None:
    """Check FILE without storing it. It is as strict as `config set`: values, actions and their parameters, and whether jobs can
    ever run.

    FILE may be - for stdin. Exit code 1 when something is wrong. Without --client and --network no database is needed.

    \b
    Examples:
      flagee-server config validate config_bot.json
      flagee-server config validate config_bot.json --client "Mercado Sol" --network SOL
    """
    from contracts.document import DocumentError, read_document

    if (client_name is None) != (code is None):
        raise click.UsageError(say("--client and --network go together: give both, or none of them"))
    raw = _read(file)
    try:
        document = read_document(raw, strict=True)
    except DocumentError as error:
        if output == "json":
            emit_json({"valid": False, "reason": error.reason, "problems": error.problems})
            sys.exit(1)
        raise click.ClickException(_unusable(error.problems)) from None
    from server.services.configurations.actions import findings
    from server.wiring import utc_now

    found = findings(document.config, utc_now(), allow_unknown=allow_unknown)
    problems = [one for one in found if one.level == "error"]
    if problems and output == "table":
        raise click.ClickException(_unusable(problems))
    changed = () if problems or client_name is None else _changes(client_name, str(code), raw, allow_unknown)
    if output == "json":
        emit_json({"valid": not problems, "network": document.config.network, "generation": document.generation,
                   "notes": document.notes, "findings": _plain(found), "changes": changed,
                   **({"reason": table.ACTIONS.code, "problems": _plain(problems)} if problems else {})})  # fmt: skip
        sys.exit(1 if problems else 0)
    _say_notes(document.notes)
    _say_findings(found)
    _say_changes(changed)
    tell(
        say(
            "valid: network {network}, provider {provider}, generation {generation}",
            network=document.config.network,
            provider=document.config.provider,
            generation=document.generation,
        )
    )


def _unusable(problems: Iterable[object]) -> str:
    return say("the document cannot be used\n{problems}", problems=joined(map(str, problems), "\n"))


def _changes(client_name: str, code: str, raw: bytes, allow_unknown: bool) -> tuple[Change, ...]:
    with working() as services, services.database.reading() as connection:
        from server.services.configurations.storing import preview

        now = services.clock()
        return preview(
            connection, services.vault, client=client_name, code=code, raw=raw, now=now, allow_unknown=allow_unknown
        ).changes


@contextlib.contextmanager
def _refused(output: Output) -> Iterator[None]:
    """Where a program reads the output, a refusal is JSON as well; nothing was stored."""
    from server.reasons.refusal import Refusal

    try:
        yield
    except Refusal as refusal:
        if output == "table":
            raise
        emit_json({"changed": False, "reason": refusal.reason, "message": refusal.message,
                   "problems": refusal.problems})  # fmt: skip
        sys.exit(1)


def _ask(question: str, served: int, output: Output) -> None:
    """Ends the command for any answer but yes. ``served``: the version in force, 0 where there is none."""
    try:
        agreed = is_yes(question)
    except click.Abort:  # an interrupt, or the end of the input
        remark("")
        agreed = False
    if agreed:
        return
    text = (
        say("Not stored. Version {served} stays in force.", served=served)
        if served
        else say("Not stored. The network has no configuration yet.")
    )
    remark(text)
    if output == "json":
        emit_json({"changed": False, "reason": table.NOT_CONFIRMED.code, "message": text, "problems": []})
    sys.exit(1)


def is_yes(question: str) -> bool:
    """As click.confirm asks; the words of the reader's language are taken too."""
    yes, no = shown(say("yes")), shown(say("no"))
    while True:
        prompt = visible(shown(say("{question} [y/N]", question=question)))
        answer = click.prompt(prompt, default="", show_default=False, err=True).strip().lower()
        if answer in ("y", "yes", yes, yes[0]):
            return True
        if answer in ("", "n", "no", no):
            return False
        remark(say("Error: invalid input"))


def _read(file: str) -> bytes:
    from contracts.bounded import MAX_BYTES
    from server.plain_file import read_plain

    if file == "-":
        # One more than is taken, so that a longer document is refused and not cut.
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        return read_plain(Path(file), MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise click.BadParameter(
            say("{file}: {cause}; name a file, or - for standard input", file=file, cause=cause), param_hint="FILE"
        ) from None


def _say_notes(notes: tuple[Note, ...]) -> None:
    for note in notes:
        remark(say("{level}: {note}", level=_LEVELS[note.level], note=note))


def _say_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        remark(say("{level}: {note}", level=_LEVELS[finding.level], note=finding))


def _say_changes(changes: Sequence[Change]) -> None:
    for change in changes:
        remark(say("DANGER: {change}", change=change) if change.level == "danger" else str(change))


def _plain(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"level": one.level, "path": one.path, "message": one.text} for one in findings]


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
