"""Table of agents."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


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
