"""Table of configuration documents, version by version."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


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
