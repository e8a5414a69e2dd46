"""How a use case says no. :mod:`server.errors` turns it into an HTTP status, :mod:`server.cli` into an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from contracts.document import Problem

Reason = Literal[
    "token_missing",
    "token_unknown",
    "token_revoked",
    "token_expired",
    "token_used",
    "scope_missing",
    "network_not_allowed",
    "network_required",
    "configuration_missing",
    "configuration_invalid",
    "configuration_changed",
    "configuration_damaged",
    "secret_key_missing",
    "secret_key_mismatch",
    "name_invalid",
    "name_taken",
    "public_url_missing",
    "assets_missing",
    "installer_value_invalid",
    "agent_elsewhere",
    "client_unknown",
    "network_unknown",
]


class Refusal(Exception):
    """``reason`` is stable and for programs, ``message`` tells people what to do. ``networks`` are the ones to choose from;
    ``problems`` what is wrong with a document, each with its place; ``token`` the public id of a token whose secret was right."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        networks: Sequence[str] = (),
        problems: Sequence[Problem] = (),
        token: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.networks = tuple(networks)
        self.problems = tuple(problems)
        self.token = token
