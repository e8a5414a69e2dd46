"""Ids that both sides make."""

from __future__ import annotations

import os
import uuid

from contracts.ids import uuid7


def test_an_id_is_a_uuid_of_version_7_that_begins_with_its_time() -> None:
    made = uuid.UUID(uuid7(1_700_000_000_123))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, 1_700_000_000_123)


def test_processes_that_were_forked_from_one_make_ids_of_their_own() -> None:
    made = [_of_a_child() for _ in range(3)] + [uuid7(0)]
    assert len(set(made)) == 4


def _of_a_child() -> str:
    """The first id of a forked child, at the same time as all others."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, uuid7(0).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        return told.read()
