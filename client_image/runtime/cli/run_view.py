"""A run as it is seen: a progress bar while it goes, then a table, plain lines, JSON or NDJSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from commandline.language import shown
from contracts.text import joined, plural, say, some_of
from contracts.visible import one_line
from runtime.cli.output import Out, error_json
from runtime.cli.progress import CALM_S, Tally, bar
from runtime.cli.text import by_outcome
from runtime.cli.text import hosts as in_words
from runtime.domain import wire
from runtime.domain.errors import RunError
from runtime.domain.model import HOST_KEY, Host, HostResult, Outcome, RunReport
from runtime.domain.pipeline import RunPlan

if TYPE_CHECKING:
    from rich.progress import Progress

_QUIET = (Outcome.OK, Outcome.CHANGED, Outcome.WOULD_CHANGE)


_WORST = (Outcome.UNKNOWN, Outcome.FAILED, Outcome.BLOCKED, Outcome.UNREACHABLE)
_NAMED = 5
DETAIL = 20


class RunView:
    """Told of a run by its Listener. One instance a run."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._plan: RunPlan | None = None
        self._bar: Progress | None = None
        self.tally: Tally | None = None

    def selected(self, plan: RunPlan, hosts: list[Host]) -> None:
        self._plan = plan
        self.tally = Tally(len(hosts))
        info = plan.info
        what = say(
            "{action} on {hosts} of {network}", action=info.action, hosts=in_words(len(hosts)), network=info.network
        )
        if info.dry_run:
            what = say("{what}, dry-run: nothing is changed", what=what)
        if self._out.form == "table" or plan.effect == "disrupt":
            text = say("{what} (compatibility {mode}, run {run})", what=what, mode=info.compat_mode, run=info.run_id)
            self._out.say(text, "bold")
        for one in info.missing:
            self.warn(say("no host matches {value}", value=one))
        if self._out.stderr.isatty() and (self._out.form == "table" or not self._out.stdout.isatty()):
            self._bar = bar(self._out, self.tally)
            self._bar.start()

    def started(self, host: Host) -> None:
        if self.tally is not None:
            self.tally.started(host)

    def result(self, result: HostResult) -> None:
        if self._plan is None or self.tally is None:
            return
        self.tally.ended(result)
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
            if result.outcome.exit_code == 1:
                head = f"{result.host.name}: {result.outcome} {_reason(result)}"
                self._out.say(joined((head, result.message), ": "), "red")
        if self._out.form == "ndjson":
            self._out.json({"type": "host", **wire.result_json(self._plan.info, result)})
        elif self._out.form == "lines":
            self._out.write(_line(result) + "\n")

    async def tell_calmly(self) -> None:
        """Where no bar is drawn, a line on stderr now and then, for people who follow a log. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(CALM_S)
            if self._bar is None and self.tally is not None and self.tally.done < self.tally.total:
                self._out.say(self.tally.line())

    def warn(self, text: str) -> None:
        self._out.warn(text)

    def stopping(self, why: str, grace: float) -> None:
        if self._plan is None:
            self._out.say(say("stopping ({why})", why=why), "yellow")
            return
        text = say(
            "stopping ({why}): no further host is started; those at work get up to {seconds} s, Ctrl-C cuts them now",
            why=why,
            seconds=f"{grace:.0f}",
        )
        self._out.say(text, "yellow")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def report(self, report: RunReport, trouble: RunError | None) -> int:
        """The exit code. ``trouble``: why not all of it could be recorded, if so."""
        self.close()
        code = report.exit_code if trouble is None else 1
        end = {"exit_code": code} if trouble is None else {"exit_code": code, "error": error_json(trouble)}
        body = {**wire.report_json(report), **end}
        if self._out.form == "json":
            self._out.json(body)
        elif self._out.form == "ndjson":
            self._out.json({"type": "run", **body["run"], "summary": body["summary"], **end})
        elif self._out.form == "table":
            _table(self._out, report, code)
        if self._out.form in ("table", "lines"):
            _closing(self._out, report)
        if trouble is not None:
            self._out.explain(trouble)
        return code


def _reason(result: HostResult) -> str:
    """With the detail where that is a code; what is longer stands in the message too."""
    return f"{result.reason}:{result.detail}" if 0 < len(result.detail) <= DETAIL else result.reason.value


def _line(result: HostResult) -> str:
    """For a pipe; the plan of a dry-run goes with the message, step by step."""
    message = joined((result.message, *result.plan), "; ")
    cells = (result.host.name, result.host.address, result.outcome, _reason(result), message)
    return "\t".join(one_line(shown(cell)) for cell in cells)


def _table(out: Out, report: RunReport, code: int) -> None:
    from rich.text import Text

    from runtime.cli.terminal import styled

    rows: list[tuple[Any, ...]] = []
    for result in report.results:
        seconds = result.durations.get("total", 0.0)
        reason = "" if result.outcome in _QUIET else _reason(result)
        message = Text(one_line(shown(result.message)))
        for line in result.plan:
            message.append(f"\n  {one_line(shown(line))}", style="cyan")
        rows.append(
            (result.host.name, result.host.address, styled(result.outcome), reason, message, f"{seconds:.1f} s")
        )
    columns = (say("host"), say("address"), say("outcome"), say("reason"), say("what happened"), say("time"))
    out.table(columns, rows, (), whole=(*columns[:4], columns[5]))
    if len(report.results) == 1 and report.results[0].report:
        _details(out, report.results[0])
    counts = by_outcome(wire.summary(report.results))
    style = "green" if code == 0 else "bold red" if code == 1 else "yellow"
    text = say("{hosts}: {counts}. Exit code {code}.", hosts=in_words(len(report.results)), counts=counts, code=code)
    out.console.print(Text(f"\n{shown(text)}", style=style))
    learned = sum(record.gate == HOST_KEY for result in report.results for record in result.gates)
    if learned:
        text = plural(
            "{n} host key was seen for the first time and pinned: why <host> shows which",
            "{n} host keys were seen for the first time and pinned: why <host> shows which",
            learned,
        )
        out.console.print(Text(shown(text), style="dim"))


def _closing(out: Out, report: RunReport) -> None:
    """Last what needs attention, worst first, and the commands that show more. On stdout only where people read a table there."""
    groups: dict[tuple[int, str], list[str]] = {}
    for result in report.results:
        if result.outcome in _WORST:
            text = f"{result.outcome} {_reason(result)}"
            groups.setdefault((_WORST.index(result.outcome), text), []).append(result.host.name)
    if not groups:
        return
    number = sum(map(len, groups.values()))
    lines: list[str] = [say("Needs attention: {number} of {hosts}", number=number, hosts=in_words(len(report.results)))]
    for (_, text), names in sorted(groups.items()):
        lines.append(joined((f"  {text}", some_of(names, _NAMED)), ": "))
    first = min(groups.items())[1][0]
    lines += [
        say("  why: flageemonitor-run why {host}", host=first),
        say("  all hosts of this run: flageemonitor-run runs {run}", run=report.info.run_id),
    ]
    for number, line in enumerate(lines):
        if out.form == "table":
            from rich.text import Text

            out.console.print(Text(one_line(shown(line)), style="" if number else "bold red"), soft_wrap=True)
        else:
            out.say(line)


def _details(out: Out, result: HostResult) -> None:
    out.console.print()
    rows = [(f"  {name}", _value(value)) for name, value in result.report.items()]
    out.table(("", ""), rows, ())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, dict):
        return ", ".join(f"{name}={shown(_value(inner))}" for name, inner in value.items() if inner is not None)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return "-" if value is None else str(value)
