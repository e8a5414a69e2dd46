"""The control plane is killed at each step of taking a batch: what was acknowledged is stored, and everything is stored once."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.headquarters import World, serving
from tests.harness.agents import envelope
from tests.harness.process import wait_until
from tests.prove.conftest import Armed, Proof

ENVELOPES = 20
STEPS = ("body-read", "statement", "before-commit", "after-commit", "answer")
# Up to there nothing of a batch may be stored; from there on, all of it.
UNCOMMITTED = STEPS[:3]


def ids(batch: list[dict[str, Any]]) -> set[str]:
    return {str(uuid.UUID(one["envelope_id"])) for one in batch}


def send(world: World, headers: dict[str, str], batch: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What was answered; None for a connection that broke, a server that is not there, or one that cannot store."""
    try:
        answer = requests.post(f"{world.base}/v1/ingest", headers=headers, json=batch, timeout=60)
        found: dict[str, Any] = answer.json()
    except (requests.RequestException, ValueError):
        return None
    if answer.status_code == 503:
        return None
    assert answer.status_code == 200, answer.text
    return found


def until_answered(world: World, headers: dict[str, str], batch: list[dict[str, Any]]) -> dict[str, Any]:
    """As a proxy does: the same batch until it is acknowledged."""
    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        answer = send(world, headers, batch)
        answers.extend([answer] if answer else [])
        return bool(answers)

    wait_until(answered, within=120, what="an answer")
    return answers[0]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_server_that_is_killed_at_any_step_stores_what_it_acknowledges_and_everything_once(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str, proof: Proof, armed: Armed
) -> None:
    url = None if backend == "sqlite" else request.getfixturevalue("postgres_url")
    with serving(tmp_path, url, armed.environment) as world:
        headers = {"X-Bot-Token": world.token.read_text()}
        sent: set[str] = set()
        for step in STEPS:
            began = time.monotonic()
            stored_before_the_answer = 0
            for _ in range(proof.times):
                batch = [envelope() for _ in range(ENVELOPES)]
                sent |= ids(batch)
                armed.at(step)
                assert send(world, headers, batch) is None, f"{step}: answered"
                assert armed.met(step)
                answer = until_answered(world, headers, batch)
                assert {one["error"] for one in answer["failed"]} <= {"duplicate"}
                assert answer["stored"] in (0, ENVELOPES)  # a batch is stored as a whole
                stored_before_the_answer += answer["stored"] == 0
            stored = world.stored()
            assert len(stored) == len(set(stored))
            assert set(stored) == sent
            assert stored_before_the_answer == (0 if step in UNCOMMITTED else proof.times)
            word = f"{stored_before_the_answer} batches were stored before the kill, all once in the end; "
            proof.held(f"server killed, {backend}: {step}", proof.times, f"{word}{time.monotonic() - began:.0f} s")
