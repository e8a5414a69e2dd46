"""Tables of the control plane, as typed SQLAlchemy models. Every change here needs a revision in ``migrations/versions``."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Instant(TypeDecorator[dt.datetime]):
    """An aware datetime, stored as UTC. SQLite keeps no zone, so what comes back from there is marked as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an aware datetime is expected")
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        instant: dt.datetime = value
        return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """Constraints have names, so that a later migration can change them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dt.datetime: Instant}  # noqa: RUF012 -- SQLAlchemy's own way


class Client(Base):
    """A customer of the monitoring company."""

    __tablename__ = "clients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime]


class Network(Base):
    """One network of a client; ``code`` is the ``network`` of its configuration document."""

    __tablename__ = "networks"
    __table_args__ = (UniqueConstraint("client_id", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    code: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[dt.datetime]


class Agent(Base):
    """An installed proxy. ``agent_id`` is the UUID that the host made, in lower case: a name within its network, since another
    host of another network may present the same. ``id`` is our own; ``enrolled_from`` the address of the last enrolment."""

    __tablename__ = "agents"
    __table_args__ = (Index(None, "network_id", "agent_id", unique=True),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(36), server_default="", index=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id"), index=True)
    hostname: Mapped[str] = mapped_column(String(255))
    enrolled_at: Mapped[dt.datetime]
    enrolled_from: Mapped[str | None] = mapped_column(String(45))


class Token(Base):
    """A credential of a client's proxies. ``secret_hash`` is SHA-256; ``scopes`` are words with one space between.

    ``agent_id`` is whose it is, when it is one agent's own. ``used_at`` is set once, by what ends a ``single_use`` token.
    """

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[str] = mapped_column(String(255))
    all_networks: Mapped[bool]
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    agent_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id"), index=True)
    single_use: Mapped[bool] = mapped_column(default=False, server_default=false())
    used_at: Mapped[dt.datetime | None]


class TokenNetwork(Base):
    """The networks of a token that is not for all of its client's networks."""

    __tablename__ = "token_networks"

    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True)


class Configuration(Base):
    """One version of a network's configuration; rows are only added. The highest version is the one that is served.

    ``etag`` is a random id of the version (128 bits, hex) and tells nothing of its content; ``sealed`` are the encrypted bytes as
    they were given, under the key that ``key_id`` names.
    """

    __tablename__ = "configurations"
    __table_args__ = (Index(None, "network_id", "version", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id"))
    version: Mapped[int]
    etag: Mapped[str] = mapped_column(String(32))
    key_id: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes]
    created_at: Mapped[dt.datetime]


class Counter(Base):
    """A number that only grows, since its first time; what the names mean is in :mod:`server.services.counters`."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[dt.datetime]
