"""Every migration from the older database, with rows in it, on SQLite and PostgreSQL: nothing is lost, and the new is usable.

The old rows are written as SQL, because the models describe the newest schema only.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from server.storage.schema import inspect_schema, upgrade
from server.storage.session import Database, open_database
from tests.harness.control_plane import CLIENT, ControlPlane, empty

SECRET = "s" * 43
TOKENS = {"bounded": f"fm1.0123456789ab.{SECRET}", "unbounded": f"fm1.ab0123456789.{SECRET}"}

_TOKEN = "INSERT INTO tokens (id, public_id, client_id, secret_hash, created_at, scopes, all_networks,"
ROWS_OF_0001 = [
    "INSERT INTO clients (id, name, created_at) VALUES (1, 'Mercado Sol', '2026-01-01 12:00:00')",
    "INSERT INTO networks (id, client_id, code, created_at) VALUES (1, 1, 'SOL', '2026-01-01 12:00:00')",
    "INSERT INTO networks (id, client_id, code, created_at) VALUES (2, 1, 'LUA', '2026-01-01 12:00:00')",
    f"{_TOKEN} last_used_at) VALUES (1, '0123456789ab', 1, :hash, '2026-01-01 12:00:00', 'config', :no, '2026-02-01 12:00:00')",
    f"{_TOKEN} revoked_at) VALUES (2, 'ab0123456789', 1, :hash, '2026-01-01 12:00:00', 'config', :yes, '2026-02-01 12:00:00')",
    "INSERT INTO token_networks (token_id, network_id) VALUES (1, 1)",
]


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    """A control plane whose database is at revision 0001 and in use."""
    plane = empty(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    with opened(plane) as database:
        upgrade(database, "0001")
        with database.writing() as session:
            for row in ROWS_OF_0001:
                given = {"hash": hashlib.sha256(SECRET.encode()).digest(), "yes": True, "no": False}
                session.execute(text(row), {name: value for name, value in given.items() if f":{name}" in row})
        assert inspect_schema(database).revision == "0001"
    return plane


@contextmanager
def opened(plane: ControlPlane) -> Iterator[Database]:
    database = open_database(plane.settings().database_url, timeout=5)
    try:
        yield database
    finally:
        database.close()


def test_before_the_migration_serve_and_commands_say_what_to_do(old: ControlPlane) -> None:
    for command in (("serve",), ("token", "list")):
        result = old.run(*command)
        assert result.exit_code == 1
        assert "at revision 0001, this version needs 0009; run: flagee-server init-db" in result.stderr


def test_0002_keeps_tokens_with_their_networks(old: ControlPlane) -> None:
    old.must("init-db")
    rows = json.loads(old.must("token", "list", CLIENT, "--output", "json"))
    assert [(row["id"], row["networks"], row["state"], row["agent"], row["used_at"]) for row in rows] == [
        ("0123456789ab", ["SOL"], "active", None, None),
        ("ab0123456789", "all", "revoked", None, None),
    ]
    assert rows[0]["last_used_at"].startswith("2026-02-01T")


def test_0002_keeps_the_references_of_tokens(old: ControlPlane) -> None:
    old.must("init-db")
    with opened(old) as database:
        with database.writing() as session:
            session.execute(text("DELETE FROM tokens WHERE id = 1"))
        with database.reading() as connection:
            assert connection.scalar(text("SELECT count(*) FROM token_networks")) == 0


def test_a_0002_that_fails_half_way_leaves_0001(old: ControlPlane) -> None:
    with opened(old) as database:
        with database.writing() as session:
            session.execute(
                text("CREATE INDEX ix_tokens_agent_id ON networks (code)")
            )  # taken, so that a late step fails
        assert old.run("init-db").exit_code == 1
        assert inspect_schema(database).revision == "0001"
        with database.writing() as session:
            session.execute(text("DROP INDEX ix_tokens_agent_id"))
    old.must("init-db")
    assert len(json.loads(old.must("token", "list", "--output", "json"))) == 2


def test_after_0002_an_old_token_polls_as_before(old: ControlPlane) -> None:
    old.must("init-db")
    raw = old.publish("SOL")
    with old.app() as app:
        headers = {"X-Bot-Token": TOKENS["bounded"]}
        answer = app.test_client().get("/api/ingest/bot/config?rede=SOL", headers=headers)
        assert (answer.status_code, answer.data) == (200, raw)
        headers["If-None-Match"] = answer.headers["ETag"]
        assert app.test_client().get("/api/ingest/bot/config?rede=SOL", headers=headers).status_code == 304
        headers = {"X-Bot-Token": TOKENS["unbounded"]}
        assert app.test_client().get("/api/ingest/bot/config?rede=SOL", headers=headers).status_code == 403


def test_a_server_of_the_previous_release_can_still_issue_tokens_after_0002(old: ControlPlane) -> None:
    old.must("init-db")
    with opened(old) as database, database.writing() as session:
        row = ROWS_OF_0001[4].replace("(2, 'ab0123456789'", "(3, 'aaaaaaaaaaaa'")
        session.execute(text(row), {"hash": hashlib.sha256(SECRET.encode()).digest(), "yes": True})
    assert len(json.loads(old.must("token", "list", "--output", "json"))) == 3


AGENT = "0198c0de-0000-7000-8000-000000000001"
ROWS_OF_0003 = [
    "INSERT INTO agents (agent_id, network_id, hostname, enrolled_at) VALUES (:agent, 1, 'pdv', '2026-01-01 12:00:00')",
    "UPDATE tokens SET agent_id = :agent WHERE id = 1",
]


@pytest.fixture
def with_an_agent(old: ControlPlane) -> ControlPlane:
    """A control plane whose database is at revision 0003, with an agent and its token."""
    with opened(old) as database:
        upgrade(database, "0003")
        with database.writing() as session:
            for row in ROWS_OF_0003:
                session.execute(text(row), {"agent": AGENT})
            if database.backend == "postgresql":  # ids were written by hand above
                session.execute(text("SELECT setval('tokens_id_seq', 10)"))
        assert inspect_schema(database).revision == "0003"
    return old


def test_0004_keeps_agents_with_their_tokens_and_references(with_an_agent: ControlPlane) -> None:
    with_an_agent.must("init-db")
    rows = json.loads(with_an_agent.must("token", "list", "--output", "json"))
    assert {row["id"]: row["agent"] for row in rows} == {"0123456789ab": AGENT, "ab0123456789": None}
    with opened(with_an_agent) as database, pytest.raises(IntegrityError), database.writing() as session:
        session.execute(text("UPDATE tokens SET agent_id = 'nobody' WHERE id = 2"))
    with opened(with_an_agent) as database, pytest.raises(IntegrityError), database.writing() as session:
        session.execute(text("DELETE FROM agents"))


def test_after_0004_a_known_agent_enrols_again_and_its_token_ends(with_an_agent: ControlPlane) -> None:
    with_an_agent.must("init-db")
    bootstrap = with_an_agent.token("--scope", "bootstrap", "--network", "SOL")
    body = {"agent_id": AGENT, "hostname": "pdv"}
    with with_an_agent.app() as app:
        answer = app.test_client().post("/api/bootstrap/enroll", headers={"X-Bot-Token": bootstrap}, json=body)
    assert answer.status_code == 201
    states = {row["id"]: row["state"] for row in json.loads(with_an_agent.must("token", "list", "--output", "json"))}
    assert states["0123456789ab"] == "revoked"
    assert json.loads(with_an_agent.must("counters", "--output", "json"))[0]["label"] == "again"


AGENT_OF_0006 = (
    "INSERT INTO agents (id, agent_id, network_id, hostname, enrolled_at, enrolment) "
    "VALUES ('a', 'a', 1, '', '2026-01-01 12:00:00', 1)"
)
OUTCOME_OF_0006 = (
    "INSERT INTO outcomes (agent, run_id, host_id, network_id, envelope_id, name, name_key, display_name, address, role, "
    "provider, action, dry_run, outcome, reason, message, seen_at) VALUES ('a', 'r', 'h', 1, "
    "'0195a0a0200070008000000000000001', 'PDV1', 'pdv1', '', '', '', '', 'set_zone', :no, 'changed', 'confirmed', '', "
    "'2026-01-01 12:00:00')"
)


def test_0007_keeps_outcomes_and_their_indexes_and_drops_their_references(old: ControlPlane) -> None:
    with opened(old) as database:
        upgrade(database, "0006")
        with database.writing() as session:
            session.execute(text(AGENT_OF_0006))
            session.execute(text(OUTCOME_OF_0006), {"no": False})
    old.must("init-db")
    with opened(old) as database, database.reading() as connection:
        assert connection.execute(text("SELECT host_id, name, outcome FROM outcomes")).all() == [
            ("h", "PDV1", "changed")
        ]
        schema = inspect(connection)
        found = {index["name"] for index in schema.get_indexes("outcomes")}
        assert found == {"ix_outcomes_name_key", "ix_outcomes_address", "ix_outcomes_seen_at"}
        assert schema.get_pk_constraint("outcomes")["constrained_columns"] == ["agent", "run_id", "host_id"]
        assert schema.get_foreign_keys("outcomes") == []
        assert {key["referred_table"] for key in schema.get_foreign_keys("runs")} == {"agents", "networks"}
