"""Why first use is blocked is stored in English and shown in the language of the reader."""

from pathlib import Path

import pytest

from contracts.text import Catalogue, in_language
from runtime.adapters.state.history import count
from runtime.adapters.state.recovery_log import loss_in
from tests.unit.state.support import open_state

PORTUGUESE = Catalogue(
    "pt-BR", {"pinned host keys were lost with the database; {file} is missing or damaged": ["perdidas: {file}"]}, int
)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (
            "pinned host keys were lost with the database; /data/keepsake.jsonl is missing or damaged",
            "perdidas: /data/keepsake.jsonl",
        ),
        ("what a later release wrote", "what a later release wrote"),
    ],
    ids=["ours", "of a later release"],
)
def test_a_stored_loss_is_shown_in_another_language(stored: str, shown: str) -> None:
    assert loss_in(stored) == stored
    assert in_language(loss_in(stored), PORTUGUESE) == shown


def test_keys_lost_with_a_database_are_counted_as_such_in_the_readers_language(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"garbage" * 1000)
    with open_state(tmp_path) as state:
        assert (
            in_language(count(state).first_use_blocked or "", PORTUGUESE) == f"perdidas: {tmp_path / 'keepsake.jsonl'}"
        )
