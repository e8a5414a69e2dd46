"""Tables of tokens."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, LargeBinary, String, false
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


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
