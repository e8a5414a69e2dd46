"""How a use case refuses. :mod:`server.errors` answers with the row's HTTP status, :mod:`server.cli.base` with exit code 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.document import Problem
    from server.reasons.row import Row


class Refusal(Exception):
    """``reason`` is the row's code, stable and for programs; ``message`` tells people what happened and what to do.

    ``networks`` are the ones to choose from; ``problems`` what is wrong with a document, each with its place; ``token`` the
    public id of a token whose secret was right; ``retry_after`` seconds after which it may be tried again. ``values`` fill in
    the row, and the words for a host (:mod:`server.reasons.on_host`); ``says`` and ``do`` replace the row's words by exact ones.
    """

    def __init__(
        self,
        row: Row,
        *,
        says: str | None = None,
        do: str | None = None,
        networks: Sequence[str] = (),
        problems: Sequence[Problem] = (),
        token: str | None = None,
        retry_after: int | None = None,
        **values: object,
    ) -> None:
        self.message = row.text(says=says, do=do, token=token, **values)
        super().__init__(self.message)
        self.row = row
        self.reason = row.code
        self.networks = tuple(networks)
        self.problems = tuple(problems)
        self.token = token
        self.values = {"token": token, **values} if token else values
        self.retry_after = retry_after
