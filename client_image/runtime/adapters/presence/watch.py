"""Waits for a machine to go, and asks its store's witnesses meanwhile. The engine's ``Watch``; built by wiring, one a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from contracts.address import parse_address
from contracts.networks import networks_of
from runtime.adapters.presence.ask import ask
from runtime.domain.departure import SILENCE_S, Departure, DepartureWatch, Sign
from runtime.domain.model import Host
from runtime.domain.witnesses import Witness

INTERVAL_S = 1.0
FRESH_S = 3.0

Asking = Callable[[str, Sequence[int], bool], Coroutine[Any, Any, Sign]]


class NetworkWatch:
    """Only addresses inside the allowed networks are asked. A witness is asked once in FRESH_S for all hosts of its store."""

    def __init__(
        self,
        allowed_networks: Sequence[str],
        asking: Asking = ask,
        *,
        interval: float = INTERVAL_S,
        silence: float = SILENCE_S,
    ) -> None:
        self._reach = networks_of(allowed_networks)
        self._ask, self._interval, self._silence = asking, interval, silence
        self._asked: dict[Witness, tuple[float, asyncio.Task[Sign]]] = {}

    async def answering(self, witnesses: Sequence[Witness]) -> tuple[Witness, ...]:
        """Those of the witnesses that answer now."""
        allowed = self._allowed(witnesses)
        signs = await asyncio.gather(*(self._sign(witness) for witness in allowed))
        return tuple(witness for witness, sign in zip(allowed, signs, strict=True) if sign.answers)

    async def departure(
        self, host: Host, witnesses: Sequence[Witness], settle: float, *, own_address: bool = True
    ) -> Departure:
        """As in the protocol."""
        allowed = self._allowed(witnesses)
        watch = DepartureWatch(time.monotonic(), settle, allowed, self._silence)
        ports = tuple(dict.fromkeys((host.port, host.agent_port))) if own_address else (host.port,)
        while True:
            begun = time.monotonic()
            sign = await self._ask(host.address, ports, own_address)
            voucher = await self._voucher(allowed) if sign is Sign.SILENT else None
            ended = watch.note(begun, time.monotonic(), sign, voucher)
            if ended is not None:
                return ended
            await asyncio.sleep(self._interval)

    async def _voucher(self, witnesses: Sequence[Witness]) -> tuple[Witness, Sign] | None:
        """The best witness that answers, and how."""
        signs = await asyncio.gather(*(self._sign(witness) for witness in witnesses))
        return next(((witness, sign) for witness, sign in zip(witnesses, signs, strict=True) if sign.answers), None)

    async def _sign(self, witness: Witness) -> Sign:
        asked = self._asked.get(witness)
        if asked is None or (asked[1].done() and time.monotonic() - asked[0] >= FRESH_S):
            asked = (time.monotonic(), asyncio.create_task(self._ask(witness.address, witness.ports, True)))
            self._asked[witness] = asked
        # One host's deadline must not take the answer away from the others that wait for it.
        return await asyncio.shield(asked[1])

    def _allowed(self, witnesses: Sequence[Witness]) -> tuple[Witness, ...]:
        return tuple(witness for witness in witnesses if self._may_be_asked(witness.address))

    def _may_be_asked(self, text: str) -> bool:
        try:
            address = parse_address(text)
        except ValueError:
            return False
        return address in self._reach
