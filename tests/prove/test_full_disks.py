"""A full disk on either side: nothing is acknowledged that is not stored, and everything goes on when there is room."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

from runtime.adapters.state.errors import StateUnavailable
from runtime.services.delivery import LEASE
from tests.e2e.headquarters import serving
from tests.harness.agents import envelope
from tests.harness.need import need_root
from tests.harness.workdir import in_memory, workdir
from tests.prove.conftest import Proof
from tests.prove.line import Line, line
from tests.prove.test_server_killed import ids, until_answered

LARGE = {"text": "x" * 2000}


def fill(volume: Path) -> Path:
    ballast = volume / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


@pytest.fixture
def small() -> Iterator[Path]:
    need_root("a small disk of its own")
    with workdir("prove-full-disk") as folder:
        (folder / "headquarters").mkdir()
        yield in_memory(folder / "small", "12m")


def test_a_control_plane_whose_disk_is_full_acknowledges_nothing_until_there_is_room(small: Path, proof: Proof) -> None:
    with serving(small.parent / "headquarters", f"sqlite:///{small}/flagee.db") as world:
        headers = {"X-Bot-Token": world.token.read_text()}
        sent: set[str] = set()
        refused = 0
        for _ in range(proof.times):
            ballast = fill(small)
            acknowledged: set[str] = set()
            while True:
                batch = [envelope(body=LARGE) for _ in range(20)]
                answer = requests.post(f"{world.base}/v1/ingest", headers=headers, json=batch, timeout=120)
                if answer.status_code != 200:
                    break
                acknowledged |= ids(batch)
                sent |= ids(batch)
            assert answer.status_code in (503, 507), answer.text
            refused += 1
            assert acknowledged <= set(world.stored())
            ballast.unlink()
            sent |= ids(batch)
            until_answered(world, headers, batch)
        stored = world.stored()
        assert len(stored) == len(set(stored))
        assert set(stored) == sent
        proof.held("disk full, control plane", refused, f"{len(sent)} envelopes stored once, none acknowledged before")


def test_a_proxy_whose_disk_is_full_keeps_what_it_recorded_and_delivers_it_when_there_is_room(
    small: Path, proof: Proof
) -> None:
    with serving(small.parent / "headquarters") as world, line(world, small) as proxy:
        unrecorded = undecided = 0
        for _ in range(proof.times):
            proxy.post(20)
            ballast = fill(small)
            unrecorded += not recorded(proxy)
            undecided += not possible(proxy.step)
            proxy.check()
            ballast.unlink()
            proxy.step()
            proxy.drain()
        proxy.clock.ahead += LEASE
        proxy.drain()
        assert proxy.here() & proxy.generated == set()
        assert proxy.check() == proxy.generated
        assert unrecorded == proof.times
        word = f"{len(proxy.generated)} rows stored once; {undecided} batches could not be taken or settled at first"
        proof.held("disk full, proxy", proof.times, word)


def recorded(proxy: Line) -> bool:
    """Whether rows could be written again and again."""
    return all(possible(partial(proxy.post, 20)) for _ in range(200))


def possible(work: Callable[[], object]) -> bool:
    """Whether there was room for it; any other trouble is a failure."""
    try:
        work()
    except StateUnavailable as error:
        if error.reason != "state_full":
            raise
        return False
    return True
