"""``POST /v1/heartbeat``: how an agent is, and what the control plane answers. The latest one counts; none is ever queued."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from contracts.bounded import MOST
from contracts.envelope import Uuid

PATH: Final = "/v1/heartbeat"
INTERVAL_S: Final = 30
# An agent that was not heard for so many intervals is late, then offline.
LATE, OFFLINE = 2, 10
REPORT_BYTES: Final = 64 * 1024
# A lease of the schedule lasts so many intervals, and is given to another agent after so many times its length.
LEASE, LEASE_PAUSE = 4, 1.5
# An agent that was silent for so long is not active any more. One that may start its jobs without a lease always is.
ACTIVE_S = 86_400

Text = Annotated[str, Meta(max_length=255)]
Whole = Annotated[int, Meta(ge=0, le=MOST)]
# What an agent goes by as it sends a report: `alone`, its jobs start without a lease; `lease`, they need one.
Basis = Literal["alone", "lease"]


class Configuration(Struct, frozen=True, omit_defaults=True):
    """``etag``: of the version in force. ``refused``: why a newer one was not taken."""

    etag: Text | None = None
    refused: Annotated[str, Meta(max_length=1000)] | None = None


class Outbox(Struct, frozen=True, omit_defaults=True):
    """``waiting`` envelopes, the oldest of them ``oldest_s`` seconds old. ``highest_seq``: the last one given in ``stream``."""

    stream: Uuid
    highest_seq: Whole
    waiting: Whole = 0
    dead: Whole = 0
    dropped: Whole = 0
    oldest_s: Whole | None = None


class Report(Struct, frozen=True, omit_defaults=True):
    """``instance_id``: one start of the daemon. ``clock_unix_ms``: the agent's clock as it sent this. ``breakers``: destination
    to state. ``runs``: ids of the runs at work. ``schedule``: what its jobs start by; left out by a program that has no schedule,
    which then takes no part in leases. ``disk_free``, ``memory``: bytes; ``load``: of one minute."""

    instance_id: Uuid
    clock_unix_ms: Whole
    version: Text = ""
    build: Text = ""
    image_digest: Text | None = None
    tag_digest: Text | None = None
    catalogue: Text | None = None
    mode: Annotated[str, Meta(max_length=32)] = "daemon"
    uptime_s: Whole = 0
    configuration: Configuration = Configuration()
    outbox: Outbox | None = None
    runs: list[Text] = []
    breakers: dict[Text, Text] = {}
    trouble: list[Annotated[str, Meta(max_length=1000)]] = []
    clock_trusted: bool | None = None
    schedule: Basis | None = None
    disk_free: Whole | None = None
    memory: Whole | None = None
    load: float | None = None


class Image(Struct, frozen=True, omit_defaults=True):
    """Which image digests the agent may go to; ``hold``: none but its own."""

    hold: bool = False
    allowed: list[Text] = []


class Schedule(Struct, frozen=True, omit_defaults=True):
    """Whether the agent's scheduled jobs may change anything. ``basis`` `alone`: they may, and need no lease, also while nobody
    can be asked. `lease`: for ``lease_s`` seconds from before the report was sent; 0, not now.

    ``own_s``: for so many seconds no other agent of the network can have started a job; left out where none ever did. What was
    planned before that is not this agent's. ``agent``: who has the lease, or has to confirm first that it needs one (``why``
    `held`, `unconfirmed`), with its ``hostname``."""

    basis: Basis
    lease_s: float = 0.0
    own_s: float | None = None
    why: Literal["", "held", "unconfirmed"] = ""
    agent: str = ""
    hostname: str = ""


class Answer(Struct, frozen=True, omit_defaults=True):
    """``interval_s``: when the next one is due. ``highest_seq``: of the report's stream, as stored here; null for one that is not
    known. ``full_report``: the next one is to be whole. ``schedule``: for a report that has one."""

    server_time_unix_ms: int
    interval_s: Annotated[int, Meta(ge=1, le=3600)]
    commands_waiting: int = 0
    cancelled: list[str] = []
    highest_seq: int | None = None
    image: Image | None = None
    full_report: bool = False
    server_version: str = ""
    schedule: Schedule | None = None
