"""The driver of a network as a whole: read and changed through APIs, above all Zabbix. One outcome for the network.

Loaded only by runs on networks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.text import say
from runtime.domain.action import Stage
from runtime.domain.deliveries import AnswerLost, Rejected
from runtime.domain.errors import Permanent
from runtime.domain.model import Host, Outcome, Reason, StepRecord
from runtime.domain.pipeline import Binding
from runtime.domain.ports import Applied, Observation, Proof, Service, Services
from runtime.domain.sources import ApiCall, NetworkFacts, values_of
from runtime.engine.queries import rows_of
from runtime.engine.run_context import RunContext


@dataclass(slots=True)
class Networks:
    """``timeout``: seconds for one query or call."""

    services: Services
    timeout: float

    def __call__(self, host: Host, binding: Binding, run: RunContext) -> Network:
        return Network(self, host, binding, run)


class Network:
    """Implements Driver."""

    _service: Service

    def __init__(self, shared: Networks, host: Host, binding: Binding, run: RunContext) -> None:
        self._shared, self._host, self._run = shared, host, run
        self._action, self._params = binding.action, binding.params

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[str]:
        async with self._shared.services.connect(self._host) as service:
            self._service = service
            yield ""

    async def observe(self) -> Observation:
        rows = await rows_of(self._action.queries, self._service, values_of(self._params), self._shared.timeout)
        at = self._run.clock.now().astimezone(self._run.policy.zone)
        return Observation(NetworkFacts(at, self._run.members, rows))

    async def prepare(self, stage: Stage) -> None:
        """Nothing: the intent is in the ledger, and a call is what the stage says."""

    async def apply(self, stage: Stage) -> Applied:
        done = Applied([])
        for step in stage.steps:
            assert isinstance(step, ApiCall)  # noqa: S101  # process_one checks what a stage may hold
            try:
                async with asyncio.timeout(self._shared.timeout):
                    output = await self._service.call(step)
            except Rejected as error:
                done.steps.append(StepRecord(step.name, "failed", None, str(error)))
                return done
            except (AnswerLost, TimeoutError) as error:
                late = isinstance(error, TimeoutError)
                done.reason = Reason.DEADLINE if late else Reason.CONNECTION_LOST
                if late:
                    done.lost = say(
                        "{call} was not answered after {seconds} s; whether it was done is not known",
                        call=step.name,
                        seconds=f"{self._shared.timeout:.0f}",
                    )
                else:
                    done.lost = say(
                        "{call} was not answered: {why}; whether it was done is not known",
                        call=step.name,
                        why=str(error),
                    )
                done.steps.append(StepRecord(step.name, "unknown", None))
                return done
            done.steps.append(StepRecord(step.name, "done", None, output))
        return done

    async def confirm(self, stage: Stage) -> Proof:
        """Raises Permanent: what a network is like is only proven by observing it."""
        text = say("{stage} asks for a proof that no network gives: {proof}", stage=stage.name, proof=stage.confirm)
        raise Permanent(Outcome.FAILED, Reason.INTERNAL, text)
