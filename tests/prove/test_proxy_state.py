"""What can become of a proxy's folder and clock: jumps, a twin with the same identity, a restored folder, a damaged database."""

from __future__ import annotations

import datetime as dt
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from contracts.ids import uuid7
from runtime.adapters.state.outbox.topics import STATE_REPLACED
from runtime.services.delivery import LEASE
from server.storage.models import Envelope
from tests.e2e import daemon as daemons
from tests.e2e.clocks import movable_clock
from tests.e2e.headquarters import World, enrol, serving
from tests.harness.faults import Cut, fault_proxy
from tests.prove.conftest import Proof
from tests.prove.line import Line, line
from tests.prove.test_proxy_killed import kept, post

MONTHS = 60 * 86400.0
ROWS = 10


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("headquarters")) as found:
        yield found


def until_delivered(world: World) -> None:
    world.until(lambda: not world.made(), "an empty outbox")


def test_a_clock_that_jumps_between_any_two_batches_blocks_no_row(world: World, tmp_path: Path, proof: Proof) -> None:
    chance = random.Random(5)
    with fault_proxy(world.base) as between, line(world, tmp_path, between.url) as proxy:
        for _ in range(proof.times):
            proxy.clock.wrong = dt.timedelta(seconds=chance.uniform(-MONTHS, MONTHS))
            proxy.post(ROWS)
            if chance.random() < 0.5:
                with between.failing(Cut(0)):
                    proxy.step()
            proxy.clock.wrong = dt.timedelta(seconds=chance.uniform(-MONTHS, MONTHS))
            proxy.step()
            proxy.check()
        proxy.clock.wrong = dt.timedelta()
        proxy.clock.ahead += LEASE
        proxy.step()
        proxy.drain()
        assert proxy.here() == set()
        assert proxy.check() == proxy.generated
        proof.held("clock jumps, up to two months", 2 * proof.times, f"{len(proxy.generated)} rows stored once")


def test_a_running_daemon_delivers_whatever_its_clock_jumps_to(world: World, tmp_path: Path, proof: Proof) -> None:
    clock, chance, times = movable_clock(tmp_path), random.Random(6), max(2, proof.times // 5)
    generated: set[str] = set()
    with daemons.running(world.proxy, clock.environment) as daemon:
        for _ in range(times):
            clock.set_off_by(round(chance.uniform(-MONTHS, MONTHS)))
            generated |= post(world, ROWS)
            until_delivered(world)
            assert daemon.child.alive()
    assert kept(world, generated) == (set(), generated)
    proof.held("clock jumps, running daemon", times, f"{len(generated)} rows stored once")


def test_what_two_proxies_with_one_identity_deliver_is_stored_once_and_both_are_told(
    world: World, tmp_path: Path, proof: Proof
) -> None:
    agent_id, token = uuid7(), tmp_path / "token"
    token.write_text(enrol(world.plane, world.base, agent_id))
    token.chmod(0o400)
    headers = {"X-Bot-Token": token.read_text()}

    def beat(instance: str) -> int:
        said = {"instance_id": instance, "clock_unix_ms": time.time_ns() // 10**6}
        return requests.post(f"{world.base}/v1/heartbeat", headers=headers, json=said, timeout=60).status_code

    with line(world, tmp_path / "one", token=token) as one, line(world, tmp_path / "other", token=token) as other:
        for _ in range(proof.times):
            both = [threading.Thread(target=deliver, args=(each,)) for each in (one, other)]
            for sender in both:
                sender.start()
            for sender in both:
                sender.join()
        for each in (one, other):
            each.step()
            each.drain()
            assert each.here() == set()
            assert each.check() == each.generated
        ours = one.generated | other.generated
        found = world.columns(Envelope.stream, Envelope.envelope_id)
        streams = {stream for stream, envelope_id in found if str(envelope_id) in ours}
    assert len(streams) == 2
    first, second = uuid7(), uuid7()
    assert [beat(instance) for instance in (first, second, first, second, first)][-2:] == [409, 409]
    assert beat(uuid7()) == 200
    proof.held(
        "two proxies, one identity", proof.times, f"{len(ours)} rows of both stored once, in two streams; both get 409"
    )


def deliver(proxy: Line) -> None:
    proxy.post(ROWS)
    proxy.drain()


def test_a_restored_folder_begins_a_new_stream_and_everything_is_stored_once(tmp_path: Path, proof: Proof) -> None:
    times, generated = max(2, proof.times // 10), set[str]()
    with serving(tmp_path) as world:
        data, backup = world.proxy.data, tmp_path / "backup"
        for number in range(times):
            generated |= post(world, ROWS)
            if number % 2:  # a backup of rows that are delivered afterwards, or before
                assert world.proxy.run("outbox", "--drain").code == 0
            shutil.copytree(data, backup)
            generated |= post(world, ROWS)
            assert world.proxy.run("outbox", "--drain").code == 0
            shutil.rmtree(data)
            backup.rename(data)
            with daemons.running(world.proxy) as daemon:
                daemon.wait("stream_begun")
                generated |= post(world, ROWS)
                until_delivered(world)
        assert kept(world, generated) == (set(), generated)
        rows = world.columns(Envelope.stream, Envelope.seq)
    assert len({stream for stream, _ in rows}) == times + 1
    assert len(rows) == len(set(rows))
    proof.held(
        "folder restored", times, f"{len(generated)} rows stored once, {times} new streams, no number twice in one"
    )


def _text(path: Path) -> None:
    path.write_bytes(b"not a database\n" * 400)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(4096))


DAMAGE: tuple[Callable[[Path], None], ...] = (_text, _half, _page)


def test_a_damaged_outbox_is_put_aside_and_a_new_stream_tells_of_it(tmp_path: Path, proof: Proof) -> None:
    times, generated, aside = max(3, proof.times // 10), set[str](), set[str]()
    with serving(tmp_path) as world:
        for number in range(times):
            generated |= post(world, ROWS)
            assert world.proxy.run("outbox", "--drain").code == 0
            aside |= post(world, ROWS)  # these were not delivered when it happened
            DAMAGE[number % len(DAMAGE)](world.proxy.data / "state.db")
            generated |= post(world, ROWS)
            assert world.proxy.run("outbox", "--drain").code == 0
        assert kept(world, generated) == (set(), generated)
        told = [sub for (sub,) in world.columns(Envelope.sub) if sub == STATE_REPLACED.sub]
        streams = {stream for (stream,) in world.columns(Envelope.stream)}
        put_aside = list(world.proxy.data.glob("state.db.corrupt-*"))
        assert not aside & set(world.stored())
    assert (len(told), len(streams)) == (times, times + 1)
    assert len(put_aside) >= 1
    word = (
        f"{len(generated)} rows stored once; what waited is in the file put aside, which headquarters is told each time"
    )
    proof.held("outbox damaged", times, word)
