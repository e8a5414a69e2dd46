"""The usual poll: is the document that this caller has still the one to serve? Called by :mod:`server.api.shortcut`.

One statement that returns a row only when every rule of :func:`server.services.tokens.authenticate` and
:func:`server.services.configurations.served` holds. It only ever says yes: whatever it does not answer goes the long way, which
knows why. A test drives both through the same cases, so that they cannot come to differ.
"""

from __future__ import annotations

import datetime as dt
import hmac

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import aliased

from server.services.tokens import Scope, hash_of, parse
from server.storage.models import Configuration, Network, Token, TokenNetwork
from server.storage.prepared import Prepared
from server.storage.session import Database

_allowed = exists().where(TokenNetwork.token_id == Token.id, TokenNetwork.network_id == Network.id)
_newer = aliased(Configuration)
_highest = select(func.max(_newer.version)).where(_newer.network_id == Network.id).correlate(Network)
_UNCHANGED = (
    select(Token.id, Token.secret_hash, Token.scopes)
    .join(Network, Network.client_id == Token.client_id)
    .join(Configuration, Configuration.network_id == Network.id)
    .where(
        Token.public_id == bindparam("public_id"),
        Token.revoked_at.is_(None),
        Token.used_at.is_(None),
        Token.expires_at.is_(None) | (Token.expires_at > bindparam("now")),
        Network.code == bindparam("code"),
        Token.all_networks | _allowed.correlate(Token, Network),
        Configuration.etag == bindparam("digest"),
        Configuration.version == _highest.scalar_subquery(),
    )
)


class Polls:
    """Answers polls from one database."""

    def __init__(self, database: Database) -> None:
        self._unchanged = Prepared(database, _UNCHANGED)

    def unchanged(self, *, token: str, code: str, digest: str, now: dt.datetime) -> int | None:
        """The token's row id when its owner may be told that ``digest`` is current for network ``code``; else None.

        Raises what :meth:`server.storage.prepared.Prepared.first` does.
        """
        form = parse(token)
        if form is None:
            return None
        public_id, secret = form
        row = self._unchanged.first({"public_id": public_id, "code": code, "digest": digest, "now": now})
        if row is None:
            return None
        token_id, secret_hash, scopes = row
        if not hmac.compare_digest(secret_hash, hash_of(secret)) or Scope.CONFIG not in scopes.split():
            return None
        found: int = token_id
        return found
