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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import report
from bench.ingest_peers import SIZE, Peer, bare_postgresql, bare_sqlite, naive, ours, without_writes
from tests.harness.agents import Agent, enrolled
from tests.harness.control_plane import prepared
from tests.harness.postgres import DURABLE, cluster

ROUNDS, EACH = 9, 3
NO_QUOTA = {"INGEST_AGENT_QUOTA": "1000000000", "INGEST_CLIENT_QUOTA": "1000000000", "LOG_LEVEL": "error"}
US = "ingest"


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
        show("SQLite", measured(peers))
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
            show("PostgreSQL", measured(peers))


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


def measured(peers: Mapping[str, Peer]) -> dict[str, list[tuple[float, float]]]:
    """For each round, seconds a batch, and those of this process's processor time."""
    for peer in peers.values():
        for _ in range(6):  # what is compiled, loaded and prepared the first times
            peer.send(peer.make())
    took: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            made = [peer.make() for _ in range(EACH)]
            began, worked = time.perf_counter(), time.process_time()
            for one in made:
                peer.send(one)
            took[name].append(((time.perf_counter() - began) / EACH, (time.process_time() - worked) / EACH))
    return took


def show(database: str, took: dict[str, list[tuple[float, float]]]) -> None:
    """The ratio: how many times as fast as the peer ingest is."""
    rows = []
    for peer, theirs in took.items():
        ratios = [wall / mine for (wall, _), (mine, _) in zip(theirs, took[US], strict=True)]
        walls, worked = (statistics.median(values) for values in zip(*theirs, strict=True))
        figures = (
            f"{statistics.median(ratios):.2f}",
            f"{walls * 1000:.1f}",
            f"{worked * 1000:.1f}",
            f"{SIZE / walls:,.0f}",
        )
        rows.append((peer, *figures))
    columns = ("", "ratio", "ms a batch", "own CPU ms", "envelopes/s")
    report.table(f"POST /v1/ingest on {database}, batches of {SIZE} results", columns, rows)
