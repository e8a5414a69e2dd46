"""A configuration opens for its own row only, in the form of today and in that of release 1."""

import pytest

from server.services.configurations.sealing import sealed, unsealed
from server.storage.crypto import Damaged, Vault

VAULT = Vault(bytes(range(32)))
TAG = "0" * 32
RAW = b'\xef\xbb\xbf {"b": [1, 2.5, null, true], "a": {"\xc3\xa9": "\\u00e7", "A": "\\u2028"}}\n'
# As release 1 computed it; rows that it stored are bound to this for ever.
DIGEST = "85c752777749a097579837ecd6d1b6f5d42c7708f72a04ecc6cb6790d22e2266"

TODAY = sealed(VAULT, RAW, network_id=3, version=7, tag=TAG)
RELEASE_1 = VAULT.seal(RAW, f"configuration/3/7/{DIGEST}")
both = pytest.mark.parametrize("content", [TODAY, RELEASE_1], ids=["today", "release 1"])


def opened(content: bytes, *, vault: Vault = VAULT, network_id: int = 3, version: int = 7, tag: str = TAG) -> bytes:
    return unsealed(vault, content, network_id=network_id, version=version, tag=tag)


@both
def test_a_document_opens_byte_for_byte(content: bytes) -> None:
    assert opened(content) == RAW


@both
def test_a_document_opens_for_no_other_row_and_with_no_other_key(content: bytes) -> None:
    with pytest.raises(Damaged):
        opened(content, network_id=4)
    with pytest.raises(Damaged):
        opened(content, version=6)
    with pytest.raises(Damaged):
        opened(content, vault=Vault(bytes(32)))


def test_a_document_of_today_does_not_open_under_another_etag() -> None:
    with pytest.raises(Damaged):
        opened(TODAY, tag="1" * 32)


@both
def test_a_changed_byte_is_noticed_everywhere(content: bytes) -> None:
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        with pytest.raises(Damaged):
            opened(bytes(changed))


NEVER = {
    "nothing": b"",
    "short": b"short",
    "a nonce alone": bytes(12),
    "a nonce and a tag": bytes(28),
    "zeros": bytes(100),
    "sealed, and no document": VAULT.seal(b"[" * 100_000, "x"),
}


@pytest.mark.parametrize("content", NEVER.values(), ids=NEVER)
def test_what_was_never_a_document_is_damaged(content: bytes) -> None:
    with pytest.raises(Damaged):
        opened(content)
