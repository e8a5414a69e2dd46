"""Runs and hosts as people name them: a run by the beginning of its id or as ``last``, a host by the end of its name.

What is meant must be certain: two that fit are a usage error that lists both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from contracts.text import Text, say, some_of
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.history import HostRecord, known_host_names, list_runs, runs_like, why
from runtime.adapters.state.runs import live_runs
from runtime.adapters.state.store import State
from runtime.cli.output import Out
from runtime.domain.errors import NoHostMatched, UsageFault
from runtime.domain.model import NamedTerminal
from runtime.domain.names import carries, parse_name, parse_terminal
from runtime.domain.targets import near

LAST = "last"
_SHOWN = 10
_RUN_ID = re.compile(r"[0-9a-f-]{1,36}")


def run_id(state: State, asked: str, out: Out, *, running: bool = False) -> str:
    """The id of the run that is meant; ``running``: ``last`` is the last one that still runs, and one that is at work is found
    although the local state cannot be read. Raises UsageFault, NoHostMatched where none runs, StateUnavailable."""
    text = asked.strip().lower()
    live = live_runs(state.folder)
    if text == LAST:
        if running:
            if not live:
                raise NoHostMatched("no_run_at_work", say("no run is at work, so nothing was asked to stop"))
            return live[-1].run_id
        newest = [run.run_id for run in list_runs(state, limit=1)]
        if not newest:
            advice = say("`flageemonitor-run actions` lists what can be run")
            raise UsageFault("unknown_run", say("no run yet on this proxy"), advice)
        return newest[0]
    found: dict[str, str] = {}
    unread = None
    if _RUN_ID.fullmatch(text):
        found = {run.run_id: f"{out.when(run.started_at)} {run.action}" for run in live if run.run_id.startswith(text)}
        try:
            recorded = runs_like(state, text, limit=_SHOWN + 1)
        except StateUnavailable as error:
            if not running:
                raise
            recorded, unread = (), error
        found |= {run.run_id: f"{out.when(run.started_at)} {run.action}" for run in recorded}
    if text in found:
        return text
    if len(found) == 1:
        return next(iter(found))
    if not found and unread is not None:
        text = say(
            "no run at work has the id {asked}, so nothing was asked to stop; whether it has ended is not known: {why}",
            asked=asked,
            why=unread.message,
        )
        raise StateUnavailable(unread.reason, text, unread.advice)
    if not found:
        advice = say("`flageemonitor-run runs` lists them; `last` is the last one")
        raise UsageFault("unknown_run", say("no run {asked} in the local state", asked=asked), advice)
    listed = "; ".join(f"{one} ({what})" for one, what in [*found.items()][:_SHOWN])
    text = say("several runs begin with {asked}: {runs}", asked=asked, runs=listed)
    if len(found) > _SHOWN:
        text = say("several runs begin with {asked}: {runs}; and more", asked=asked, runs=listed)
    raise UsageFault("ambiguous_run", text, say("type more of the id"))


def host_records(state: State, asked: str, last: int) -> tuple[HostRecord, ...]:
    """What the last runs decided about the host that is meant by a name or the end of one. Raises UsageFault, NoHostMatched."""
    find = partial(why, state, limit=last)
    if records := find(name=asked):
        return records
    known = known_host_names(state)
    fitting = [name for name, shown in known.items() if fits(asked, name) or fits(asked, shown)]
    if len(fitting) == 1:
        return find(name=fitting[0])
    if fitting:
        names = some_of(sorted(fitting), _SHOWN)
        text = say("{asked} may be any of {number} hosts: {names}", asked=asked, number=len(fitting), names=names)
        raise UsageFault("ambiguous_host", text, say("give one of these names"))
    raise NoHostMatched(
        "never_considered",
        _never_considered(asked, known),
        say("`flageemonitor-run hosts` lists every host of this network by its exact name"),
    )


def fits(asked: str, name: str) -> bool:
    """Whether a name ends with what is asked, as a word of its own or as the same numbers: PDV201, LOJA1-PDV201, 201."""
    text = asked.strip().lower()
    if text and re.search(rf"(?:^|[^a-z0-9]){re.escape(text)}$", name.lower()):
        return True
    said, host = parse_name(asked), parse_name(name)
    terminal = _terminal(asked)
    if host.terminal is None or terminal is None or terminal.number != host.terminal:
        return False
    if said.store not in (None, host.store) or said.network.lower() not in ("", host.network.lower()):
        return False
    return not terminal.word or carries(name, terminal.word, host.role)


def _terminal(asked: str) -> NamedTerminal | None:
    """Word and number at the end of a text; the word is empty for a bare number."""
    try:
        found = parse_terminal(re.split(r"(?<=[0-9])[ _-]+(?=[a-z])|\)\s*", asked.strip(), flags=re.IGNORECASE)[-1])
    except UsageFault:
        return None
    return NamedTerminal("", found) if isinstance(found, int) else found


def _never_considered(asked: str, known: Mapping[str, str]) -> Text:
    text = say("no run has considered {asked} as far back as the local state goes", asked=asked)
    alike = near(asked, known)
    return say("{text} (near: {names})", text=text, names=", ".join(alike)) if alike else text
