"""Answers of ``POST /v1/ingest``, and what an agent does with each. Pure; both sides read the same tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from contracts.retry import again

PATH: Final = "/v1/ingest"
JSON, NDJSON, MSGPACK = "application/json", "application/x-ndjson", "application/msgpack"
ENCODINGS: Final = ("gzip", "zstd", "identity")

ItemError = Literal["duplicate", "invalid", "too_large", "foreign", "too_old", "unknown_kind", "quota", "unavailable"]
# What the agent then does: it counts the envelope as acknowledged; never sends it again, and keeps it among its dead letters;
# sends it when the server's version has changed; or keeps it and sends it later.
Then = Literal["acknowledged", "dead", "newer_server", "later"]


@dataclass(frozen=True, slots=True)
class Row:
    """``says``: what the error means, for the documents."""

    then: Then
    says: str


ERRORS: Final[Mapping[ItemError, Row]] = {
    "duplicate": Row("acknowledged", "It is stored already."),
    "invalid": Row("dead", "A field is missing or wrong; `detail` names it."),
    "too_large": Row("dead", "It is larger than one envelope may be."),
    "foreign": Row("dead", "Its `tenant_id` or `agent_id` is not the token's."),
    "too_old": Row("dead", "Its id was made more than 45 days ago; the agent leaves a tombstone."),
    "unknown_kind": Row("newer_server", "The server does not know this kind."),
    "quota": Row("later", "The agent or its client sends more than its quota."),
    "unavailable": Row("later", "It cannot be stored just now."),
}


class Failed(Struct, frozen=True, omit_defaults=True):
    """``index``: place in the batch. ``envelope_id``: as it was sent, null where it had none. ``detail``: for people."""

    index: Annotated[int, Meta(ge=0)]
    envelope_id: str | None
    error: ItemError
    detail: str = ""


class Ingested(Struct, frozen=True):
    """Always after the commit. What was sent and is not in ``failed`` is stored. ``server_version``: of the program."""

    received: Annotated[int, Meta(ge=0)]
    stored: Annotated[int, Meta(ge=0)]
    failed: list[Failed]
    server_version: str = ""


Batch = Literal["halve", "again", "pause"]
_HALVE = frozenset({400, 413, 422})


def on_status(status: int) -> Batch:
    """What to do with a whole batch that was not answered with 200: ``halve`` it until one envelope is left, which becomes a dead
    letter; try ``again``; or ``pause`` the channel."""
    if status in _HALVE:
        return "halve"
    return "again" if again(status) else "pause"
