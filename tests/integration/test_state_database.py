"""The SQLite file of the local state: schema, damage, full and read-only disks."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from runtime.adapters.state import migrations, recovery_log
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.history import count, list_runs, why
from runtime.adapters.state.hosts import SqlHostBook, accept_lost_keys, retire_keys
from runtime.adapters.state.identities import SqlIdentities
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.meta import agent_id
from runtime.adapters.state.migrations.upgrade import STEPS, steps, upgrade
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import metadata
from runtime.domain.errors import InventoryUnavailable, Permanent
from runtime.domain.identity import Claim
from runtime.domain.model import Host, Reason
from runtime.domain.ports import PinnedKey
from tests.harness.need import need_root
from tests.unit.state import workers
from tests.unit.state.support import (
    NOON,
    StillClock,
    complete_run,
    make_hosts,
    make_info,
    make_result,
    open_state,
    outbox_rows,
)

KEY = PinnedKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0p8xYv7Qm1Yt9B6f0a9mQw2c4s7d8e9f0a1b2c3d4e")
VERSIONS = Path(migrations.__file__).parent / "versions"


def _fill(folder: Path) -> tuple[str, str]:
    """A state with a run, two pinned keys, one of them retired again, and an identity: agent id, run id."""
    info, hosts = make_info(), make_hosts(2)
    with open_state(folder) as state:
        asyncio.run(complete_run(state, info, [make_result(host) for host in make_hosts(300)]))
        for host in hosts:
            asyncio.run(SqlHostBook(state, StillClock()).save(host, KEY, None))
        retire_keys(state, hosts[1].network, hosts[1].name, by="ana", now=NOON)
        return agent_id(state), info.run_id


def _keys(state: State) -> list[PinnedKey | None]:
    return [asyncio.run(SqlHostBook(state, StillClock()).get(host))[0] for host in make_hosts(2)]


# --- schema


def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    with open_state(tmp_path) as state, state.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_the_migrations_form_one_chain_that_ends_at_head() -> None:
    script = steps()
    assert script.get_heads() == [migrations.HEAD]
    chain = [revision.revision for revision in script.walk_revisions()]
    assert chain[::-1] == [f"{number:04}" for number in range(1, len(chain) + 1)]


def test_every_migration_is_listed() -> None:
    assert [Path(str(step.__file__)).name for step in STEPS] == sorted(path.name for path in VERSIONS.glob("v*.py"))


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("v*.py")), ids=lambda path: path.stem)
def test_a_migration_only_adds(path: Path) -> None:
    """The release before must be able to work on the result: that is what makes a rollback possible."""
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "op"
    }
    assert calls <= {"create_table", "create_index", "add_column", "bulk_insert", "execute", "drop_index"}
    executed = [str(node.args[0].value) for node in _executed(path) if isinstance(node.args[0], ast.Constant)]
    assert len(executed) == len(_executed(path)), "statements are constants, so that this test can read them"
    assert all(text.startswith(("UPDATE outbox", "CREATE TRIGGER")) for text in executed)


def _executed(path: Path) -> list[ast.Call]:
    """The calls of ``op.execute``."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "execute"
    ]


def test_the_schema_of_a_later_release_can_be_read_and_written(tmp_path: Path) -> None:
    _, first = _fill(tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.executescript(
            """
            ALTER TABLE run_hosts ADD COLUMN mood TEXT;
            ALTER TABLE runs ADD COLUMN urgency INTEGER NOT NULL DEFAULT 3;
            CREATE TABLE holidays (day TEXT PRIMARY KEY);
            UPDATE alembic_version SET version_num = '0999';
            """
        )
    database.close()
    info = make_info()
    with open_state(tmp_path) as state:
        asyncio.run(complete_run(state, info, [make_result(host) for host in make_hosts(3)]))
        assert {run.run_id for run in list_runs(state)} == {first, info.run_id}
    with sqlite3.connect(tmp_path / "state.db") as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("0999",)]
        assert database.execute("SELECT DISTINCT urgency FROM runs").fetchall() == [(3,)]
    database.close()


_A_RUN = """
    INSERT INTO runs (run_id, correlation_id, agent_id, network, action, action_version, asked, origin, dry_run, compat_mode,
        params, selector, pid, hosts, state, exit_code, started_at, finished_at)
    VALUES (?, 'c', 'a', 'acme', 'diagnose_env', '1', 'diagnose_env', 'manual', 0, 'warn', '{}', '{}', 1, 0, 'finished', 0,
        '2026-03-14T12:00:00.000000+00:00', '2026-03-14T12:00:01.000000+00:00')
"""


def test_the_first_schema_is_brought_up_to_date_and_its_release_still_writes_to_it(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.begin() as connection:
        upgrade(connection, "0001")
        connection.exec_driver_sql(_A_RUN, ("before",))
    engine.dispose()

    with open_state(tmp_path) as state:
        ledger, info = SqlLedger(state, StillClock()), make_info()
        asyncio.run(ledger.refuse(info, InventoryUnavailable("zabbix_timeout", "no answer")))
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute(_A_RUN, ("after a rollback",))
    database.close()

    with open_state(tmp_path) as state:
        told = {run.run_id: (run.exit_code, run.reason, run.message) for run in list_runs(state)}
    nothing = (0, None, None)
    assert told == {"before": nothing, "after a rollback": nothing, info.run_id: (4, "zabbix_timeout", "no answer")}


def test_keys_pinned_before_identity_was_read_stay_marked(tmp_path: Path) -> None:
    """Also after the release before pinned one, and after the database was damaged; only a machine in doubt stays in doubt."""
    before, rolled_back, doubtful, new = make_hosts(4)
    pinned = "INSERT INTO host_keys (network, name, port, key, fingerprint, first_seen) VALUES (?, ?, 22, 'k', ?, ?)"
    doubt = "INSERT INTO host_memory (network, name, port, said_hostname) VALUES (?, ?, 22, 'pdv202')"
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    lines = []
    with engine.begin() as connection:
        upgrade(connection, "0005")
        for host in (before, doubtful):
            row = (host.network, host.name.lower(), f"SHA256:{host.name}", NOON.isoformat())
            connection.exec_driver_sql(pinned, row)
            lines.append(dict(zip(("network", "name", "fingerprint", "first_seen"), row, strict=True)))
        connection.exec_driver_sql(doubt, (doubtful.network, doubtful.name.lower()))
    engine.dispose()
    kept = [json.dumps({"event": "pin", "port": 22, "key": "k", **line}) for line in lines]
    (tmp_path / recovery_log.FILE).write_text("\n".join(kept) + "\n")

    def unasked(state: State, host: Host) -> bool:
        asked = SqlIdentities(state, StillClock()).record(
            host, Claim(), other=lambda _: True, named=frozenset(), suspects=frozenset()
        )
        return asyncio.run(asked).unasked

    with open_state(tmp_path) as state:
        asyncio.run(SqlHostBook(state, StillClock()).save(new, KEY, None))
        row = (rolled_back.network, rolled_back.name.lower(), "SHA256:r", NOON.isoformat())
        state.write(lambda connection: connection.exec_driver_sql(pinned, row))
        assert [unasked(state, host) for host in (before, rolled_back, doubtful, new)] == [True, True, False, False]
    (tmp_path / "state.db").write_bytes(b"garbage" * 1000)
    with open_state(tmp_path) as state:
        assert [unasked(state, host) for host in (before, new)] == [True, False]


def test_an_up_to_date_state_opens_without_alembic(tmp_path: Path) -> None:
    open_state(tmp_path).close()
    program = (
        "import datetime, pathlib, sys\n"
        "from runtime.adapters.state.store import State\n"
        "State(pathlib.Path(sys.argv[1]), now=datetime.datetime.now(datetime.UTC)).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_many_processes_may_open_a_new_state_at_once(tmp_path: Path) -> None:
    started = [workers.start(workers.open_and_count, tmp_path / "data") for _ in range(6)]
    for _, pipe in started:
        pipe.send("go")
    assert [pipe.recv() for _, pipe in started] == [0] * 6
    for process, _ in started:
        process.join()
        assert process.exitcode == 0


def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        _fill(tmp_path / "deep" / "data")
        with open_state(tmp_path / "deep" / "data") as state:
            count(state)
            modes = {path.name: path.stat().st_mode & 0o777 for path in state.folder.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) >= {"state.db", "state.db-wal", "state.db-shm", "keepsake.jsonl"}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700


def test_a_foreign_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    tmp_path.chmod(0o755)
    open_state(tmp_path).close()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    (tmp_path / "theirs").unlink()
    open_state(tmp_path).close()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


# --- damage


def _overwrite(path: Path, start: float, length: int) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(int(size * start))
        file.write(os.urandom(length))


def _foreign(path: Path) -> None:
    path.unlink()
    _statement(path, "CREATE TABLE runs (a); CREATE TABLE alembic_version (version_num); CREATE VIEW meta AS SELECT 1")


def _statement(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "header": lambda path: _overwrite(path, 0, 100),
    "first page": lambda path: _overwrite(path, 0.0001, 4000),
    "cut to a page and a bit": lambda path: os.truncate(path, 5000),
    "text": lambda path: path.write_bytes(b"not a database\n" * 400),
    "zero bytes": lambda path: os.truncate(path, 0),
    "a table that is missing": lambda path: _statement(path, "DROP TABLE run_hosts"),
    "a column that is missing": lambda path: _statement(path, "ALTER TABLE runs DROP COLUMN asked"),
    "a table that is missing in a later schema": lambda path: _statement(
        path, "DROP TABLE outbox; UPDATE alembic_version SET version_num = '9999'"
    ),
    "a note of its schema that is missing": lambda path: _statement(path, "DELETE FROM alembic_version"),
    "a schema that is none": lambda path: _statement(path, "UPDATE alembic_version SET version_num = '0000'"),
    "tables of another program": _foreign,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_moved_aside_and_keys_and_identity_survive(tmp_path: Path, damage: str) -> None:
    agent, _ = _fill(tmp_path)
    DAMAGE[damage](tmp_path / "state.db")
    with open_state(tmp_path) as state:
        assert "moved to" in state.notices[0]
        assert agent_id(state) == agent
        assert _keys(state) == [KEY, None]
        assert list_runs(state) == ()
        [told] = outbox_rows(state, "state_replaced")
        assert told["notices"] == list(state.notices)
        asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(2)]))
    assert len(list(tmp_path.glob("state.db.corrupt-*"))) >= 1
    with open_state(tmp_path) as state:
        assert state.notices == ()
        assert len(list_runs(state)) == 1


def test_a_table_that_is_dropped_while_the_state_is_open_is_reported_and_the_next_start_replaces_the_database(
    tmp_path: Path,
) -> None:
    agent, _ = _fill(tmp_path)
    with open_state(tmp_path) as state:
        _statement(tmp_path / "state.db", "DROP TABLE run_hosts")
        for work in (lambda: why(state, name="x"), lambda: list_runs(state)):
            with pytest.raises(StateUnavailable) as caught:
                work()
            assert caught.value.reason == "state_corrupt"
            assert "start again" in caught.value.advice
    with open_state(tmp_path) as state:
        assert "it has no run_hosts" in state.notices[0]
        assert agent_id(state) == agent


ODD: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/null"),
    "link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("name", ["state.db", "keepsake.jsonl", "state.lock"])
@pytest.mark.parametrize("odd", ODD)
def test_a_path_that_is_no_file_is_named_without_a_wait(tmp_path: Path, odd: str, name: str) -> None:
    ODD[odd](tmp_path / name)
    with pytest.raises(StateUnavailable) as caught, open_state(tmp_path) as state:
        agent_id(state)
    assert caught.value.exit_code == 3
    assert caught.value.reason == "state_no_file"
    assert name in caught.value.message
    assert "move what stands there" in caught.value.advice


def test_damage_that_is_found_later_is_repaired_by_the_next_start(tmp_path: Path) -> None:
    """The first pages are fine, so that the file opens; what is behind is not."""
    agent, _ = _fill(tmp_path)
    size = (tmp_path / "state.db").stat().st_size
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size - size // 2))
    with open_state(tmp_path) as state:
        assert state.notices == ()
        with pytest.raises(StateUnavailable) as caught, state.read() as connection:
            connection.exec_driver_sql("SELECT sum(length(result)), sum(length(name)) FROM run_hosts").all()
        assert caught.value.reason == "state_corrupt"
        assert "start again" in caught.value.advice
    with open_state(tmp_path) as state:
        assert "moved to" in state.notices[0]
        assert agent_id(state) == agent
        assert _keys(state) == [KEY, None]


def test_a_false_alarm_moves_nothing(tmp_path: Path) -> None:
    _, run_id = _fill(tmp_path)
    (tmp_path / "state.db.suspect").touch()
    with open_state(tmp_path) as state:
        assert state.notices == ()
        assert [run.run_id for run in list_runs(state)] == [run_id]
    assert not (tmp_path / "state.db.suspect").exists()


@pytest.mark.parametrize("loss", ["missing", "garbage", "one line"])
def test_keys_that_are_truly_lost_block_first_use_until_an_operator_confirms(tmp_path: Path, loss: str) -> None:
    _fill(tmp_path)
    file = tmp_path / recovery_log.FILE
    if loss == "missing":
        file.unlink()
    elif loss == "garbage":
        file.write_bytes(os.urandom(200) + b"\n")
    else:
        file.write_bytes(file.read_bytes().replace(b'"pin"', b'"p\x00n"', 1))
    (tmp_path / "state.db").write_bytes(b"garbage" * 1000)
    with open_state(tmp_path) as state:
        assert "hosts rekey --all" in state.notices[-1]
        with pytest.raises(Permanent) as caught:
            _keys(state)
        assert caught.value.reason is Reason.HOST_KEY_UNKNOWN
        assert count(state).first_use_blocked is not None
        assert accept_lost_keys(state) is True
        _keys(state)
        assert accept_lost_keys(state) is False


def test_a_truncated_last_line_damages_no_other(tmp_path: Path) -> None:
    _fill(tmp_path)
    with (tmp_path / recovery_log.FILE).open("ab") as file:
        file.write(b'{"event":"pin","netw')
    with open_state(tmp_path) as state:
        asyncio.run(SqlHostBook(state, StillClock()).save(make_hosts(2)[1], KEY, None))
    assert set(recovery_log.read(tmp_path).keys) == {("acme", host.name.lower(), 22) for host in make_hosts(2)}


# --- disks


def test_a_path_that_cannot_be_a_folder_is_reported_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnavailable) as caught:
        open_state(tmp_path / "file")
    assert caught.value.reason == "state_read_only"
    assert str(tmp_path / "file") in caught.value.advice
    assert caught.value.exit_code == 3


# Runs in a mount namespace of its own, so that nothing stays mounted whatever happens. {0}: the mount point.
FULL = """
import asyncio, os, pathlib, sys
from runtime.adapters.state import runs
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.history import find_run
from runtime.adapters.state.ledger import SqlLedger
from tests.unit.state.support import *

folder = pathlib.Path(sys.argv[1]) / "data"

async def main():
    with open_state(folder) as state:
        ballast = folder.parent / "ballast"
        info, hosts, ledger, acknowledged = make_info(), make_hosts(300), SqlLedger(state, StillClock()), []
        await ledger.begin(info, hosts)
        try:
            with ballast.open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()
        except OSError:
            pass
        try:
            for host in hosts:
                await ledger.at_work(info.run_id, host, "set zone")
                await ledger.record(info.run_id, make_result(host, report={"log": "x" * 2000}))
                acknowledged.append(host.id)
            sys.exit("the disk never got full")
        except StateUnavailable as error:
            assert error.reason == "state_full", error.reason
            assert "free space" in error.advice
        done = {host.name for host in find_run(state, info.run_id)[1] if host.outcome}
        assert {host.name for host in hosts if host.id in acknowledged} <= done
        ballast.unlink()
        await ledger.record(info.run_id, make_result(hosts[-1]))
        await ledger.finish(info.run_id, 1)
        assert find_run(state, info.run_id)[0].state == "finished"
        print("acknowledged", len(acknowledged))

asyncio.run(main())
"""

READ_ONLY = """
import pathlib, subprocess, sys
from runtime.adapters.state.errors import StateUnavailable
from tests.unit.state.support import *

mount = pathlib.Path(sys.argv[1])
open_state(mount / "data").close()
subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
for folder in (mount / "data", mount / "new"):
    try:
        open_state(folder)
        sys.exit(f"{folder} opened on a read-only disk")
    except StateUnavailable as error:
        assert error.reason == "state_read_only", (error.reason, error)
        assert "not mounted read-only" in error.advice
"""


@pytest.mark.parametrize("program", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path, program: str) -> None:
    need_root("a small disk of its own")
    script = 'mount -t tmpfs -o size=4m,mode=0700 state "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
