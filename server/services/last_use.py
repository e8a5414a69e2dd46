"""Remembers when tokens were used. Noted by :mod:`server.auth` and :mod:`server.api.shortcut`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy.orm import Session

from server.services.lazy_writes import LazyWrites
from server.services.tokens import record_use


class LastUse(LazyWrites[int, dt.datetime]):
    """By the token's row id."""

    what = "last_use_of_tokens"

    def merged(self, earlier: dt.datetime, later: dt.datetime) -> dt.datetime:
        return later

    def write(self, session: Session, values: Mapping[int, dt.datetime]) -> None:
        record_use(session, values.items())
