"""Clocks that cannot be trusted blindly: a wall clock that jumps during a run, a terminal whose clock is not ours.

The engine takes an anchor when a run begins and asks it before every stage; disruptive actions ask for both clocks at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from contracts.text import say
from contracts.windows import Window, inside
from runtime.domain.action import Refused
from runtime.domain.model import Host
from runtime.domain.ports import Clock

WEEKDAYS = (say("Mon"), say("Tue"), say("Wed"), say("Thu"), say("Fri"), say("Sat"), say("Sun"))


@dataclass(frozen=True, slots=True)
class Anchor:
    """Both clocks of the proxy at one moment: aware wall time and monotonic seconds."""

    wall: dt.datetime
    monotonic: float

    @classmethod
    def take(cls, clock: Clock) -> Anchor:
        return cls(clock.now(), clock.monotonic())

    def jumped(self, clock: Clock, limit: float) -> str | None:
        """A sentence when the wall clock moved by more than ``limit`` seconds against the monotonic one since, else None.

        A machine that slept shows a jump forward: its monotonic clock stood still, and so did the run.
        """
        seconds = (clock.now() - self.wall).total_seconds() - (clock.monotonic() - self.monotonic)
        if abs(seconds) <= limit:
            return None
        moved = f"{abs(seconds):.0f}"
        if seconds > 0:
            return say("the proxy's clock jumped forward by {seconds} s since the run began", seconds=moved)
        return say("the proxy's clock jumped back by {seconds} s since the run began", seconds=moved)


def inside_by_both(
    windows: Iterable[Window], now: dt.datetime, epoch: int | None, store: int | None = None
) -> dt.datetime | Refused:
    """The instant (aware UTC, our clock) until which the proxy's and the terminal's clock both lie in a window, or why not.

    ``now`` carries the zone of the windows (see contracts.windows); ``epoch`` is the terminal's clock in Unix seconds, None when
    it could not be read. Codes of the refusal: outside_window, no_clock, clocks_disagree.
    """
    windows = tuple(windows)
    allowed = ", ".join(map(str, windows)) or say("none")
    ours = inside(windows, now, store)
    if ours is None:
        text = say(
            "it is {weekday} {time}, allowed: {windows}",
            weekday=WEEKDAYS[now.weekday()],
            time=f"{now:%H:%M %Z}",
            windows=allowed,
        )
        return Refused("outside_window", text)
    theirs = _time(epoch, now.tzinfo)
    if theirs is None:
        text = say("the terminal's clock cannot be read, so ours cannot be checked against it")
        return Refused("no_clock", text)
    until = inside(windows, theirs, store)
    if until is None:
        text = say(
            "the proxy says {weekday} {time}, the terminal {theirs}, which is outside its window; allowed: {windows}",
            weekday=WEEKDAYS[now.weekday()],
            time=f"{now:%H:%M}",
            theirs=f"{theirs:%Y-%m-%d %H:%M %Z}",
            windows=allowed,
        )
        return Refused("clocks_disagree", text)
    return min(ours, now.astimezone(dt.UTC) + (until - theirs))


def inside_for_machine(
    host: Host, windows_for: Callable[[int | None], Iterable[Window]], now: dt.datetime, epoch: int | None
) -> dt.datetime | Refused:
    """The same for every store that an entry of the host's machine names: the shortest permission of all, or why one refuses."""
    until: dt.datetime | None = None
    for store in host.machine.stores:
        one = inside_by_both(windows_for(store), now, epoch, store)
        if isinstance(one, Refused):
            if store == host.store:
                return one
            text = say("as a machine of store {store}: {message}", store=store, message=one.message)
            return replace(one, message=text)
        until = one if until is None else min(until, one)
    if until is None:
        raise ValueError("a machine without stores")  # there is always one, known or not
    return until


def _time(epoch: int | None, zone: dt.tzinfo | None) -> dt.datetime | None:
    try:
        return None if epoch is None else dt.datetime.fromtimestamp(epoch, zone)
    except (OverflowError, ValueError, OSError):
        return None  # a number, but no time: as good as unreadable
