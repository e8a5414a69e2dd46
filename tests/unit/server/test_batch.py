"""The body of a batch: unpacked within its limit, split, refused as a whole where a part of it may be missing."""

import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable

import msgspec
import pytest
import zstandard

from server.reasons.refusal import Refusal
from server.services.telemetry.batch import Limits, read_batch

LIMITS = Limits(1000, 4 * 2**20)
ITEMS = [{"place": n, "text": "x" * (n % 50)} for n in range(50)]
JSON, NDJSON, MSGPACK = "application/json", "application/x-ndjson", "application/msgpack"
PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
FORMS = {
    JSON: json.dumps(ITEMS).encode(),
    NDJSON: b"\r\n".join(json.dumps(one).encode() for one in ITEMS) + b"\n\n",
    MSGPACK: msgspec.msgpack.encode(ITEMS),
}


def read(body: bytes, encoding: str = "", content_type: str = JSON) -> list[object]:
    batch = read_batch(body, encoding=encoding, content_type=content_type, limits=LIMITS)
    return [msgspec.json.decode(one) for one in batch]


def refused(body: bytes, encoding: str = "", content_type: str = JSON) -> str:
    with pytest.raises(Refusal) as caught:
        read(body, encoding, content_type)
    return caught.value.reason


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_in_each_encoding(form: str, encoding: str) -> None:
    assert read(PACKED[encoding](FORMS[form]), encoding, form) == ITEMS


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_a_packed_batch_that_was_cut_anywhere_is_refused_as_a_whole(form: str, encoding: str) -> None:
    packed = PACKED[encoding](FORMS[form])
    for end in {0, len(packed) - 1, *random.Random(1).sample(range(len(packed)), 40)}:
        assert refused(packed[:end], encoding, form) == "batch_invalid"
    assert refused(packed + b"x", encoding, form) == "batch_invalid"
    assert refused(packed + packed, encoding, form) == "batch_invalid"


UNREADABLE = {
    "nothing": (b"", "", JSON, "batch_invalid"),
    "an object": (b"{}", "", JSON, "batch_invalid"),
    "a list that does not end": (b"[1,", "", JSON, "batch_invalid"),
    "brackets without end": (b"[" * 200_000, "", JSON, "batch_invalid"),
    "no gzip": (b"[]", "gzip", JSON, "batch_invalid"),
    "no zstd": (b"[]", "zstd", JSON, "batch_invalid"),
    "an encoding that is not taken": (b"[]", "br", JSON, "encoding_unsupported"),
    "two encodings": (b"[]", "gzip, gzip", JSON, "encoding_unsupported"),
    "a type that is not taken": (b"[]", "", "text/plain", "batch_type_unsupported"),
    "no type": (b"[]", "", "", "batch_type_unsupported"),
    "a MessagePack list that claims four billion items": (b"\xdd\xff\xff\xff\xff", "", MSGPACK, "batch_invalid"),
    "MessagePack lists without end": (b"\x91" * 200_000, "", MSGPACK, "batch_invalid"),
    "a MessagePack type of its own": (b"\x91\xd4\x05\x00", "", MSGPACK, "batch_invalid"),
    "too many": (json.dumps([1] * 1001).encode(), "", JSON, "too_many_envelopes"),
    "too many lines": (b"1\n" * 1001, "", NDJSON, "too_many_envelopes"),
    "too large": (b"[" + b" " * LIMITS.bytes + b"]", "", JSON, "body_too_large"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_batch_that_cannot_be_read_is_refused_with_its_reason(name: str) -> None:
    body, encoding, content_type, reason = UNREADABLE[name]
    assert refused(body, encoding, content_type) == reason


def gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(500)) + packer.flush()


def zstd_bomb() -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join(packer.compress(bytes(2**20)) for _ in range(500)) + packer.flush()


@pytest.mark.parametrize(("encoding", "bomb"), [("gzip", gzip_bomb), ("zstd", zstd_bomb)])
def test_half_a_gigabyte_of_nothing_is_refused_without_unpacking_it(encoding: str, bomb: Callable[[], bytes]) -> None:
    packed = bomb()
    assert len(packed) < 10**6
    tracemalloc.start()
    assert refused(packed, encoding) == "body_too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


def test_an_empty_batch_is_a_batch() -> None:
    assert read(b"[]") == []
    assert read(b"", "", NDJSON) == []
