"""Tables of agents, and of what each said last."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


class Agent(Base):
    """An installed proxy. ``agent_id`` is the UUID that the host made, in lower case: a name within its network, since another
    host of another network may present the same. ``id`` is our own; ``enrolled_from`` the address of the last enrolment, and
    ``enrolment`` counts them. ``retired_at``: an operator took it out of service; a new enrolment takes it back."""

    __tablename__ = "agents"
    __table_args__ = (Index(None, "network_id", "agent_id", unique=True),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(36), server_default="", index=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id"), index=True)
    hostname: Mapped[str] = mapped_column(String(255))
    enrolled_at: Mapped[dt.datetime]
    enrolled_from: Mapped[str | None] = mapped_column(String(45))
    enrolment: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    retired_at: Mapped[dt.datetime | None]


class AgentReport(Base):
    """The last heartbeat of an agent. ``report``: JSON as it was sent. ``clock_ms``: its clock minus ours, in milliseconds.

    ``other_instance``: the instance before this one; ``changes``: how often the two have taken turns, last at ``changed_at``.
    ``schedule``: what its jobs start by, as far as is certain: `alone`, without a lease; `lease`; null, it has none.
    """

    __tablename__ = "agent_reports"

    agent: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    instance: Mapped[str] = mapped_column(String(36))
    other_instance: Mapped[str | None] = mapped_column(String(36))
    changes: Mapped[int]
    changed_at: Mapped[dt.datetime]
    seen_at: Mapped[dt.datetime]
    interval_s: Mapped[int]
    clock_ms: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[str] = mapped_column(String(255))
    report: Mapped[str] = mapped_column(Text)
    schedule: Mapped[str | None] = mapped_column(String(8))


class ScheduleLease(Base):
    """Which agent of a network starts scheduled jobs: the last one that was told that it may. ``length_s`` counts from
    ``renewed_at``, 0: without a limit, as it was the only one. ``since``: from when on no other agent can have started one, null
    where none ever did."""

    __tablename__ = "schedule_leases"

    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id"), primary_key=True, autoincrement=False)
    agent: Mapped[str | None] = mapped_column(ForeignKey("agents.id"))
    since: Mapped[dt.datetime | None]
    renewed_at: Mapped[dt.datetime | None]
    length_s: Mapped[float] = mapped_column(Float)
