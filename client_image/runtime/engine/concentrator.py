"""The driver of a concentrator: read through its databases, its rows delivered to sinks. Nothing is written to it.

The order that keeps rows from being lost: a delivery is durable in the local state, then it is sent, then every sink has
acknowledged it, then the watermark moves. Whatever ends between two of these, the next run begins with the same delivery.
Loaded only by runs on concentrators.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.text import joined, plural, say
from runtime.domain.action import Stage
from runtime.domain.deliveries import AnswerLost, Delivery, Parcel, Receipt, Rejected, delivery_of, stage_of
from runtime.domain.errors import Permanent, RunError
from runtime.domain.model import Host, Outcome, Reason, StepRecord
from runtime.domain.pipeline import Binding
from runtime.domain.ports import Applied, Deliveries, Observation, Proof, Sink, Source, Sources
from runtime.domain.sources import SourceFacts, values_of
from runtime.engine.queries import rows_of
from runtime.engine.run_context import RunContext

REFUSALS_NAMED = 3
_AGAIN = say("the next run delivers the same rows again, under the same key")


@dataclass(slots=True)
class Concentrators:
    """What all concentrators of a run share. ``sinks`` by name; ``timeout``: seconds for one query or one answer of a sink."""

    sources: Sources
    sinks: Mapping[str, Sink]
    deliveries: Deliveries
    timeout: float

    def __call__(self, host: Host, binding: Binding, run: RunContext) -> Concentrator:
        return Concentrator(self, host, binding, run)


class Concentrator:
    """Implements Driver."""

    _source: Source
    _delivery: Delivery

    def __init__(self, shared: Concentrators, host: Host, binding: Binding, run: RunContext) -> None:
        self._shared, self._host, self._run = shared, host, run
        self._action, self._params = binding.action, binding.params
        self._unfinished: Delivery | None = None
        self._watermark = ""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[str]:
        async with self._shared.sources.connect(self._host) as source:
            self._source = source
            yield ""

    async def observe(self) -> Observation:
        """A delivery without a receipt comes before anything new is read."""
        self._watermark, self._unfinished = await self._shared.deliveries.load(self._host, self._action.name)
        at = self._run.clock.now().astimezone(self._run.policy.zone)
        if self._unfinished is not None:
            return Observation(SourceFacts(at, self._watermark), unfinished=stage_of(self._unfinished))
        values = {"watermark": self._watermark, **values_of(self._params)}
        rows = await rows_of(self._action.queries, self._source, values, self._shared.timeout)
        return Observation(SourceFacts(at, self._watermark, rows))

    async def prepare(self, stage: Stage) -> None:
        """Make the delivery durable. Raises StateUnavailable; ValueError for a stage that can have no receipt."""
        delivery = self._unfinished
        if delivery is None:
            delivery = delivery_of(stage, self._host, self._action.name, self._run.plan.info.run_id)
            if stage.watermark in ("", self._watermark):
                raise ValueError(
                    f"{stage.name} does not move the watermark, so its rows would be delivered again and again"
                )
        for parcel in delivery.parcels:
            if parcel.sink not in self._shared.sinks:
                raise ValueError(f"{parcel.name}: there is no sink {parcel.sink}")
        await self._shared.deliveries.begin(delivery)
        self._delivery = delivery

    async def apply(self, stage: Stage) -> Applied:
        done = Applied([])
        for parcel in self._delivery.parcels:
            try:
                async with asyncio.timeout(self._shared.timeout):
                    receipt = await self._shared.sinks[parcel.sink].deliver(parcel)
            except Rejected as error:
                if self._unfinished is None and not done.steps:  # nothing of it was taken, now or before
                    await self._shared.deliveries.withdraw(self._delivery)
                refused = say("{sink} took nothing: {why}", sink=parcel.sink, why=str(error))
                done.steps.append(StepRecord(parcel.name, "failed", None, refused))
                return done
            except (AnswerLost, TimeoutError) as error:
                text = joined((parcel.sink, str(error)), " ")
                done.reason = Reason.CONNECTION_LOST
                if isinstance(error, TimeoutError):
                    seconds = f"{self._shared.timeout:.0f}"
                    text = say(
                        "{sink} had not acknowledged {stage} after {seconds} s",
                        sink=parcel.sink,
                        stage=stage.name,
                        seconds=seconds,
                    )
                    done.reason = Reason.DEADLINE
                done.lost = say(
                    "{what}; whether it took the rows is not known. "
                    "The next run delivers the same rows again, under the same key",
                    what=text,
                )
                done.steps.append(StepRecord(parcel.name, "unknown", None))
                return done
            done.steps.append(_record(parcel, receipt))
            if done.steps[-1].status == "failed":
                return done
        return done

    async def confirm(self, stage: Stage) -> Proof:
        """Every parcel has its receipt: move the watermark."""
        try:
            await self._shared.deliveries.acknowledge(self._delivery)
        except RunError as error:
            text = say(
                "{stage} was acknowledged, but this could not be recorded: {why}; {again}",
                stage=stage.name,
                why=error.message,
                again=_AGAIN,
            )
            raise Permanent(Outcome.FAILED, Reason.NOT_RECORDED, text, error.reason) from error
        return Proof("confirmed")


def _record(parcel: Parcel, receipt: Receipt) -> StepRecord:
    """Only a receipt for every row is one: a part is delivered again with the rest, under the same key."""
    if receipt.taken == parcel.rows and not receipt.refused:
        text = plural(
            "{n} row acknowledged by {sink}", "{n} rows acknowledged by {sink}", parcel.rows, sink=parcel.sink
        )
        return StepRecord(parcel.name, "done", None, text)
    taken = plural(
        "{sink} acknowledged {taken} of {n} row",
        "{sink} acknowledged {taken} of {n} rows",
        parcel.rows,
        sink=parcel.sink,
        taken=receipt.taken,
    )
    named = joined((f"{row}: {why}" for row, why in list(receipt.refused.items())[:REFUSALS_NAMED]), "; ")
    if named:
        taken = say("{taken} (refused: {rows})", taken=taken, rows=named)
    return StepRecord(parcel.name, "failed", None, joined((taken, _AGAIN), "; "))
