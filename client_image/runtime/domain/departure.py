"""Whether a machine went: what counts as an answer, as silence, and as proof. Pure; the asking is done by the presence adapter.

A refused connection is an answer: a kernel sent it, so the machine is on. Silence alone proves nothing, because a cut line looks
the same. A machine is gone when it is silent for SILENCE_S while something else of the same store answers all that time.

A router's "host unreachable" is silence of the address it is about, and never vouches for the line: routers on the way say the
same when the line to the store is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from contracts.text import joined, say
from runtime.domain.action import Stage
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.subject_record import Ended
from runtime.domain.witnesses import Witness

SILENCE_S = 15.0


class Sign(Enum):
    """What one question to an address came to. NOT_ASKED: a fault on our own side, which says nothing about the machine.

    The value says it for people."""

    ECHO = say("answers a ping")
    ACCEPTED = say("accepts connections")
    REFUSED = say("refuses connections")
    SILENT = say("is silent")
    NOT_ASKED = say("could not be asked")

    @property
    def answers(self) -> bool:
        return self in (Sign.ECHO, Sign.ACCEPTED, Sign.REFUSED)


@dataclass(frozen=True, slots=True)
class Departure:
    """How the wait ended. ``silent_s``: how long the machine had been silent at the end; ``sign``: its last; ``vouched``: who
    answered during the silence, and how; ``asked``: who was asked for it."""

    state: Literal["gone", "there", "store_silent", "no_witness", "not_asked"]
    silent_s: float
    sign: Sign
    vouched: Witness | None = None
    vouched_sign: Sign | None = None
    asked: tuple[Witness, ...] = ()

    def report(self) -> dict[str, Any]:
        """The evidence, for the result."""
        seen: dict[str, Any] = {
            "state": self.state,
            "last_sign": self.sign.name.lower(),
            "silent_s": round(self.silent_s),
        }
        if self.vouched is not None and self.vouched_sign is not None:
            witness = {
                "name": self.vouched.name,
                "address": self.vouched.address,
                "sign": self.vouched_sign.name.lower(),
            }
            seen["witness"] = witness
        return {"power_off": {**seen, "asked": [str(witness) for witness in self.asked]}}


def departed(seen: Departure, host: Host, stage: Stage) -> Ended:
    """What the end of the wait means for the host."""
    store = say("its store") if host.store is None else say("store {number}", number=host.store)
    check = say("Check the line to {store}, then run test_endpoint_connection on {host}", store=store, host=host.name)
    silent = f"{seen.silent_s:.0f}"
    if seen.state == "gone":
        text = say(
            "{stage} confirmed: silent for {seconds} s while {witness} {sign}",
            stage=stage.name,
            seconds=silent,
            witness=str(seen.vouched),
            sign=seen.vouched_sign.value if seen.vouched_sign else "",
        )
        return Ended(Outcome.CHANGED, Reason.CONFIRMED, text, report=seen.report())
    if seen.state == "there":
        text = say(
            "{stage} was sent, but the machine is still on after {seconds} s: {address} {sign}. "
            "Something holds the shutdown up: look at the terminal",
            stage=stage.name,
            seconds=f"{stage.settle:.0f}",
            address=host.address,
            sign=seen.sign.value,
        )
        return Ended(Outcome.FAILED, Reason.NOT_CONVERGED, text, seen.state, seen.report())
    if seen.state == "store_silent":
        text = say(
            "{stage} was sent but not confirmed: nothing of {store} answers any more, and a cut line looks the same "
            "(asked: {asked}). {check}",
            stage=stage.name,
            store=store,
            asked=joined(map(str, seen.asked)),
            check=check,
        )
    elif seen.state == "no_witness":
        text = say(
            "{stage} was sent but not confirmed: silent for {seconds} s, but the proxy knows nothing else of {store} to ask, "
            "and a cut line looks the same. Set stores.{number}.gateway in the configuration",
            stage=stage.name,
            seconds=silent,
            store=store,
            number="<number>" if host.store is None else host.store,
        )
    else:
        text = say(
            "{stage} was sent but not confirmed: a fault of the proxy's own machine kept it from asking {address}. {check}",
            stage=stage.name,
            address=host.address,
            check=check,
        )
    return Ended(Outcome.UNKNOWN, Reason.CONNECTION_LOST, text, seen.state, seen.report())


@dataclass(slots=True)
class DepartureWatch:
    """The wait as a state machine: every round's answers go in, and at some round the end comes out. Times are monotonic.

    ``settle``: seconds in which the machine may still answer. Silence that begins inside it is watched to its end, which is
    ``silence`` seconds later.
    """

    started: float
    settle: float
    asked: tuple[Witness, ...]
    silence: float = SILENCE_S
    _silent_since: float | None = None
    _vouched_since: float | None = None

    def note(self, begun: float, now: float, sign: Sign, voucher: tuple[Witness, Sign] | None) -> Departure | None:
        """One round, which began at ``begun``. ``voucher``: who answered just after a silent sign. None: go on."""
        if sign is not Sign.SILENT:
            self._silent_since = self._vouched_since = None
            over = now - self.started >= self.settle + (0 if sign.answers else self.silence)
            return self._end("there" if sign.answers else "not_asked", now, sign) if over else None
        self._silent_since = begun if self._silent_since is None else self._silent_since
        if voucher is not None:
            self._vouched_since = begun if self._vouched_since is None else self._vouched_since
            if now - self._vouched_since >= self.silence:
                return self._end("gone", now, sign, voucher)
            return None
        self._vouched_since = None
        if not self.asked:
            return self._end("no_witness", now, sign) if now - self._silent_since >= self.silence else None
        over = now - self.started >= self.settle + self.silence
        return self._end("store_silent", now, sign) if over else None

    def _end(
        self,
        state: Literal["gone", "there", "store_silent", "no_witness", "not_asked"],
        now: float,
        sign: Sign,
        voucher: tuple[Witness, Sign] | None = None,
    ) -> Departure:
        silent_s = 0.0 if self._silent_since is None else now - (self._vouched_since or self._silent_since)
        vouched, how = voucher or (None, None)
        return Departure(state, silent_s, sign, vouched, how, self.asked)
