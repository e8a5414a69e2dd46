"""A run while it goes: how far it is, who is awaited and for how long. A bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from commandline.language import shown
from contracts.text import plural, say, some_of
from contracts.visible import one_line
from runtime.cli.output import Out
from runtime.cli.text import by_outcome, lines_of
from runtime.domain.model import Host, HostResult

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

CALM_S = 15.0  # between two lines in a pipe
PATIENT_S = 5.0  # a host that is at work for less is not worth a word
_NAMED = 2


class Tally:
    """Which hosts are at work since when, and how many ended how. ``clock``: monotonic seconds."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self._clock = total, clock
        self._since: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def started(self, host: Host) -> None:
        self._since[host.name] = self._clock()

    def ended(self, result: HostResult) -> None:
        self._since.pop(result.host.name, None)
        self._counts[result.outcome.value] = self._counts.get(result.outcome.value, 0) + 1

    @property
    def done(self) -> int:
        return sum(self._counts.values())

    @property
    def counts(self) -> str:
        return by_outcome(dict(sorted(self._counts.items())))

    def awaited(self) -> str:
        """The hosts that are at work longest, in words; empty while none is slow. The thread that draws the bar asks too."""
        now = self._clock()
        slow = sorted((since, name) for name, since in list(self._since.items()) if now - since >= PATIENT_S)
        if not slow:
            return ""
        named = [f"{one_line(name)} ({now - since:.0f} s)" for since, name in slow]
        return say("waiting for {hosts}", hosts=some_of(named, _NAMED))

    def line(self) -> str:
        done = plural("{done} of {n} host done", "{done} of {n} hosts done", self.total, done=self.done)
        return lines_of(done, self.counts, self.awaited())


def bar(out: Out, tally: Tally) -> Progress:
    """A bar with the hosts that are awaited below it; the caller starts, advances and stops it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
    from rich.text import Text

    class Counts(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(tally.counts or shown(say("working")))

    class Bar(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if awaited := tally.awaited():
                yield Text(shown(awaited), style="dim")

    drawn = Bar(Counts(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=out.notes, transient=True)
    drawn.add_task("", total=tally.total)
    return drawn
