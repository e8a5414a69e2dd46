"""The server is killed while batches come in: whatever was acknowledged is stored, and everything is stored once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from contracts.ids import uuid7
from server.storage.models import Envelope
from server.storage.session import open_database
from tests.harness.agents import envelope
from tests.harness.control_plane import prepared
from tests.integration.test_serving_parts import parts

KILLS = 10
PATIENCE = 240  # seconds for the kills, and again for the last batch


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_what_was_acknowledged_is_stored_whenever_the_server_is_killed(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str
) -> None:
    plane = prepared(tmp_path, None if backend == "sqlite" else request.getfixturevalue("postgres_url"))
    sent: list[str] = []
    acknowledged: list[str] = []
    failures = Counter[str]()
    enough, given_up = threading.Event(), threading.Event()
    with plane.serving(NGINX="none") as (base, child):
        bootstrap = plane.token("--scope", "bootstrap", "--network", "SOL")
        body = {"agent_id": uuid7(), "hostname": "proxy"}
        enrolled = requests.post(
            f"{base}/api/bootstrap/enroll", headers={"X-Bot-Token": bootstrap}, json=body, timeout=60
        )
        headers = {"X-Bot-Token": enrolled.json()["token"]}

        def send() -> None:
            """Batches as long as the server is killed, each until it is answered, as a proxy does."""
            while not enough.is_set():
                batch = [envelope() for _ in range(20)]
                sent.extend(str(uuid.UUID(one["envelope_id"])) for one in batch)
                while not given_up.is_set():
                    try:
                        answer = requests.post(f"{base}/v1/ingest", headers=headers, json=batch, timeout=20)
                    except requests.RequestException:
                        failures["connection"] += 1
                        time.sleep(0.05)
                        continue
                    if answer.status_code == 200:
                        errors = {one["error"] for one in answer.json()["failed"]}
                        assert errors <= {"duplicate"}
                        acknowledged.extend(one["envelope_id"] for one in batch)
                        break
                    failures[str(answer.status_code)] += 1
                    time.sleep(0.05)

        sender = threading.Thread(target=send)
        sender.start()
        chance = random.Random(3)
        killed = 0
        until = time.monotonic() + PATIENCE
        # A kill between two batches proves nothing: the last ones go on until one was met.
        while (killed < KILLS or not failures) and sender.is_alive() and time.monotonic() < until:
            time.sleep(chance.uniform(0.05, 0.5))
            for worker in parts(child)["gunicorn worker"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
        enough.set()
        sender.join(PATIENCE)
        given_up.set()
        sender.join()
    database = open_database(plane.settings().database_url, timeout=5)
    with contextlib.closing(database), database.reading() as connection:
        stored = [str(found) for found in connection.scalars(select(Envelope.envelope_id))]
    assert killed >= KILLS
    assert failures, "no kill met a batch"
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert set(stored) == set(sent)
