"""Tables of the fleet's ledger: runs and outcomes as agents told of them, in the shape of a proxy's own ledger."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


class Run(Base):
    """A run of an agent. Its parts come in any order, so each may be missing. ``summary``: JSON, hosts by outcome."""

    __tablename__ = "runs"
    __table_args__ = (Index(None, "seen_at"), Index(None, "run_id"))

    agent: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id"), index=True)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    action: Mapped[str | None] = mapped_column(String(64))
    action_version: Mapped[str | None] = mapped_column(String(32))
    provider: Mapped[str | None] = mapped_column(String(32))
    origin: Mapped[str | None] = mapped_column(String(128))
    dry_run: Mapped[bool | None]
    actor: Mapped[str | None] = mapped_column(Text)
    purpose: Mapped[str | None] = mapped_column(Text)
    hosts: Mapped[int | None]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    exit_code: Mapped[int | None]
    summary: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Text)
    seen_at: Mapped[dt.datetime]


class Outcome(Base):
    """What became of one host in one run. ``name_key``: its name in lower case. ``envelope_id``: of the envelope that told, which
    has gates, stages and facts for as long as envelopes are kept.

    ``agent`` and ``network_id`` are no foreign keys, as in envelopes: PostgreSQL would look both up for every row.
    """

    __tablename__ = "outcomes"
    __table_args__ = (Index(None, "name_key"), Index(None, "address"), Index(None, "seen_at"))

    agent: Mapped[str] = mapped_column(String(36), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    network_id: Mapped[int]
    envelope_id: Mapped[uuid.UUID]
    name: Mapped[str] = mapped_column(String(255))
    name_key: Mapped[str] = mapped_column(String(255))
    display_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(String(64))
    store: Mapped[int | None]
    terminal: Mapped[int | None]
    role: Mapped[str] = mapped_column(String(32))
    provider: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(64))
    dry_run: Mapped[bool]
    outcome: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    seen_at: Mapped[dt.datetime]
