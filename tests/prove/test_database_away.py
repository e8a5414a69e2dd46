"""PostgreSQL is killed in the middle of taking a batch, and comes back: what was acknowledged is stored, once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.headquarters import serving
from tests.harness import postgres
from tests.harness.agents import envelope
from tests.harness.ports import free_port
from tests.harness.process import NotReadyError
from tests.harness.workdir import workdir
from tests.prove.conftest import Armed, Proof
from tests.prove.test_server_killed import ENVELOPES, ids, until_answered

STEPS = ("statement", "before-commit", "after-commit")


class Database:
    """A cluster that is started again on its data and its port, with the durability that an installation has."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._data, self._port = folder, folder / "data", free_port()
        postgres.make_data_folder(self._data)
        self._running = contextlib.ExitStack()
        self.start()

    @property
    def pid(self) -> int:
        return int((self._folder / "postgres.pid").read_text().split()[0])

    def start(self) -> None:
        """As soon as no session of one that was killed has its shared memory any more."""
        until = time.monotonic() + 60
        while True:
            serving = postgres.serving(self._data, self._folder, port=str(self._port), **postgres.DURABLE)
            try:
                self.cluster = self._running.enter_context(serving)
            except NotReadyError as error:
                if "shared memory block" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.2)
            else:
                return

    def ended(self) -> None:
        """Take away what is left of one that was killed."""
        self._running.close()


@pytest.fixture
def database() -> Iterator[Database]:
    with workdir("postgres-killed") as folder:
        found = Database(folder)
        yield found
        found.ended()


def test_a_database_that_is_killed_in_the_middle_of_a_batch_loses_nothing_that_was_acknowledged(
    database: Database, tmp_path: Path, proof: Proof, armed: Armed
) -> None:
    times = max(2, proof.times // 5)
    with serving(tmp_path, database.cluster.create_database("killed"), armed.environment) as world:
        headers = {"X-Bot-Token": world.token.read_text()}
        sent: set[str] = set()
        for step in STEPS:
            acknowledged = refused = 0
            for _ in range(times):
                batch = [envelope() for _ in range(ENVELOPES)]
                sent |= ids(batch)
                armed.at(step, victim=database.pid)
                answer = requests.post(f"{world.base}/v1/ingest", headers=headers, json=batch, timeout=120)
                assert armed.met(step)
                database.ended()
                assert answer.status_code in (200, 503), answer.text
                acknowledged += answer.status_code == 200
                refused += answer.status_code == 503
                database.start()
                if answer.status_code == 200:
                    assert ids(batch) <= set(world.stored())
                again = until_answered(world, headers, batch)
                assert {one["error"] for one in again["failed"]} <= {"duplicate"}
            stored = world.stored()
            assert len(stored) == len(set(stored))
            assert set(stored) == sent
            assert (acknowledged, refused) == ((times, 0) if step == "after-commit" else (0, times))
            word = f"{acknowledged} acknowledged, {refused} answered 503; all stored once in the end"
            proof.held(f"PostgreSQL killed: {step}", times, word)
