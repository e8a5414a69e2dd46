"""Opened documents are kept within a bound, and never given for another row."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from server.reasons.refusal import Refusal
from server.services.configurations.documents import Documents
from server.services.configurations.in_force import Current, current_of
from server.storage.crypto import Vault
from server.storage.models import Configuration
from server.storage.session import Database, open_database
from tests.harness.control_plane import CLIENT, ControlPlane, prepared


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path)


@pytest.fixture
def database(plane: ControlPlane) -> Iterator[Database]:
    database = open_database(plane.settings().database_url, timeout=5)
    yield database
    database.close()


def vault_of(plane: ControlPlane) -> Vault:
    key = plane.settings().key()
    assert key is not None
    return Vault(key)


def in_force(database: Database, network: str = "SOL") -> Current:
    with database.reading() as connection:
        return current_of(connection, CLIENT, network)


def destroy(database: Database) -> None:
    """After this only what was kept can be given."""
    with database.writing() as session:
        session.execute(update(Configuration).values(sealed=b"gone"))


def test_a_document_is_opened_once(plane: ControlPlane, database: Database) -> None:
    raw = plane.publish("SOL", timezone="America/Manaus")
    documents, current = Documents(database, vault_of(plane)), in_force(database)
    assert documents.opened(current) == raw
    destroy(database)
    assert documents.opened(current) == raw


def test_the_oldest_documents_are_dropped_when_there_is_no_room(plane: ControlPlane, database: Database) -> None:
    size = len(plane.publish("SOL"))
    versions = []
    for zone in ("America/Manaus", "America/Recife", "America/Belem"):
        plane.publish("SOL", timezone=zone)
        versions.append(in_force(database))
    documents = Documents(database, vault_of(plane), limit=3 * size)
    first, second, third = versions
    for current in (first, second, first, third):
        documents.opened(current)
    destroy(database)
    assert documents.opened(first)
    assert documents.opened(third)
    with pytest.raises(Refusal, match="was changed in the database"):
        documents.opened(second)


def test_a_document_larger_than_the_bound_is_served_and_not_kept(plane: ControlPlane, database: Database) -> None:
    documents, current = Documents(database, vault_of(plane), limit=10), in_force(database)
    assert len(documents.opened(current)) > 10
    destroy(database)
    with pytest.raises(Refusal):
        documents.opened(current)


def test_a_row_with_the_etag_of_another_does_not_get_its_document(plane: ControlPlane, database: Database) -> None:
    documents, current = Documents(database, vault_of(plane)), in_force(database)
    documents.opened(current)
    plane.publish("LUA")
    with database.writing() as session:
        session.execute(update(Configuration).values(etag=current.tag))
    with pytest.raises(Refusal, match="was changed in the database"):
        documents.opened(in_force(database, "LUA"))


def test_without_the_key_nothing_is_opened(plane: ControlPlane, database: Database) -> None:
    for vault, reason in ((None, "secret_key_missing"), (Vault(bytes(32)), "secret_key_mismatch")):
        with pytest.raises(Refusal) as refused:
            Documents(database, vault).opened(in_force(database))
        assert refused.value.reason == reason
