"""Clients: add, list, find. Called by the CLI and by the other services."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contracts.text import say
from contracts.visible import quoted
from server.reasons import table
from server.reasons.refusal import Refusal
from server.storage.models import Client, Network
from server.storage.session import Reader

_CLIENT_NAME = re.compile(r"\w(?:[\w .&'/+-]{0,62}[\w.+])?")


@dataclass(frozen=True, slots=True)
class ClientRow:
    name: str
    networks: int
    created_at: dt.datetime


def add_client(session: Session, name: str, now: dt.datetime) -> None:
    """Refusals: name_invalid, name_taken."""
    if not _CLIENT_NAME.fullmatch(name):
        raise Refusal(
            table.NAME_INVALID,
            name=quoted(name),
            noun=say("client"),
            allowed=say("1 to 64 letters, digits, spaces or . _ - & ' / +, starting with a letter or digit"),
        )
    if session.scalar(select(Client.id).where(Client.name == name)):
        raise Refusal(
            table.NAME_TAKEN, name=say("client {name}", name=quoted(name)), command="flagee-server client list"
        )
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


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint in brackets for a name that is not there: the one of ``names`` that is most alike; empty where none is."""
    alike = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), alike, 1)
    return say(" (did you mean {name}?)", name=quoted(alike[near[0]])) if near else ""


def find_client(reader: Reader, name: str) -> int:
    """The client's row id. Refusal: client_unknown."""
    client_id = reader.scalar(select(Client.id).where(Client.name == name))
    if client_id is None:
        hint = did_you_mean(name, reader.scalars(select(Client.name).order_by(Client.name)))
        command = shlex.join(["flagee-server", "client", "add", name])
        raise Refusal(table.CLIENT_UNKNOWN, client=quoted(name), near=hint, command=command)
    return client_id


def visible_client(reader: Reader, name: str, visible: frozenset[int] | None) -> int:
    """The row id of one that may be seen; None: all. One that may not is as unknown as one that is not there.

    Refusal: client_unknown.
    """
    found = reader.scalar(select(Client.id).where(Client.name == name))
    if found is None or (visible is not None and found not in visible):
        raise Refusal(table.CLIENT_UNKNOWN, client=quoted(name), near="", do="see the clients in: GET /agents/status")
    return found


def names_of(reader: Reader, visible: frozenset[int] | None, name: str | None) -> frozenset[str] | None:
    """Names of the clients that may be seen, or of the one that is asked for; None: all. Refusal: client_unknown."""
    if name is not None:
        visible_client(reader, name, visible)
        return frozenset({name})
    if visible is None:
        return None
    return frozenset(reader.scalars(select(Client.name).where(Client.id.in_(sorted(visible)))))
