"""The question before a run by hand that disrupts, or that changes more than one store. Asked by a run once its hosts are known.

The hosts are found before the question and are the ones that run: what is confirmed is what happens. Counted and named are those
that the gates let through at the question, so that nobody confirms the power-off of a machine that is protected.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runtime.cli.output import Out
from runtime.cli.text import counted
from runtime.domain.errors import RunCancelled, UsageFault
from runtime.domain.model import Host
from runtime.domain.pipeline import Job
from runtime.domain.targets import places
from runtime.engine.gates import Policy

if TYPE_CHECKING:
    from runtime.engine.forecast import Expected

ANSWER_S = 300.0  # a question that nobody answers must not hold up an update of the proxy
_NAMED = 3
_DOES = {"disrupt": "disrupts", "change": "changes", "read": "reads"}


class Confirmation:
    """``yes``: the answer was given with the command. ``rules`` and ``now``: for the gates that need no connection."""

    def __init__(self, out: Out, rules: Policy, now: Callable[[], dt.datetime], *, yes: bool) -> None:
        self._out, self._rules, self._now, self._yes = out, rules, now, yes

    async def __call__(self, job: Job, hosts: list[Host]) -> None:
        """Raises UsageFault where nobody can be asked, RunCancelled for any answer but the number of hosts."""
        if self._yes or not needed(job, hosts):
            return
        from runtime.engine.forecast import Forecast  # most runs ask nothing

        expected = Forecast(hosts, self._rules).expect(job, self._now())
        if not asked_about(job, expected):
            return
        text = described(job, expected)
        if not (sys.stdin.isatty() and self._out.stderr.isatty()):
            advice = "check the hosts with --dry-run, then confirm them by adding --yes"
            raise UsageFault("not_confirmed", f"{text} This must be confirmed. Nothing was touched.", advice)
        self._out.say(text, "bold yellow")
        number = expected.would_run
        self._out.ask(f"Type the number of hosts that {job.info.action} {_DOES[_effect(job, expected)]} to go on: ")
        answer = (await _line()).strip()
        if answer != str(number):
            said = "no number was given" if not answer else f"{answer[:40]} is not {number}"
            raise RunCancelled("not_confirmed", f"not confirmed: {said}. Nothing was touched.", "run the command again")


def needed(job: Job, hosts: Sequence[Host]) -> bool:
    """Scheduled jobs were confirmed when they were written; a dry-run touches nothing."""
    if job.info.dry_run or job.info.origin != "manual":
        return False
    effect = job.effect_on(host.provider for host in hosts)
    return effect == "disrupt" or (effect == "change" and places(hosts) > 1)


def asked_about(job: Job, expected: Expected) -> bool:
    """Whether the question is still needed without the hosts that are left alone whatever the time is. What is frozen, or outside
    its window, may be touched a moment later, so that all the selected hosts count then."""
    return not all(kept.lasting for kept in expected.kept) or needed(job, expected.running)


def described(job: Job, expected: Expected) -> str:
    """shutdown_endpoint disrupts 5 of 6 selected hosts in 2 stores of ACME (Power off ...): A, B, C and 2 more. Left ..."""
    touched, number = expected.running, expected.would_run
    named = ", ".join(host.name for host in touched[:_NAMED])
    others = f" and {number - _NAMED} more" if number > _NAMED else ""
    hosts = counted(number, "host") if number == expected.hosts else f"{number} of {expected.hosts} selected hosts"
    where = f"{hosts} in {counted(places(touched), 'store')} of {job.info.network}"
    if not touched:
        where = f"none of {counted(expected.hosts, 'selected host')} of {job.info.network} at this moment"
    summary = job.default.action.summary.rstrip(".")
    text = (
        f"{job.info.action} {_DOES[_effect(job, expected)]} {where} ({summary}){': ' if named else ''}{named}{others}."
    )
    if expected.kept:
        alone = "; ".join(f"{kept.hosts} {kept.words} ({kept.example})" for kept in expected.kept[:_NAMED])
        text += f" Left alone: {alone}{'; and others' if len(expected.kept) > _NAMED else ''}."
    return text


def _effect(job: Job, expected: Expected) -> str:
    """Of the hosts that would run; of the action where none would now."""
    return job.effect_on(host.provider for host in expected.running) if expected.running else job.effect


async def _line() -> str:
    """A line that is typed. Read on the event loop: a thread in the middle of a read would hold up the end of the process."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    source = sys.stdin.fileno()
    loop.add_reader(source, ready.set)
    try:
        async with asyncio.timeout(ANSWER_S):
            await ready.wait()
    except TimeoutError:
        text = f"not confirmed: no answer within {ANSWER_S / 60:.0f} minutes. Nothing was touched."
        raise RunCancelled("not_confirmed", text, "run the command again") from None
    finally:
        loop.remove_reader(source)
    return os.read(source, 4096).decode("utf-8", "replace")
