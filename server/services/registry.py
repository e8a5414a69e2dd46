"""Clients and their networks: add, list, find. Called by the CLI and by the other services."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from contracts.config import NetworkCode
from contracts.visible import quoted
from server.services.refusal import Refusal
from server.storage.models import Client, Network

Reader = Connection | Session

_CLIENT_NAME = re.compile(r"\w(?:[\w .&'/+-]{0,62}[\w.+])?")
_NETWORK_CODE: TypeAdapter[str] = TypeAdapter(NetworkCode)


@dataclass(frozen=True, slots=True)
class ClientRow:
    name: str
    networks: int
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class NetworkRow:
    id: int
    client: str
    network: str
    created_at: dt.datetime


def is_network_code(text: str) -> bool:
    try:
        _NETWORK_CODE.validate_python(text)
    except ValidationError:
        return False
    return True


def add_client(session: Session, name: str, now: dt.datetime) -> None:
    """Refusals: name_invalid, name_taken."""
    if not _CLIENT_NAME.fullmatch(name):
        raise Refusal(
            "name_invalid",
            f"client name {quoted(name)}: use 1 to 64 letters, digits, spaces or . _ - & ' / +, starting with a letter or digit",
        )
    if session.scalar(select(Client.id).where(Client.name == name)):
        raise Refusal("name_taken", f"client {quoted(name)} exists already; see: flagee-server client list")
    session.add(Client(name=name, created_at=now))


def list_clients(reader: Reader) -> list[ClientRow]:
    networks = func.count(Network.id)
    rows = reader.execute(
        select(Client.name, networks, Client.created_at)
        .outerjoin(Network, Network.client_id == Client.id)
        .group_by(Client.id)
        .order_by(Client.name)
    )
    return [ClientRow(*row) for row in rows]


def add_network(session: Session, client: str, code: str, now: dt.datetime) -> None:
    """Refusals: client_unknown, name_invalid, name_taken."""
    client_id = find_client(session, client)
    if not is_network_code(code):
        raise Refusal(
            "name_invalid",
            f"network {quoted(code)}: use 1 to 64 letters, digits or . _ -, starting with a letter or digit, as in its document",
        )
    if session.scalar(select(Network.id).where(Network.client_id == client_id, Network.code == code)):
        raise Refusal(
            "name_taken",
            f"client {quoted(client)} has a network {quoted(code)} already; see: flagee-server network list",
        )
    session.add(Network(client_id=client_id, code=code, created_at=now))


def list_networks(reader: Reader, client: str | None = None) -> list[NetworkRow]:
    """All networks, or those of one client. Refusal: client_unknown."""
    query = select(Network.id, Client.name, Network.code, Network.created_at).join(
        Client, Client.id == Network.client_id
    )
    if client is not None:
        query = query.where(Network.client_id == find_client(reader, client))
    return [NetworkRow(*row) for row in reader.execute(query.order_by(Client.name, Network.code))]


def find_client(reader: Reader, name: str) -> int:
    """The client's row id. Refusal: client_unknown."""
    client_id = reader.scalar(select(Client.id).where(Client.name == name))
    if client_id is None:
        raise Refusal(
            "client_unknown",
            f"there is no client {quoted(name)}; add it with: flagee-server client add {shlex.quote(name)}",
        )
    return client_id


def find_network(reader: Reader, client: str, code: str) -> NetworkRow:
    """Refusals: client_unknown, network_unknown."""
    for row in list_networks(reader, client):
        if row.network == code:
            return row
    command = shlex.join(["flagee-server", "network", "add", client, code])
    raise Refusal(
        "network_unknown",
        f"client {quoted(client)} has no network {quoted(code)}; add it with: {command}",
    )
