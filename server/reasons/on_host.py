"""What the person reads who runs an installer's line on a host, where the control plane refuses the installer.

The words of the table are for programs and for the control plane's operator; this person can only run the line again or ask for
another one. Used by :mod:`server.services.installer.error_script`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contracts.stored_text import placeholders
from contracts.text import Text, made, say
from server.reasons import table
from server.reasons.row import Row


class OnHost(NamedTuple):
    """``says``: what happened, one sentence or two. ``do``: what this person can do."""

    says: Text
    do: Text


_NEW_LINE = say("Ask your monitoring company for a new line.")
_COPY_AGAIN = say("Copy the whole line again, or ask your monitoring company for a new one.")

_WORDS: Mapping[str, OnHost] = {
    row.code: OnHost(says, do)
    for row, says, do in (
        (table.TOKEN_MISSING, say("The request has no token; part of the line is missing."), _COPY_AGAIN),
        (table.TOKEN_UNKNOWN, say("The control plane does not know the token of this line."), _COPY_AGAIN),
        (table.TOKEN_REVOKED, say("This line was withdrawn (token {token})."), _NEW_LINE),
        (table.TOKEN_EXPIRED, say("This line expired at {at} (token {token})."), _NEW_LINE),
        (table.TOKEN_USED, say("This line was used before; it installs one proxy (token {token})."), _NEW_LINE),
        (table.SCOPE_MISSING, say("The token of this line may not install a proxy (token {token})."), _NEW_LINE),
        (table.NETWORK_NOT_ALLOWED, say("The token of this line is for another network (token {token})."), _NEW_LINE),
        (table.NETWORK_REQUIRED, say("The address in this line does not name one network."), _NEW_LINE),
        (table.NETWORK_AMBIGUOUS, say("The address in this line does not name one network."), _NEW_LINE),
        (
            table.CONFIGURATION_MISSING,
            say("The control plane has no configuration for this network yet."),
            say("Tell your monitoring company; run the line again when a configuration is stored."),
        ),
    )
}
_LATER = OnHost(
    say("The control plane cannot answer now."),
    say("Run the line again in some minutes. If it fails again, report this to your monitoring company."),
)
_NO_INSTALLER = OnHost(
    say("The control plane cannot make the installer."), say("Report this to your monitoring company.")
)
_PASSES = frozenset({408, 429, 502, 503, 504})


def on_host(row: Row, status: int, values: Mapping[str, object]) -> OnHost:
    """The words for a row. ``values`` fill them in; where one is missing, the words for any other reason are used."""
    words = _WORDS.get(row.code) or (_LATER if status in _PASSES else _NO_INSTALLER)
    needed = placeholders(words.says.template)
    if not needed:
        return words
    if not needed <= values.keys():
        return _NO_INSTALLER
    return OnHost(made(words.says.template, "", {name: str(values[name]) for name in needed}), words.do)
