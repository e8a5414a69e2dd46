"""What eight hostile tills send at once: each is cut, nothing of it is kept beyond a bound, and no other host waits for it."""

import asyncio
import contextlib
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.domain.model import Reason
from tests.harness import sshd
from tests.harness.flooding import SHAPES
from tests.harness.ports import LOOPBACK
from tests.harness.ssh_offer import KeyPair
from tests.integration.ssh_parts import a_host, a_remote, ask, password, private_key, run

ROOT = Path(__file__).parents[2]
TILLS = 8
LIMIT = 65536
# Kept of one till: its output, a little of each section, what is in flight (asyncssh's window), and the connection itself.
PER_TILL = LIMIT + 4 * 256 * 1024 + 512 * 1024


@contextlib.contextmanager
def flooding(shape: str) -> Iterator[int]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.flooding", shape],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate()


@pytest.fixture(scope="module")
def good(client_key: KeyPair) -> Iterator[sshd.SshServer]:
    with sshd.openssh([client_key.public]) as running:
        yield running


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_tills_that_flood_are_cut_and_kept_to_a_bound(
    shape: str, good: sshd.SshServer, client_key: KeyPair
) -> None:
    async def scene(port: int) -> int:
        remote = a_remote(password("root", "x"), output_limit=LIMIT, parallel_per_address=16)
        other = a_remote(private_key(good.user, client_key))
        await ask(other, a_host(good.address, good.port), ("x", "echo fine"))  # whatever is loaded once is loaded
        tracemalloc.start()
        try:
            async with asyncio.TaskGroup() as group:
                tills = [
                    group.create_task(ask(remote, a_host(LOOPBACK, port, name=f"till{number}"), ("step:0", "true")))
                    for number in range(TILLS)
                ]
                fine = group.create_task(ask(other, a_host(good.address, good.port), ("x", "echo fine")))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert fine.result().sections == {"x": b"fine\n"}
        for till in tills:
            answer = till.result()
            assert (answer.complete, answer.stopped) == (False, Reason.KILLED)
            kept = sum(len(name) + len(output) for name, output in answer.sections.items()) + len(answer.noise)
            assert kept <= LIMIT + 2 * 4096
            assert {*answer.sections, *answer.codes} <= {"step:0"}
        return peak

    with flooding(shape) as port:
        peak = run(scene(port))
    assert peak < TILLS * PER_TILL, f"{peak} bytes at once"
