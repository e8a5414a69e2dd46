"""Table of counters."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


class Counter(Base):
    """A number that only grows, since its first time; what the names mean is in :mod:`server.services.counters`."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[dt.datetime]
