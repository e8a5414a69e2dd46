"""Tables of telemetry: envelopes as they came, and how far each stream of an agent has come."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import BigInteger, Index, Integer, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


class Envelope(Base):
    """One message of an agent, stored once. ``agent`` is the ``id`` of its row; ``day`` the one of ``envelope_id``, as days since
    1970. ``body`` and ``meta`` are JSON text as it was sent.

    PostgreSQL partitions by ``day`` (:mod:`server.storage.partitions`). ``agent`` is no foreign key, because that would cost a
    look-up for every row: rows of agents are never deleted.
    """

    __tablename__ = "envelopes"
    __table_args__ = (
        Index(None, "agent", "received_at"),
        Index(None, "received_at"),
        Index(None, "correlation_id"),
        {"postgresql_partition_by": "RANGE (day)"},
    )

    agent: Mapped[str] = mapped_column(String(36), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    envelope_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    sub: Mapped[str] = mapped_column(String(64))
    schema_version: Mapped[int] = mapped_column(SmallInteger)
    ts_unix_ms: Mapped[int] = mapped_column(BigInteger)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    stream: Mapped[uuid.UUID | None]
    seq: Mapped[int | None] = mapped_column(BigInteger)
    meta: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[dt.datetime]


class Stream(Base):
    """One outbox of an agent. ``highest_seq``: the highest that is stored."""

    __tablename__ = "streams"

    agent: Mapped[str] = mapped_column(String(36), primary_key=True)
    stream: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    highest_seq: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[dt.datetime]


class Arrival(Base):
    """A batch that was stored, kept for a day, for who looks on live: its envelopes are those of ``agent`` at ``received_at``.

    ``txid``: PostgreSQL's id of the transaction, by which it is known whether an older one is still open. SQLite has one writer
    at a time, so that ``position`` alone is the order, and ``txid`` is 0.
    """

    __tablename__ = "arrivals"
    __table_args__ = (Index(None, "txid", "position"), {"sqlite_autoincrement": True})

    position: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    txid: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    agent: Mapped[str] = mapped_column(String(36))
    received_at: Mapped[dt.datetime]
