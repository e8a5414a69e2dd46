"""Networks of clients: add, list, find. Called by the CLI and by the other services."""

from __future__ import annotations

import datetime as dt
import shlex
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.config import NetworkCode
from contracts.text import say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.clients import did_you_mean, find_client
from server.storage.models import Client, Network
from server.storage.session import Reader

_NETWORK_CODE: TypeAdapter[str] = TypeAdapter(NetworkCode)


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


def add_network(session: Session, client: str, code: str, now: dt.datetime) -> None:
    """Refusals: client_unknown, name_invalid, name_taken."""
    client_id = find_client(session, client)
    if not is_network_code(code):
        raise Refusal(
            table.NAME_INVALID,
            name=quoted(code),
            noun=say("network"),
            allowed=say("1 to 64 letters, digits or . _ -, starting with a letter or digit, as in its document"),
        )
    if session.scalar(select(Network.id).where(Network.client_id == client_id, Network.code == code)):
        name = say("network {network} of client {client}", network=quoted(code), client=quoted(client))
        raise Refusal(table.NAME_TAKEN, name=name, command="flagee-server network list")
    session.add(Network(client_id=client_id, code=code, created_at=now))


def list_networks(reader: Reader, client: str | None = None) -> list[NetworkRow]:
    """All networks, or those of one client. Refusal: client_unknown."""
    query = select(Network.id, Client.name, Network.code, Network.created_at).join(
        Client, Client.id == Network.client_id
    )
    if client is not None:
        query = query.where(Network.client_id == find_client(reader, client))
    return [NetworkRow(*row) for row in reader.execute(query.order_by(Client.name, Network.code))]


def find_network(reader: Reader, client: str, code: str) -> NetworkRow:
    """Refusals: client_unknown, network_unknown."""
    networks = list_networks(reader, client)
    for row in networks:
        if row.network == code:
            return row
    hint = did_you_mean(code, [row.network for row in networks])
    command = shlex.join(["flagee-server", "network", "add", client, code])
    raise Refusal(table.NETWORK_UNKNOWN, client=quoted(client), network=quoted(code), near=hint, command=command)
