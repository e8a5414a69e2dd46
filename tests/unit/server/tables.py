"""The control plane's tables in memory, with two clients and their networks: for services that work with a session."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from server.services.clients import add_client
from server.services.networks import add_network
from server.services.tokens.access import Principal
from server.services.tokens.listing import TokenRow, list_tokens
from server.storage.models import Base, Client, Network, Token

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MOMENT = dt.timedelta(microseconds=1)
SOL, LUA = "Mercado Sol", "Mercado Lua"


@contextmanager
def tables() -> Iterator[Session]:
    """Of the client SOL the networks S1 and S2, of the client LUA the network L1."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine, expire_on_commit=False) as session:
        for client, networks in ((SOL, ("S1", "S2")), (LUA, ("L1",))):
            add_client(session, client, NOW)
            for network in networks:
                add_network(session, client, network, NOW)
        session.commit()
        yield session
    engine.dispose()


def principal(session: Session, public_id: str, network: str) -> Principal:
    """Who asks with a stored token, for a network of its client."""
    token = session.scalars(select(Token).where(Token.public_id == public_id)).one()
    client = session.scalars(select(Client).where(Client.id == token.client_id)).one()
    known = session.scalars(select(Network).where(Network.client_id == client.id, Network.code == network)).one()
    return Principal(token.id, public_id, client.id, client.name, known.id, network, token.single_use)


def row_of(session: Session, public_id: str, now: dt.datetime = NOW) -> TokenRow:
    """A token as `token list` shows it."""
    [found] = [row for row in list_tokens(session, now) if row.id == public_id]
    return found
