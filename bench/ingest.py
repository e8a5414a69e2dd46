"""`POST /v1/ingest`: batches of 500 results from request to commit, on SQLite and PostgreSQL. Run by `python -m bench ingest`.

The peers take turns and are those of :mod:`bench.ingest_peers`. Requests are made in the process, so that nothing but the
endpoint is measured; both databases are on a disk, with a commit that lasts.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from bench import report
from bench.ingest_peers import SIZE, Peer, bare_postgresql, bare_sqlite, naive, ours, without_writes
from tests.harness.agents import Agent, enrolled
from tests.harness.control_plane import prepared
from tests.harness.postgres import DURABLE, cluster

ROUNDS, EACH = 9, 3
NO_QUOTA = {"INGEST_AGENT_QUOTA": "1000000000", "INGEST_CLIENT_QUOTA": "1000000000", "LOG_LEVEL": "error"}
US = "ingest"


class Took(NamedTuple):
    """A batch. ``cpu``: seconds of processor time, of this process and the database's."""

    seconds: float
    cpu: float


def main() -> None:
    with tempfile.TemporaryDirectory(dir=report.DISK) as name, agent_of(Path(name), None) as agent:
        folder = Path(name)
        first(agent)
        peers = {
            US: ours(agent),
            "Flask and ORM": naive(f"sqlite:///{folder}/naive.db"),
            "ingest, nothing written": without_writes(agent),
            "rows alone, executemany": bare_sqlite(folder / "flagee.db"),
        }
        show("SQLite", measured(peers, lambda: 0.0))
    with cluster(disk=report.DISK, **DURABLE) as server, tempfile.TemporaryDirectory() as name:
        url = server.create_database("bench")
        with agent_of(Path(name), url) as agent:
            first(agent)
            peers = {
                US: ours(agent),
                "Flask and ORM": naive(url),
                "ingest, nothing written": without_writes(agent),
                "rows alone, COPY": bare_postgresql(server.url("bench", "postgresql")),
            }
            with psycopg.connect(server.url("bench", "postgresql"), autocommit=True) as connection:
                show("PostgreSQL", measured(peers, lambda: work_of(connection)))


@contextmanager
def agent_of(folder: Path, url: str | None) -> Iterator[Agent]:
    plane = prepared(folder, url)
    with plane.app(**NO_QUOTA) as app:
        gc.collect()
        gc.freeze()  # as a worker of the server does before it is forked
        yield enrolled(plane, app)


def first(agent: Agent) -> None:
    """A batch that the others can take rows from."""
    peer = ours(agent)
    peer.send(peer.make())


def work_of(connection: psycopg.Connection[Any]) -> float:
    """Seconds of processor time that the database's processes have had, but for the one that answers this."""
    pids = connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in pids) / 1e9


def measured(peers: Mapping[str, Peer], of_database: Callable[[], float]) -> dict[str, list[Took]]:
    """What each round took. ``of_database``: processor time of the database's own processes until now."""
    for peer in peers.values():
        for _ in range(6):  # what is compiled, loaded and prepared the first times
            peer.send(peer.make())
    took: defaultdict[str, list[Took]] = defaultdict(list)
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            made = [peer.make() for _ in range(EACH)]
            before, began, worked = of_database(), time.perf_counter(), time.process_time()
            for one in made:
                peer.send(one)
            seconds, own = time.perf_counter() - began, time.process_time() - worked
            took[name].append(Took(seconds / EACH, (own + of_database() - before) / EACH))
    return took


def show(database: str, took: dict[str, list[Took]]) -> None:
    """The ratios: how many times as fast as the peer ingest is, and with how much less work."""
    rows = []
    for peer, theirs in took.items():
        ratios = [their.seconds / mine.seconds for their, mine in zip(theirs, took[US], strict=True)]
        seconds, cpu = (statistics.median(values) for values in zip(*theirs, strict=True))
        less = sum(their.cpu for their in theirs) / sum(mine.cpu for mine in took[US])
        figures = (f"{seconds * 1000:.1f}", f"{cpu * 1000:.1f}", f"{SIZE / seconds:,.0f}")
        rows.append((peer, report.ratio(statistics.median(ratios)), report.ratio(less), *figures))
    columns = ("", "it : ours", "by CPU", "ms a batch", "CPU ms", "envelopes/s")
    report.table(f"POST /v1/ingest on {database}, batches of {SIZE} results", columns, rows)
