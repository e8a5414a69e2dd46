"""One envelope: from its JSON text to what is stored, or why it is not taken. Pure. Called by the module ``storing``."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from contracts.bodies import BODIES
from contracts.body_parts import Body
from contracts.bounded import MAX_DEPTH, Unreadable, read_json
from contracts.envelope import DUPLICATE_DAYS, ENVELOPE_BYTES, RESULT_BYTES, Envelope, day_of, parse_id
from contracts.ingest import Failed, ItemError
from contracts.kinds import KINDS

_ENVELOPE = msgspec.json.Decoder(Envelope)
_BODY: dict[tuple[str, str], msgspec.json.Decoder[Body]] = {
    names: msgspec.json.Decoder(body) for names, body in BODIES.items()
}
_UNREADABLE = (msgspec.MsgspecError, Unreadable, UnicodeDecodeError, RecursionError)
_DETAIL = 300


class Sender(NamedTuple):
    """Whose token it is. ``agent``: id of the agent's row."""

    agent: str
    agent_id: str
    client: str
    network_id: int


class Item(Struct, frozen=True, gc=False):
    """An envelope that can be stored. ``id``: 32 hexadecimal digits, and the ``day`` on which it was made. ``text``: of its body,
    JSON. ``body``: None for a sub that is not known."""

    index: int
    id: str
    day: int
    envelope: Envelope
    text: str
    body: Body | None


class _Named(Struct):
    envelope_id: Any = None


_NAMED = msgspec.json.Decoder(_Named)


class _NotTaken(Exception):
    def __init__(self, error: ItemError, detail: str = "") -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


def read_item(index: int, raw: Raw, sender: Sender, today: int) -> Item | Failed:
    """``today``: as days since 1970, by the server's clock."""
    try:
        return _read(index, raw, sender, today)
    except _NotTaken as why:
        return Failed(index, _id_in(raw), why.error, why.detail[:_DETAIL])
    except _UNREADABLE as error:
        return Failed(index, _id_in(raw), "invalid", str(error)[:_DETAIL])


def _read(index: int, raw: Raw, sender: Sender, today: int) -> Item:
    size = len(memoryview(raw))
    if size > RESULT_BYTES:
        raise _NotTaken("too_large", f"{size} bytes; at most {RESULT_BYTES} are taken")
    envelope = _ENVELOPE.decode(raw)
    if envelope.kind not in KINDS:
        raise _NotTaken("unknown_kind")
    if size > ENVELOPE_BYTES and envelope.kind != "result":
        raise _NotTaken("too_large", f"{size} bytes; at most {ENVELOPE_BYTES} are taken of this kind")
    if not _is_of(envelope, sender):
        raise _NotTaken("foreign")
    found = parse_id(envelope.envelope_id)
    if found is None:
        raise _NotTaken("invalid", "envelope_id: a UUIDv7 or a ULID is expected")
    day = day_of(found)
    if day < today - DUPLICATE_DAYS:
        raise _NotTaken("too_old")
    text = bytes(memoryview(envelope.body)).decode()
    return Item(index, found, day, envelope, text, _body(envelope, text))


def _body(envelope: Envelope, text: str) -> Body | None:
    if not text.startswith("{"):
        raise _NotTaken("invalid", "body: an object is expected")
    if text.count("{") + text.count("[") > MAX_DEPTH:  # only then it can be too deep, which few are
        read_json(text)
    decoder = _BODY.get((envelope.kind, envelope.sub)) if envelope.schema_version == 1 else None
    try:
        return decoder.decode(envelope.body) if decoder else None
    except msgspec.ValidationError as error:
        raise _NotTaken("invalid", f"body: {error}") from None


def _is_of(envelope: Envelope, sender: Sender) -> bool:
    agent, tenant = envelope.agent_id, envelope.tenant_id
    return (agent is None or agent.lower() == sender.agent_id) and tenant in (None, sender.client)


def _id_in(raw: Raw) -> str | None:
    """As it was sent, where it can be found at all."""
    try:
        named = _NAMED.decode(raw).envelope_id
    except _UNREADABLE:
        return None
    return named[:64] if isinstance(named, str) else None
