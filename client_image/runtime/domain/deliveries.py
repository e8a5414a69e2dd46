"""Rows that an action delivers to a sink, and what the sink says of them. Pure; loaded only by actions that deliver.

A delivery is kept in the local state from before its first byte until its receipt. Whatever is killed or lost between, the next
run sends the very same rows again under the same keys, before it reads anything new: a sink that knows its keys stores nothing
twice, and nothing is ever left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from contracts.text import plural
from runtime.domain.action import Stage, StepKind
from runtime.domain.model import Host


@dataclass(frozen=True, slots=True)
class Deliver:
    """A step that gives rows to a sink. ``sink``: its name; ``rows``: objects of plain JSON values."""

    kind: ClassVar[StepKind] = "rows"
    name: str
    sink: str
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One step's rows as they are sent, every time in the same words. ``key``: the idempotency key; ``payload``: a JSON array."""

    name: str
    sink: str
    key: str
    rows: int
    payload: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stage of rows. ``run_id``: the run that sent it first; ``watermark``: holds once every parcel has its receipt."""

    network: str
    subject: str
    action: str
    stage: str
    run_id: str
    watermark: str
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """``taken``: rows that the sink has stored, now or before; ``refused``: what it did not take, with its reasons."""

    taken: int
    refused: Mapping[str, str] = field(default_factory=dict)


class Rejected(Exception):
    """The other side has done nothing of what it was asked, for certain. The text says why."""


class AnswerLost(Exception):
    """The request was sent and no answer came: whether it was done is not known."""


def delivery_of(stage: Stage, host: Host, action: str, run_id: str) -> Delivery:
    """The keys are made of what is sent, so that the same rows have the same key in any run. Raises ValueError or TypeError for
    rows that are no JSON."""
    steps = [step for step in stage.steps if isinstance(step, Deliver)]
    payloads = [json.dumps(step.rows, allow_nan=False, sort_keys=True, separators=(",", ":")) for step in steps]
    place = json.dumps([host.network, host.name, action, stage.name, *payloads])
    digest = hashlib.blake2b(place.encode(), digest_size=16).hexdigest()
    parcels = (
        Parcel(step.name, step.sink, f"{digest}-{number}", len(step.rows), payload)
        for number, (step, payload) in enumerate(zip(steps, payloads, strict=True), start=1)
    )
    return Delivery(host.network, host.name, action, stage.name, run_id, stage.watermark, tuple(parcels))


def stage_of(delivery: Delivery) -> Stage:
    """The stage that delivers it once more. Its steps carry no rows: what is sent are the parcels as they were kept."""
    rows = sum(parcel.rows for parcel in delivery.parcels)
    text = plural(
        "{n} row again, which run {run} had sent without a receipt",
        "{n} rows again, which run {run} had sent without a receipt",
        rows,
        run=delivery.run_id,
    )
    steps = tuple(Deliver(parcel.name, parcel.sink, ()) for parcel in delivery.parcels)
    return Stage(delivery.stage, steps, confirm="receipt", watermark=delivery.watermark, summary=(text,))
