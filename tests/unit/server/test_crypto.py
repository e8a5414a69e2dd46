"""Sealed bytes open with their key, for their row, unchanged, and not otherwise."""

import pytest

from server.storage.crypto import Damaged, Vault

KEY = bytes(range(32))


def test_sealed_bytes_open_to_the_same_text() -> None:
    assert Vault(KEY).open(Vault(KEY).seal(b"document", "row/1"), "row/1") == b"document"


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    assert Vault(KEY).seal(b"document", "row/1") != Vault(KEY).seal(b"document", "row/1")


@pytest.mark.parametrize("position", [0, 11, 12, 20, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    sealed = bytearray(Vault(KEY).seal(b"some longer document", "row/1"))
    sealed[position] ^= 1
    with pytest.raises(Damaged):
        Vault(KEY).open(bytes(sealed), "row/1")


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(12), bytes(28)])
def test_bytes_that_were_never_sealed_are_noticed(sealed: bytes) -> None:
    with pytest.raises(Damaged):
        Vault(KEY).open(sealed, "row/1")


def test_sealed_bytes_do_not_open_for_another_row() -> None:
    with pytest.raises(Damaged):
        Vault(KEY).open(Vault(KEY).seal(b"document", "row/1"), "row/2")


def test_another_key_does_not_open_and_has_another_name() -> None:
    other = Vault(bytes(32))
    assert other.key_id != Vault(KEY).key_id
    with pytest.raises(Damaged):
        other.open(Vault(KEY).seal(b"document", "row/1"), "row/1")


def test_the_name_of_a_key_stays_the_same() -> None:
    # It is stored beside every configuration: a change would make them all look foreign.
    assert Vault(KEY).key_id == "dabdc547e5bf9bd5"
