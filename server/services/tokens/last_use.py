"""Remembers when tokens were used. Noted by :mod:`server.auth` and :mod:`server.api.config_poll`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from sqlalchemy import update
from sqlalchemy.orm import Session

from server.services.lazy_writes import LazyWrites
from server.storage.models import OperatorToken, Token
from server.storage.session import Database

Kind = type[Token] | type[OperatorToken]

# No process keeps a use unwritten for so long.
_LATEST_WRITE = dt.timedelta(days=7)


class LastUse(LazyWrites[int, dt.datetime]):
    """By the token's row id. ``kind``: whose tokens."""

    what = "last_use_of_tokens"

    def __init__(self, database: Database, interval: float, kind: Kind = Token) -> None:
        super().__init__(database, interval)
        self._kind = kind

    def merged(self, earlier: dt.datetime, later: dt.datetime) -> dt.datetime:
        return later

    def write(self, session: Session, values: Mapping[int, dt.datetime]) -> None:
        record_use(session, values.items(), self._kind)


def record_use(session: Session, seen: Iterable[tuple[int, dt.datetime]], kind: Kind = Token) -> None:
    """Write when tokens were used; an older time never replaces a newer one, whichever process comes last.

    Unless the newer one lies so far ahead that only a wrong clock can have written it: it would hide every use for years.
    """
    for token_id, at in seen:
        known = kind.last_used_at
        replaced = known.is_(None) | (known < at) | (known > at + _LATEST_WRITE)
        session.execute(update(kind).where(kind.id == token_id, replaced).values(last_used_at=at))
