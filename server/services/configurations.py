"""Configuration documents: store, find the one to serve, open. Called by the API for every poll, and by the CLI.

Documents are served byte for byte as they were stored, so that a proxy of the first generation keeps working.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import shlex
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from contracts.action_check import Finding
from contracts.changes import Change, changes
from contracts.document import Document, DocumentError, Problem, read_document, same_content
from contracts.notes import Note
from contracts.visible import quoted
from server.services import vocabulary
from server.services.refusal import Refusal
from server.services.registry import NetworkRow, Reader, find_network
from server.services.sealing import sealed, unsealed
from server.settings import MAKE_A_KEY
from server.storage.crypto import Damaged, Vault
from server.storage.models import Configuration, Network


class Current(NamedTuple):
    """The version that is served. ``tag`` is its random id; it tells nothing of the content."""

    client: str
    network_id: int
    network: str
    id: int
    version: int
    tag: str
    key_id: str

    @property
    def etag(self) -> str:
        """The id as HTTP writes it: strong, with its quotation marks."""
        return f'"{self.tag}"'


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
        raise Refusal("configuration_invalid", "\n".join(map(str, error.problems)), problems=error.problems) from None
    found = vocabulary.findings(document.config, now, allow_unknown=allow_unknown)
    errors = [finding for finding in found if finding.level == "error"]
    if errors:
        raise Refusal(
            "configuration_invalid",
            "\n".join(map(str, errors)),
            problems=[Problem(one.path, one.text) for one in errors],
        )
    return Checked(document, found)


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
    vault = _present(vault)
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
    found = changes(before, new.document.config, vocabulary.catalogue())
    return Preview(new, current.version if current else 0, found, unreadable)


def _require_network(document: Document, code: str) -> None:
    if document.config.network != code:
        raise Refusal(
            "configuration_invalid",
            f"network: the document is for {quoted(document.config.network)}, not for {quoted(code)}; "
            "correct the document or the command",
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
    vault = _present(vault)
    new = checked(raw, now, allow_unknown=allow_unknown)
    document = new.document
    network = find_network(session, client, code)
    _require_network(document, code)
    # Two at once wait for each other here: on PostgreSQL by this row lock, on SQLite by the transaction itself.
    session.execute(select(Network.id).where(Network.id == network.id).with_for_update())
    served = latest(session, network)
    if expected is not None and expected != (served.version if served else 0):
        raise Refusal(
            "configuration_changed",
            "another version was stored in the meantime; nothing was stored. Start again to see what changes from there",
        )
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
            refusal.reason,
            f"version {served.version} of network {served.network} cannot be compared, and nothing was stored: {refusal.message}",
        ) from None


def latest(reader: Reader, network: NetworkRow) -> Current | None:
    """The served version of a network, None when nothing is stored."""
    row = reader.execute(_LATEST, {"network_id": network.id}).first()
    return None if row is None else Current(network.client, network.id, network.network, *row)


def current_of(reader: Reader, client: str, code: str) -> Current:
    """The served version, for an operator. Refusals: client_unknown, network_unknown, configuration_missing."""
    current = latest(reader, find_network(reader, client, code))
    if current is None:
        raise missing(client, code)
    return current


def stored_at(reader: Reader, current: Current) -> dt.datetime:
    """When this version was stored."""
    return reader.execute(_STORED_AT, {"id": current.id}).scalar_one()


def plaintext(reader: Reader, vault: Vault | None, current: Current) -> bytes:
    """The document as it was stored. Refusals: secret_key_missing, secret_key_mismatch, configuration_damaged."""
    vault = _present(vault)
    if vault.key_id != current.key_id:
        raise Refusal("secret_key_mismatch", key_mismatch(vault, current.key_id))
    content = reader.execute(_SEALED, {"id": current.id}).scalar_one()
    try:
        return unsealed(vault, content, network_id=current.network_id, version=current.version, tag=current.tag)
    except Damaged:
        raise Refusal(
            "configuration_damaged",
            f"version {current.version} for network {current.network} was changed in the database; "
            "store the document again (config set … --yes)",
        ) from None


def foreign_keys(reader: Reader, vault: Vault) -> list[str]:
    """Ids of other keys than the vault's that served configurations are stored under; empty when all can be opened."""
    served_versions = select(Configuration.network_id, func.max(Configuration.version)).group_by(
        Configuration.network_id
    )
    query = (
        select(Configuration.key_id)
        .where(tuple_(Configuration.network_id, Configuration.version).in_(served_versions))
        .where(Configuration.key_id != vault.key_id)
        .distinct()
    )
    return sorted(reader.execute(query).scalars())


def key_mismatch(vault: Vault, stored_under: str) -> str:
    return (
        f"FLAGEE_SECRET_KEY is the key {vault.key_id}, but stored configurations need the key {stored_under}; "
        "set that one, or store the documents again (config set … --yes)"
    )


def missing(client: str, code: str) -> Refusal:
    """For a network without a configuration."""
    command = shlex.join(["flagee-server", "config", "set", client, code, "FILE"])
    return Refusal(
        "configuration_missing", f"no configuration is stored for network {code} yet; store one with: {command}"
    )


def _present(vault: Vault | None) -> Vault:
    if vault is None:
        raise Refusal(
            "secret_key_missing",
            "FLAGEE_SECRET_KEY is not set; set it to the key that configurations are stored under, "
            f"or for a new database make one with: {MAKE_A_KEY}",
        )
    return vault


_other = aliased(Configuration)
_highest = select(func.max(_other.version)).where(_other.network_id == Network.id).correlate(Network).scalar_subquery()
# Joins a network with the version that is in force there.
IN_FORCE = (Configuration.network_id == Network.id) & (Configuration.version == _highest)
_LATEST = (
    select(Configuration.id, Configuration.version, Configuration.etag, Configuration.key_id)
    .join(Network, IN_FORCE)
    .where(Network.id == bindparam("network_id"))
)
_STORED_AT = select(Configuration.created_at).where(Configuration.id == bindparam("id"))
_SEALED = select(Configuration.sealed).where(Configuration.id == bindparam("id"))
