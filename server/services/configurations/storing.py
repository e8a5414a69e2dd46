"""Configuration documents: check, compare with the version in force, store as the next one. Called by the CLI.

Documents are served byte for byte as they were stored, so that a proxy of the first generation keeps working.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.action_check import Finding
from contracts.changes import Change, changes
from contracts.document import Document, DocumentError, Problem, read_document, same_content
from contracts.notes import Note
from contracts.text import joined, say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.configurations import actions
from server.services.configurations.in_force import Current, latest, plaintext, present
from server.services.configurations.sealing import sealed
from server.services.networks import find_network
from server.storage.crypto import Vault
from server.storage.models import Configuration, Network
from server.storage.session import Reader


@dataclass(frozen=True, slots=True)
class Stored:
    """What :func:`store` did. ``changed`` is False when the served version had this content already. ``findings``: what the check
    of actions warns of."""

    version: int
    etag: str
    changed: bool
    notes: tuple[Note, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that can be used. ``findings``: warnings of the check of its actions."""

    document: Document
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What :func:`store` would change. ``served``: the version that the changes are counted from, 0 before the first one.
    ``unreadable``: why that version cannot be compared; the changes are then counted from nothing."""

    checked: Checked
    served: int
    changes: tuple[Change, ...]
    unreadable: Refusal | None = None

    @property
    def dangerous(self) -> bool:
        return any(change.level == "danger" for change in self.changes)


def checked(raw: bytes, now: dt.datetime, *, allow_unknown: bool = False) -> Checked:
    """Validate as strictly as :func:`store` does. Refusal: configuration_invalid, one line for each wrong value.

    ``allow_unknown``: names of actions that this release does not have are warnings.
    """
    try:
        document = read_document(raw, strict=True)
    except DocumentError as error:
        raise _invalid(error.problems) from None
    found = actions.findings(document.config, now, allow_unknown=allow_unknown)
    errors = [finding for finding in found if finding.level == "error"]
    if errors:
        raise _invalid([Problem(one.path, one.text) for one in errors])
    return Checked(document, found)


def _invalid(problems: Sequence[Problem]) -> Refusal:
    """One line for each wrong value; each says what to do."""
    return Refusal(table.CONFIGURATION_INVALID, says=joined(map(str, problems), "\n"), do="", problems=problems)


def preview(
    reader: Reader,
    vault: Vault | None,
    *,
    client: str,
    code: str,
    raw: bytes,
    now: dt.datetime,
    allow_unknown: bool = False,
) -> Preview:
    """Validate, and compare with the version that is served. Refusals: those of :func:`store`.

    A served version that cannot be opened any more (another key, a damaged row) does not end this: it may be replaced on purpose.
    """
    vault = present(vault)
    new = checked(raw, now, allow_unknown=allow_unknown)
    network = find_network(reader, client, code)
    _require_network(new.document, code)
    current = latest(reader, network)
    before, unreadable = None, None
    if current is not None:
        try:
            with contextlib.suppress(DocumentError):  # stored by a release that was less strict
                before = read_document(plaintext(reader, vault, current), strict=False).config
        except Refusal as refusal:
            unreadable = refusal
    found = changes(before, new.document.config, actions.catalogue())
    return Preview(new, current.version if current else 0, found, unreadable)


def _require_network(document: Document, code: str) -> None:
    if document.config.network != code:
        raise Refusal(
            table.CONFIGURATION_INVALID,
            says=say(
                "network: the document is for {named}, not for {network}",
                named=quoted(document.config.network),
                network=quoted(code),
            ),
            do=say("correct the document or the command"),
        )


def store(
    session: Session,
    vault: Vault | None,
    *,
    client: str,
    code: str,
    raw: bytes,
    now: dt.datetime,
    allow_unknown: bool = False,
    expected: int | None = None,
    replace: bool = False,
) -> Stored:
    """Validate, encrypt and append a version; earlier ones stay. ``raw`` is kept as it is. ``expected``: the version that must
    still be the served one, because somebody agreed to what changes from there. ``replace``: also when the served version cannot
    be opened, and so not be compared.

    Refusals: configuration_invalid, client_unknown, network_unknown, secret_key_missing, configuration_changed; without
    ``replace`` also secret_key_mismatch and configuration_damaged.
    """
    vault = present(vault)
    new = checked(raw, now, allow_unknown=allow_unknown)
    document = new.document
    network = find_network(session, client, code)
    _require_network(document, code)
    # Two at once wait for each other here: on PostgreSQL by this row lock, on SQLite by the transaction itself.
    session.execute(select(Network.id).where(Network.id == network.id).with_for_update())
    served = latest(session, network)
    if expected is not None and expected != (served.version if served else 0):
        raise Refusal(table.CONFIGURATION_CHANGED)
    if served and _holds(session, vault, served, raw, replace=replace):
        return Stored(served.version, served.etag, changed=False, notes=document.notes, findings=new.findings)
    version = served.version + 1 if served else 1
    tag = secrets.token_hex(16)
    session.add(
        Configuration(
            network_id=network.id,
            version=version,
            etag=tag,
            key_id=vault.key_id,
            sealed=sealed(vault, raw, network_id=network.id, version=version, tag=tag),
            created_at=now,
        )
    )
    return Stored(version, f'"{tag}"', changed=True, notes=document.notes, findings=new.findings)


def _holds(reader: Reader, vault: Vault, served: Current, raw: bytes, *, replace: bool) -> bool:
    """Whether the served version has this content already. What cannot be opened has not, where it may be replaced."""
    try:
        return same_content(plaintext(reader, vault, served), raw)
    except Refusal as refusal:
        if replace:
            return False
        raise Refusal(
            refusal.row,
            says=say(
                "version {version} of network {network} cannot be compared, and nothing was stored: {cause}",
                version=served.version,
                network=served.network,
                cause=refusal.message,
            ),
            do="",
        ) from None
