"""The schema of the control plane: migrations and models agree, init-db can be repeated and raced, damage is noticed."""

import datetime as dt
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import String, bindparam, func, select, text, update
from sqlalchemy.exc import IntegrityError

from server.services.tokens.last_use import record_use
from server.storage.models import Base, Configuration, Network, Token
from server.storage.prepared import Prepared
from server.storage.schema import inspect_schema
from server.storage.session import Database, open_database
from tests.harness.control_plane import CLIENT, COMMAND, ControlPlane, empty, prepared
from tests.harness.process import start, wait_until


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    """Before init-db."""
    return empty(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@contextmanager
def opened(plane: ControlPlane) -> Iterator[Database]:
    database = open_database(plane.settings().database_url, timeout=5)
    try:
        yield database
    finally:
        database.close()


def test_the_migrations_make_what_the_models_describe(bare: ControlPlane) -> None:
    bare.must("init-db")
    with opened(bare) as database, database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": _no_partition})
        assert compare_metadata(context, Base.metadata) == []


def _no_partition(_: object, name: str | None, kind: str, *__: object) -> bool:
    """PostgreSQL's partitions are tables too; models describe the whole."""
    return not (kind == "table" and name and name.startswith("envelopes_"))


def test_init_db_can_be_repeated(bare: ControlPlane) -> None:
    with opened(bare) as database:
        assert inspect_schema(database).state == "absent"
    assert "is ready" in bare.must("init-db")
    bare.must("client", "add", CLIENT)
    assert "is up to date" in bare.must("init-db")
    assert CLIENT in bare.must("client", "list")


def test_init_db_in_several_processes_at_once_works_in_all(bare: ControlPlane) -> None:
    children = [
        start([*COMMAND, "init-db"], name=f"init-{number}", folder=bare.folder, env=bare.environ) for number in range(4)
    ]
    wait_until(lambda: not any(child.alive() for child in children), within=120, what="init-db in four processes")
    assert [child.stop() for child in children] == [0, 0, 0, 0], "\n".join(child.log_tail() for child in children)
    bare.must("client", "add", CLIENT)


def test_a_database_of_a_newer_version_is_not_changed(bare: ControlPlane) -> None:
    bare.must("init-db")
    with opened(bare) as database, database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for command in ("init-db", "serve"):
        result = bare.run(command)
        assert result.exit_code == 1
        assert "install the newer version" in result.stderr


def test_a_failed_migration_leaves_nothing_behind(bare: ControlPlane) -> None:
    bare.must("init-db")
    with opened(bare) as database, database.writing() as session:
        for table in (*reversed(Base.metadata.sorted_tables), "alembic_version"):
            if str(table) != "clients":  # it stays, so that the first step fails
                session.execute(text(f"DROP TABLE {table}"))
    assert bare.run("init-db").exit_code == 1
    with opened(bare) as database:
        assert inspect_schema(database).state == "absent"
        with database.writing() as session:
            session.execute(text("DROP TABLE clients"))
    bare.must("init-db")


def test_the_sqlite_file_is_private_durable_and_checks_its_references(tmp_path: Path) -> None:
    plane = prepared(tmp_path)
    assert (tmp_path / "flagee.db").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("flagee.db")] == []
    with opened(plane) as database:
        with database.reading() as connection:
            pragmas = {
                name: connection.scalar(text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        with pytest.raises(IntegrityError) as broken, database.writing() as session:
            session.execute(update(Network).values(client_id=987654))
        assert "987654" not in str(broken.value)  # errors are logged; parameters may hold documents and hashes


def test_sealed_bytes_moved_to_another_row_do_not_open(tmp_path: Path) -> None:
    plane = prepared(tmp_path)
    plane.publish("SOL", timezone="America/Manaus")
    with opened(plane) as database, database.writing() as session:
        first, second = session.query(Configuration).order_by(Configuration.version)
        second.sealed = first.sealed
    result = plane.run("config", "show", CLIENT, "SOL")
    assert result.exit_code == 1
    assert "store the document again" in result.stderr


def test_documents_stored_at_once_get_versions_without_gaps(bare: ControlPlane) -> None:
    bare.must("init-db")
    bare.must("client", "add", CLIENT)
    bare.must("network", "add", CLIENT, "SOL")
    zones = ["America/Manaus", "America/Bahia", "America/Belem", "America/Recife"]
    commands = []
    for number, zone in enumerate(zones):
        path = bare.folder / f"{number}.json"
        path.write_text(f'{{"schema_version":2,"network":"SOL","timezone":"{zone}","inventory":{{"kind":"static"}}}}')
        command = [*COMMAND, "config", "set", CLIENT, "SOL", str(path)]
        commands.append(start(command, name=f"set-{number}", folder=bare.folder, env=bare.environ))
    wait_until(lambda: not any(child.alive() for child in commands), within=120, what="four config set at once")
    assert [child.stop() for child in commands] == [0, 0, 0, 0], "\n".join(child.log_tail() for child in commands)
    with opened(bare) as database, database.reading() as connection:
        versions = connection.scalars(select(Configuration.version).order_by(Configuration.version)).all()
    assert versions == [1, 2, 3, 4]


def test_the_package_can_be_used_from_any_folder(tmp_path: Path) -> None:
    # Migrations are found through the package, not through the folder that the command runs in.
    environ = {**empty(tmp_path).environ, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([*COMMAND, "init-db"], cwd=tmp_path, env=environ, check=True, capture_output=True)


def test_a_use_that_a_clock_in_2038_wrote_does_not_hide_later_ones(bare: ControlPlane) -> None:
    now = dt.datetime(2026, 3, 14, 12, 0, tzinfo=dt.UTC)
    for words in (("init-db",), ("client", "add", CLIENT), ("network", "add", CLIENT, "SOL")):
        bare.must(*words)
    bare.must("token", "issue", CLIENT, "--network", "SOL", "--scope", "config")
    with opened(bare) as database:

        def used(at: dt.datetime) -> dt.datetime | None:
            with database.writing() as session:
                record_use(session, [(1, at)])
                return session.scalar(select(Token.last_used_at).where(Token.id == 1))

        minute, years = dt.timedelta(minutes=1), dt.timedelta(days=4380)
        assert used(now) == now
        assert used(now - minute) == now
        assert used(now + years) == now + years
        assert used(now + minute) == now + minute


RUNNING = select(func.current_query(type_=String), bindparam("given", type_=String))


def test_statements_of_a_request_carry_its_correlation_id_to_postgresql(postgres_url: str, tmp_path: Path) -> None:
    running = text("SELECT current_query() AS sent, :given AS given")
    with opened(empty(tmp_path, postgres_url)) as database:
        with structlog.contextvars.bound_contextvars(correlation_id="request-7"):
            with database.reading() as connection:
                read = connection.execute(running, {"given": "100 % 'quoted'"}).one()
            with database.writing() as session:
                written = session.execute(running, {"given": 1}).one()
            [polled] = Prepared(database)(RUNNING, given="polled")
        with database.reading() as connection:
            alone = connection.execute(running, {"given": 1}).one()
    assert (read.sent.rpartition(" /* ")[2], read.given) == ("correlation_id=request-7 */", "100 % 'quoted'")
    assert written.sent.endswith("/* correlation_id=request-7 */")
    assert polled[0].endswith("/* correlation_id=request-7 */")
    assert "correlation_id" not in alone.sent
