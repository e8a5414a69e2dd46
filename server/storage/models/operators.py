"""Tables of operators: the people who look at the fleet, and their tokens."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.models.base import Base


class Operator(Base):
    """A person, or a program of the monitoring company. ``role`` is a word of :class:`server.services.operators.access.Role`.

    ``removed_at``: was removed; to be added again takes the row back.
    """

    __tablename__ = "operators"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    all_clients: Mapped[bool]
    created_at: Mapped[dt.datetime]
    removed_at: Mapped[dt.datetime | None]


class OperatorClient(Base):
    """The clients of an operator who is not for all of them."""

    __tablename__ = "operator_clients"

    operator_id: Mapped[int] = mapped_column(ForeignKey("operators.id"), primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"), primary_key=True)


class OperatorToken(Base):
    """A credential of an operator. ``secret_hash`` is SHA-256, as a proxy's token has it."""

    __tablename__ = "operator_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    operator_id: Mapped[int] = mapped_column(ForeignKey("operators.id"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
