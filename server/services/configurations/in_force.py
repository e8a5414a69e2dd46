"""The version of a configuration that is served: found, opened. Called by the API for every poll, and by the CLI."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, tuple_
from sqlalchemy.orm import aliased

from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.configurations.sealing import unsealed
from server.services.networks import NetworkRow, find_network
from server.settings import MAKE_A_KEY
from server.storage.crypto import Damaged, Vault
from server.storage.models import Configuration, Network
from server.storage.session import Reader


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
    vault = present(vault)
    if vault.key_id != current.key_id:
        raise Refusal(table.SECRET_KEY_MISMATCH, key=vault.key_id, needed=current.key_id)
    content = reader.execute(_SEALED, {"id": current.id}).scalar_one()
    try:
        return unsealed(vault, content, network_id=current.network_id, version=current.version, tag=current.tag)
    except Damaged:
        raise Refusal(table.CONFIGURATION_DAMAGED, version=current.version, network=current.network) from None


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
    return table.SECRET_KEY_MISMATCH.text(key=vault.key_id, needed=stored_under)


def missing(client: str, code: str) -> Refusal:
    """For a network without a configuration."""
    command = shlex.join(["flagee-server", "config", "set", client, code, "FILE"])
    return Refusal(table.CONFIGURATION_MISSING, network=code, command=command)


def present(vault: Vault | None) -> Vault:
    """The vault. Refusal: secret_key_missing."""
    if vault is None:
        raise Refusal(table.SECRET_KEY_MISSING, command=MAKE_A_KEY)
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
