"""A line that breaks in every way loses nothing, and what it carried is stored once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from runtime.services.delivery import MOST
from tests.e2e.headquarters import World, enrol, serving
from tests.harness.agents import envelope
from tests.harness.faults import Answer, Cut, fault_proxy
from tests.prove.conftest import FEW, Proof
from tests.prove.line import line

OUTAGE_S = 600
BACKLOG = 3000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_cluster").create_database("test_line_breaks")
    with serving(tmp_path_factory.mktemp("line"), url) as found:
        yield found


def test_an_answer_that_is_cut_at_any_byte_leaves_its_row_until_a_whole_one_came(
    world: World, tmp_path: Path, proof: Proof
) -> None:
    with fault_proxy(world.base) as between, line(world, tmp_path, between.url) as proxy:
        proxy.post(1)
        proxy.step()
        assert proxy.here() == set()
        whole = len(
            requests.post(
                f"{between.url}/v1/ingest",
                headers={"X-Bot-Token": world.token.read_text()},
                json=[envelope()],
                timeout=60,
            ).content
        )
        after, cuts = 0, 0
        stride = 1 if proof.times > FEW else 7
        while True:
            [row] = proxy.post(1)
            with between.failing(Cut(after)):
                proxy.step()
            if row not in proxy.here():
                break  # so many bytes are a whole answer
            assert row in proxy.check()  # it is stored, and nobody here knows
            proxy.step()
            assert proxy.here() == set()
            after, cuts = after + stride, cuts + 1
        assert after > whole  # the head is cut too
        assert proxy.check() == proxy.generated
        often = "every byte" if stride == 1 else "each seventh byte"
        proof.held(f"answer cut at {often}", cuts, f"{len(proxy.generated)} rows stored once, of {after} bytes")


def test_after_ten_minutes_of_503_live_rows_come_first_and_the_backlog_drains_in_bounded_batches(
    world: World, tmp_path: Path, proof: Proof
) -> None:
    with fault_proxy(world.base) as between, line(world, tmp_path, between.url) as proxy:
        proxy.post(1)
        proxy.step()
        asked = len(between.requests)
        began = proxy.clock.monotonic()
        with between.failing(Answer(503, b'{"title": "overloaded"}', "application/problem+json")):
            while proxy.clock.monotonic() - began < OUTAGE_S:
                if proxy.counts().waiting < BACKLOG:
                    proxy.post(BACKLOG // 20)
                proxy.step()
        tries = len(between.requests) - asked
        assert 5 <= tries <= 60  # full jitter up to five minutes: tens, not thousands
        waiting = proxy.counts().waiting
        if waiting < BACKLOG:
            proxy.post(BACKLOG - waiting)
        live = proxy.post(5, "live")
        steps = 0
        while live & proxy.here():
            proxy.step()
            steps += 1
            assert steps <= 8, (
                "live rows wait behind the backlog"
            )  # probes carry one row each until the breaker is closed
        behind = proxy.counts().waiting
        assert behind > BACKLOG // 2
        while proxy.here():
            proxy.step()
            steps += 1
            assert steps <= 8 + 2 * (BACKLOG // MOST)
        assert proxy.check() == proxy.generated
        word = f"{tries} requests in ten minutes; live rows stored with {behind} still waiting; {steps} requests for {BACKLOG}"
        proof.held("503 for ten minutes", 1, word)


def test_a_batch_that_comes_many_times_at_once_is_stored_once_and_its_bad_item_is_named_each_time(
    world: World, proof: Proof
) -> None:
    batch = [*(envelope() for _ in range(40)), {**envelope(), "ts_unix_ms": "bad"}]
    headers = {"X-Bot-Token": world.token.read_text()}
    answers: list[tuple[int, list[str]]] = []
    busy: list[int] = []

    def send() -> None:
        while True:
            answer = requests.post(f"{world.base}/v1/ingest", headers=headers, json=batch, timeout=120)
            if answer.status_code == 200:
                found = answer.json()
                answers.append((found["stored"], [one["error"] for one in found["failed"] if one["index"] == 40]))
                return
            assert answer.status_code in (429, 503), answer.text
            busy.append(answer.status_code)

    before = len(world.stored())
    threads = [threading.Thread(target=send) for _ in range(proof.times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == proof.times
    assert sum(stored for stored, _ in answers) == 40 == len(world.stored()) - before
    assert all(errors == ["invalid"] for _, errors in answers)
    proof.held(
        "the same batch at once",
        proof.times,
        f"stored once, the bad item named each time; sent again {len(busy)} times",
    )


def test_a_token_that_is_revoked_while_batches_go_out_takes_nothing_along(
    world: World, tmp_path: Path, proof: Proof
) -> None:
    refused = 0
    with line(world, tmp_path) as proxy:
        for _ in range(proof.times):
            proxy.post(200)
            sender = threading.Thread(target=proxy.drain)
            sender.start()
            token = enrol(world.plane, world.base, world.agent_id)  # ends the one in the file
            proxy.post(1)
            sender.join()
            proxy.drain()
            refused += proxy.delivery.status is not None and proxy.delivery.status.state == "refused"
            assert proxy.here()
            proxy.check()
            world.token.chmod(0o600)
            world.token.write_text(token)
            world.token.chmod(0o400)
            proxy.step()
            proxy.drain()
            assert proxy.here() == set()
        assert refused == proof.times
        assert proxy.check() == proxy.generated
        proof.held(
            "token revoked mid-batch", proof.times, f"{len(proxy.generated)} rows stored once, after a new token"
        )
