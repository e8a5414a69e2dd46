"""Table of duties that one process does for all."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


class Duty(Base):
    """``due_at``: when it is to be done next. Who moves it on first does it."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[dt.datetime]
