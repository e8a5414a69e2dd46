"""The body of an ingest request as raw envelopes: unpacked and split, within limits. Called by :mod:`server.api.ingest`.

Nothing is unpacked beyond the limit, whatever a small body says that it is. A body that was cut is refused as a whole: what
is missing of it must not count as acknowledged.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from contracts.ingest import JSON, MSGPACK, NDJSON
from server.reasons import table
from server.reasons.refusal import Refusal

_ITEMS = msgspec.json.Decoder(list[Raw])
_TYPES = {JSON: JSON, NDJSON: NDJSON, MSGPACK: MSGPACK, "application/x-msgpack": MSGPACK}
# A block of zstd is at least 4 bytes and at most 128 kB unpacked, so that this makes 16 MB at most in one step.
_PIECE = 512
_WINDOW = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """``bytes``: after decompression."""

    envelopes: int
    bytes: int


def read_batch(packed: bytes, *, encoding: str, content_type: str, limits: Limits) -> list[Raw]:
    """JSON text of each envelope, unread. Refusals: encoding_unsupported, batch_type_unsupported, batch_invalid, body_too_large,
    too_many_envelopes."""
    form = _TYPES.get(content_type)
    if form is None:
        raise Refusal(table.BATCH_TYPE_UNSUPPORTED)
    items = _split(unpacked(packed, encoding, limits.bytes), form)
    if len(items) > limits.envelopes:
        raise Refusal(table.TOO_MANY_ENVELOPES, number=len(items), limit=limits.envelopes)
    return items


def _split(raw: bytes, form: str) -> list[Raw]:
    if form == NDJSON:
        return [Raw(line) for line in raw.split(b"\n") if line.strip()]
    try:
        # Rarely used, so that it may cost a detour: all that follows knows one form.
        return _ITEMS.decode(msgspec.json.encode(msgspec.msgpack.decode(raw)) if form == MSGPACK else raw)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise Refusal(table.BATCH_INVALID, cause=error) from None


def unpacked(packed: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding. Refusals: encoding_unsupported, batch_invalid, body_too_large."""
    match encoding.strip().lower():
        case "" | "identity":
            return packed if len(packed) <= limit else _too_large(limit)
        case "gzip":
            return _gunzip(packed, limit)
        case "zstd":
            return _unzstd(packed, limit)
    raise Refusal(table.ENCODING_UNSUPPORTED)


def _gunzip(packed: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        raw = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Refusal(table.BATCH_INVALID, cause=error) from None
    if len(raw) > limit:
        _too_large(limit)
    return _whole(raw, ended=unpacker.eof and not unpacker.unused_data)


def _unzstd(packed: bytes, limit: int) -> bytes:
    import zstandard  # few agents send it

    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    raw = bytearray()
    at = 0
    try:
        while at < len(packed) and not unpacker.eof:
            raw += unpacker.decompress(packed[at : at + _PIECE])
            at += _PIECE
            if len(raw) > limit:
                _too_large(limit)
    except zstandard.ZstdError as error:
        raise Refusal(table.BATCH_INVALID, cause=error) from None
    return _whole(bytes(raw), ended=unpacker.eof and not unpacker.unused_data and at >= len(packed))


def _whole(raw: bytes, *, ended: bool) -> bytes:
    if not ended:
        raise Refusal(table.BATCH_INVALID, cause="its compression does not end where the body ends")
    return raw


def _too_large(limit: int) -> bytes:
    raise Refusal(
        table.BODY_TOO_LARGE, says=f"at most {limit} bytes are taken after decompression", do="send less at once"
    )
