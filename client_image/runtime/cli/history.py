"""`why`, `runs` and `cancel`: what the local state remembers of runs and hosts."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from commandline.language import shown
from contracts.address import parse_address
from contracts.text import joined, plural, say
from contracts.visible import one_line
from runtime.adapters.state.history import HostRecord, RunRecord, find_run, list_runs, why
from runtime.adapters.state.reading import UnreadableState
from runtime.adapters.state.runs import Cancelled, cancel
from runtime.adapters.state.store import State
from runtime.cli.lookup import host_records
from runtime.cli.lookup import run_id as named_run
from runtime.cli.output import Out
from runtime.cli.terminal import styled
from runtime.cli.text import by_outcome, lines_of
from runtime.cli.text import hosts as in_words
from runtime.domain.errors import UsageFault
from runtime.domain.model import Missing

_RUN = (say("started"), say("action"), say("by"), say("hosts"), say("outcomes"), say("exit"), say("run"))
_RUN_WHOLE = (_RUN[0], _RUN[1], _RUN[-1])


def plain(record: Any) -> dict[str, Any]:
    """A record as JSON values; instants as RFC 3339 text."""
    values: dict[str, Any] = dataclasses.asdict(record)
    return {name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in values.items()}


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def show_why(state: State, host: str, last: int, out: Out) -> int:
    records = why(state, address=host, limit=last) if _is_address(host) else ()
    records = records or host_records(state, host, last)
    if records and not _is_named(records[0], host):
        name = records[0].name
        out.say(say("{asked} means {host}: no other host's name ends like that", asked=host, host=name))
    if out.form in ("json", "ndjson"):
        out.table((), (), [plain(record) for record in records])
        return 0
    if out.form == "lines":
        out.table((), (_why_row(record, out) for record in records), ())
        return 0
    for record in records:
        _why_block(record, out)
    return 0


def _is_named(record: HostRecord, asked: str) -> bool:
    """Whether the host was named in full, so that nothing had to be found out."""
    text = asked.strip().lower()
    return text in (record.name.lower(), record.display_name.lower()) or _is_address(text)


def _why_row(record: HostRecord, out: Out) -> tuple[Any, ...]:
    outcome = record.outcome or record.state
    happened = joined((record.message or "", *record.plan), "; ")
    last = (record.run_id, record.name, _requester(record), record.purpose)
    return (out.when(record.started_at), record.action, outcome, record.reason, happened, *last)


def _why_block(record: HostRecord, out: Out) -> None:
    outcome = record.outcome or record.state
    name = Text(one_line(record.name), style="bold")
    title = Text(f"\n{out.when(record.started_at)}  ", style="dim") + Text(record.action, style="bold")
    title += Text(f" {shown(say('on'))} ") + name + Text(": ") + styled(outcome)
    title += Text(f" ({record.reason})" if record.reason else "")
    out.console.print(title)
    if record.message:
        out.console.print(Text(f"  {one_line(shown(record.message))}"))
    for line in record.plan:
        out.console.print(Text(f"    {one_line(shown(line))}", style="cyan"))
    rows: list[tuple[object, ...]] = []
    passed, refused = Text(shown(say("passed")), style="green"), Text(shown(say("refused")), style="yellow")
    for gate in record.gates:
        mark = passed if gate.get("allowed") else refused
        rows.append((f"  {gate.get('gate')}", mark, gate.get("text", "")))
    for step in record.result.get("steps", ()):
        mark = Text(str(step.get("status")), style="green" if step.get("status") == "done" else "bold red")
        rows.append((say("  step"), mark, step.get("name", "")))
    out.table((say("  gate"), "", ""), rows, ())
    parts = [
        say("by {who}", who=_requester(record)),
        "" if record.asked == record.action else say("requested as {name}", name=record.asked),
        say("dry-run") if record.dry_run else "",
        say("reason: {reason}", reason=record.purpose) if record.purpose else "",
        say("run {run}", run=record.run_id),
    ]
    text = joined([part for part in parts if part])
    out.console.print(Text(f"  {one_line(shown(text))}", style="dim"), soft_wrap=True)


def _requester(record: RunRecord | HostRecord) -> str:
    """Who asked: a person by name, or the scheduled job or command that did."""
    return record.actor or record.origin


def _missing(record: RunRecord) -> Iterable[str]:
    for one in record.missing:
        known = Missing(**{**one, "near": tuple(one.get("near", ()))})
        yield say("no host matched {value}", value=known)


def show_runs(state: State, last: int, out: Out) -> int:
    records = list_runs(state, limit=last)
    rows = [_run_row(record, out) for record in records]
    out.table(_RUN, rows, [plain(r) for r in records], whole=_RUN_WHOLE)
    if not records and out.form == "table":
        out.say(say("no run yet on this proxy"))
    return 0


def _run_row(record: RunRecord, out: Out) -> tuple[Any, ...]:
    outcomes = by_outcome(dict(sorted(record.outcomes.items())))
    if record.open:
        outcomes = joined([*filter(None, (outcomes,)), plural("{n} open", "{n} open", record.open)])
    outcomes = outcomes or record.reason or ""
    code = record.state if record.exit_code is None else record.exit_code
    action = say("{action} (dry-run)", action=record.action) if record.dry_run else record.action
    return (out.when(record.started_at), action, _requester(record), record.hosts, outcomes, code, record.run_id)


def show_run(state: State, run_id: str, out: Out) -> int:
    found = find_run(state, named_run(state, run_id, out))
    if found is None:  # it is registered and reads its inventory
        text = say("run {run} has no host yet", run=run_id)
        raise UsageFault("unknown_run", text, say("wait a moment: it still reads its inventory"))
    record, hosts = found
    if out.form in ("json", "ndjson"):
        out.json({**plain(record), "results": [plain(host) for host in hosts]})
        return 0
    if out.form == "table":
        out.table(_RUN, [_run_row(record, out)], (), whole=_RUN_WHOLE)
        out.console.print()
        asked = say("requested by {who}", who=_requester(record))
        why_so = say("reason: {reason}", reason=record.purpose) if record.purpose else ""
        texts = (joined([part for part in (asked, why_so) if part]), *_missing(record), record.message or "")
        for line in texts:
            if line:
                out.console.print(Text(one_line(shown(line))))
    else:
        out.table((), [_run_line(record, out)], ())
    columns = (say("host"), say("address"), say("outcome"), say("reason"), say("what happened"))
    out.table(columns, _host_rows(hosts, out), (), whole=columns[:4])
    return 0


def _run_line(record: RunRecord, out: Out) -> tuple[str, ...]:
    """The run in a pipe, in as many columns as its hosts: all that there is to tell of a run that was refused."""
    when, action, by, hosts, outcomes, code, run_id = _run_row(record, out)
    told = lines_of(
        record.message or "",
        in_words(hosts),
        outcomes,
        say("by {who}", who=by),
        say("reason: {reason}", reason=record.purpose) if record.purpose else "",
        *_missing(record),
    )
    started = joined((when, action), " ")
    return (say("run {run}", run=run_id), started, str(code), record.reason or "", told)


def _host_rows(hosts: Iterable[HostRecord], out: Out) -> Iterable[tuple[Any, ...]]:
    for host in hosts:
        outcome = host.outcome or host.state
        shown: Any = styled(outcome) if out.form == "table" else outcome
        yield (host.name, host.address, shown, host.reason, _happened(host, out))


def _happened(host: HostRecord, out: Out) -> object:
    """The message, and what was changed or would be: in a pipe on the same line."""
    if out.form != "table":
        return joined((host.message or "", *host.plan), "; ")
    text = Text(one_line(shown(host.message or "")))
    for line in host.plan:
        text.append(f"\n  {one_line(shown(line))}", style="cyan")
    return text


def cancel_run(state: State, asked: str, by: str, out: Out) -> int:
    run_id = named_run(state, asked, out, running=True)
    result = cancel(state, run_id, by=by)
    texts = {
        Cancelled.SIGNALLED: say(
            "run {run}: asked to stop: no further host is started, hosts at work get the grace time", run=run_id
        ),
        Cancelled.SIGNALLED_UNNOTED: say(
            "run {run}: asked to stop: no further host is started, hosts at work get the grace time. Who asked could not be "
            "recorded, so the run will show that it was stopped, not by whom",
            run=run_id,
        ),
        Cancelled.NOTED: say("run {run}: recorded; its process stops it within a few seconds", run=run_id),
        Cancelled.NOT_RUNNING: say("run {run}: is not running any more", run=run_id),
    }
    if out.form in ("json", "ndjson"):
        out.json({"run_id": run_id, "result": result.value})
    else:
        out.say(texts[result])
    if isinstance(state, UnreadableState):
        out.say(say("What it has done so far cannot be read."))
    return 0
