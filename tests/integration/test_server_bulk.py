"""INSERT of many rows by the driver, on SQLite and PostgreSQL: every value comes back as it was given, keys are stored once."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import delete, select, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from contracts.ids import uuid7
from server.storage.bulk import Bulk, together
from server.storage.models import Envelope
from server.storage.session import Database, open_database
from tests.harness.control_plane import prepared

NOW = dt.datetime(2026, 3, 14, 12, 30, tzinfo=dt.UTC)
EACH = ("day", "envelope_id", "kind", "sub", "schema_version", "ts_unix_ms", "correlation_id", "stream", "seq", "body")
BULK = Bulk(Envelope, shared=("agent", "received_at"), each=EACH)
TEXTS = (
    "",
    " ",
    "NULL",
    "{}",
    '{"a": "b\\u0000"}',
    "back\\slash",
    'a "quote"',
    "it's, {so}",
    "line\nfeed\ttab",
    "Olá \U0001f600",
    "%s %(a)s",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with closing(open_database(prepared(tmp_path, url).settings().database_url, timeout=5)) as opened:
        yield opened


def row(word: str = "text", **changes: Any) -> tuple[Any, ...]:
    values = {
        "day": 20526,
        "envelope_id": digits(),
        "kind": "event",
        "sub": word,
        "schema_version": 1,
        "ts_unix_ms": 2**62,
    }
    optional = {"correlation_id": None, "stream": None, "seq": None, "body": word}
    return tuple({**values, **optional, **changes}.values())


def digits() -> str:
    return uuid7().replace("-", "")


def inserted(
    database: Database, *rows: tuple[Any, ...], agent: str = "a", at: dt.datetime = NOW
) -> list[tuple[Any, ...]]:
    with database.writing() as session:
        with BULK.inserting(session.connection(), (agent, at), rows) as new:
            pass
        return list(new.rows)


def stored(database: Database) -> set[tuple[Any, ...]]:
    columns = [getattr(Envelope, name) for name in EACH]
    with database.reading() as connection:
        found = connection.execute(select(*columns)).all()
    return {tuple(value.hex if isinstance(value, uuid.UUID) else value for value in one) for one in found}


@pytest.mark.parametrize("given", TEXTS)
def test_a_text_comes_back_as_it_was_given_alone_and_among_others(database: Database, given: str) -> None:
    alone = row(given)
    assert inserted(database, alone) == [alone]
    assert stored(database) == {alone}
    others = [row(one) for one in (given, "", given, "other", given)]
    assert inserted(database, *others) == others
    assert stored(database) == {alone, *others}


def test_null_and_every_kind_of_value_come_back(database: Database) -> None:
    full = row(correlation_id="c-1", stream=digits(), seq=0, body="{}")
    none = row(correlation_id=None, stream=None, seq=None)
    for rows in ([full], [none], [row(seq=-1), full, none]):
        with database.writing() as session:
            session.execute(delete(Envelope))
        assert inserted(database, *rows) == rows
        assert stored(database) == set(rows)


def test_an_instant_is_stored_in_utc_whatever_its_zone(database: Database) -> None:
    inserted(database, row(), at=NOW.astimezone(dt.timezone(dt.timedelta(hours=-3))))
    with database.reading() as connection:
        assert connection.scalar(select(Envelope.received_at)) == NOW
        assert connection.scalar(select(Envelope.kind).where(Envelope.received_at == NOW)) == "event"


def test_only_rows_whose_key_is_not_there_are_inserted_and_returned(database: Database) -> None:
    first, second, third = row(), row(), row()
    changed = (*second[:-1], "changed")
    assert inserted(database, first, second) == [first, second]
    assert inserted(database, third, changed, first) == [third]
    assert inserted(database, first, changed) == []
    assert inserted(database) == []
    assert stored(database) == {first, second, third}
    assert inserted(database, first, agent="b") == [first]  # of another agent
    assert inserted(database, (first[0] + 1, *first[1:]), row(day=1)) != []  # of another day


def test_insert_leaves_out_what_is_there(database: Database) -> None:
    first, second = row(), row()
    for rows in ((first,), (first, second), ()):
        with database.writing() as session:
            BULK.insert(session.connection(), ("a", NOW), rows)
    assert stored(database) == {first, second}


def test_what_fails_among_statements_that_go_together_is_raised_as_by_one_alone(database: Database) -> None:
    """And the connection can be used afterwards."""
    first, second = row(), row()
    for _ in range(3):  # more than one connection would be needed if each were lost
        with pytest.raises(DBAPIError):
            with_one_that_fails(database, first, second)
    assert stored(database) == set()
    assert inserted(database, first) == [first]


def test_a_connection_that_is_lost_costs_one_batch_and_no_more(tmp_path: Path, postgres_url: str) -> None:
    url = prepared(tmp_path, postgres_url).settings().database_url
    with closing(open_database(url, timeout=5)) as database:
        first, second = row(), row()
        with pytest.raises(OperationalError):
            inserted_on_a_lost_connection(database, first)
        assert inserted(database, second) == [second]
        assert stored(database) == {second}


def with_one_that_fails(database: Database, first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    with database.writing() as session, together(session.connection()):
        BULK.insert(session.connection(), ("a", NOW), [first])
        session.execute(text("INSERT INTO envelopes (agent) VALUES ('a')"))
        BULK.insert(session.connection(), ("a", NOW), [second])


def inserted_on_a_lost_connection(database: Database, one: tuple[Any, ...]) -> None:
    with database.writing() as session:
        ours = session.scalar(text("SELECT pg_backend_pid()"))
        with database.reading() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:ours)"), {"ours": ours})
        with BULK.inserting(session.connection(), ("a", NOW), [one]):
            pass


def test_a_text_that_would_be_taken_apart_is_refused_and_nothing_is_stored(tmp_path: Path, postgres_url: str) -> None:
    with closing(open_database(prepared(tmp_path, postgres_url).settings().database_url, timeout=5)) as database:
        with pytest.raises(ValueError, match="separates"):
            inserted(database, row(), row("one\x1fother"))
        assert stored(database) == set()


def test_a_text_that_is_too_long_is_refused_by_postgresql_and_not_cut(tmp_path: Path, postgres_url: str) -> None:
    with closing(open_database(prepared(tmp_path, postgres_url).settings().database_url, timeout=5)) as database:
        with pytest.raises(DataError):
            inserted(database, row(kind="k" * 33))
        assert stored(database) == set()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_rows_of_a_request_carry_its_correlation_id_to_postgresql(database: Database) -> None:
    with database.writing() as session:
        session.execute(text("CREATE TABLE sent (query text)"))
        session.execute(
            text(
                "CREATE FUNCTION note_sent() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN INSERT INTO sent VALUES (current_query()); RETURN NULL; END $$"
            )
        )
        session.execute(text("CREATE TRIGGER noted AFTER INSERT ON envelopes EXECUTE FUNCTION note_sent()"))
        shared = ("a", NOW)
        with structlog.contextvars.bound_contextvars(correlation_id="request-7"):
            BULK.insert(session.connection(), shared, [row()])
            with BULK.inserting(session.connection(), shared, [row()]) as new:
                pass
        sent = list(session.scalars(text("SELECT query FROM sent")))
        session.rollback()
    assert len(new.rows) == 1
    assert [query.rpartition(" /* ")[2] for query in sent] == ["correlation_id=request-7 */"] * 2
