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

from contracts.config import Effect
from contracts.text import Text, joined, plural, say, some_of
from runtime.cli.output import Out
from runtime.cli.text import hosts as in_words
from runtime.domain.errors import RunCancelled, UsageFault
from runtime.domain.model import Host
from runtime.domain.pipeline import RunPlan
from runtime.domain.targets import places
from runtime.engine.gates import Policy

if TYPE_CHECKING:
    from runtime.engine.forecast import Expected, Kept

ANSWER_S = 300.0  # a question that nobody answers must not hold up an update of the proxy
_NAMED = 3


class Confirmation:
    """``yes``: the answer was given with the command. ``rules`` and ``now``: for the gates that need no connection."""

    def __init__(self, out: Out, rules: Policy, now: Callable[[], dt.datetime], *, yes: bool) -> None:
        self._out, self._rules, self._now, self._yes = out, rules, now, yes

    async def __call__(self, plan: RunPlan, hosts: list[Host]) -> None:
        """Raises UsageFault where nobody can be asked, RunCancelled for any answer but the number of hosts."""
        if self._yes or not needed(plan, hosts):
            return
        from runtime.engine.forecast import Forecast  # most runs ask nothing

        expected = Forecast(hosts, self._rules).expect(plan, self._now())
        if not asked_about(plan, expected):
            return
        text = described(plan, expected)
        if not (sys.stdin.isatty() and self._out.stderr.isatty()):
            advice = say("check the hosts with --dry-run, then confirm them by adding --yes")
            message = say("{what} This must be confirmed. Nothing was touched.", what=text)
            raise UsageFault("not_confirmed", message, advice)
        self._out.say(text, "bold yellow")
        number = expected.would_run
        self._out.ask(_question(_effect(plan, expected), plan.info.action))
        answer = (await _line()).strip()
        if answer != str(number):
            why = (
                say("{answer} is not {number}", answer=answer[:40], number=number)
                if answer
                else say("no number was given")
            )
            message = say("not confirmed: {why}. Nothing was touched.", why=why)
            raise RunCancelled("not_confirmed", message, say("run the command again"))


def needed(plan: RunPlan, hosts: Sequence[Host]) -> bool:
    """Scheduled jobs were confirmed when they were written; a dry-run touches nothing."""
    if plan.info.dry_run or plan.info.origin != "manual":
        return False
    effect = plan.effect_on(host.provider for host in hosts)
    return effect == "disrupt" or (effect == "change" and places(hosts) > 1)


def asked_about(plan: RunPlan, expected: Expected) -> bool:
    """Whether the question is still needed without the hosts that are left alone whatever the time is. What is frozen, or outside
    its window, may be touched a moment later, so that all the selected hosts count then."""
    return not all(kept.lasting for kept in expected.kept) or needed(plan, expected.running)


def described(plan: RunPlan, expected: Expected) -> Text:
    """shutdown_endpoint disrupts 5 of 6 selected hosts in 2 stores of ACME: A, B, C and 2 more. Left alone: … What it does: …"""
    action, what, effect = plan.info.action, _hosts(plan, expected), _effect(plan, expected)
    if effect == "disrupt":
        text = say("{action} disrupts {what}", action=action, what=what)
    elif effect == "change":
        text = say("{action} changes {what}", action=action, what=what)
    else:
        text = say("{action} reads {what}", action=action, what=what)
    names = some_of([host.name for host in expected.running], _NAMED)
    text = say("{what}: {hosts}.", what=text, hosts=names) if names else say("{what}.", what=text)
    if expected.kept:
        alone = joined([_left_alone(kept) for kept in expected.kept[:_NAMED]], "; ")
        if len(expected.kept) > _NAMED:
            alone = say("{some}; and others", some=alone)
        text = say("{what} Left alone: {hosts}.", what=text, hosts=alone)
    return say("{what} What it does: {summary}", what=text, summary=plan.default.action.summary)


def _hosts(plan: RunPlan, expected: Expected) -> Text:
    """5 of 6 selected hosts in 2 stores of ACME."""
    network, number = plan.info.network, expected.would_run
    if not number:
        hosts = plural("{n} selected host", "{n} selected hosts", expected.hosts)
        return say("none of {hosts} of {network} at this moment", hosts=hosts, network=network)
    hosts = in_words(number)
    if number < expected.hosts:
        hosts = say("{number} of {all} selected hosts", number=number, all=expected.hosts)
    stores = plural("{n} store", "{n} stores", places(expected.running))
    return say("{hosts} in {stores} of {network}", hosts=hosts, stores=stores, network=network)


def _left_alone(kept: Kept) -> Text:
    return say("{number} {why} ({example})", number=kept.hosts, why=kept.words, example=kept.example)


def _question(effect: Effect, action: str) -> Text:
    if effect == "disrupt":
        return say("Type the number of hosts that {action} disrupts to continue: ", action=action)
    if effect == "change":
        return say("Type the number of hosts that {action} changes to continue: ", action=action)
    return say("Type the number of hosts that {action} reads to continue: ", action=action)


def _effect(plan: RunPlan, expected: Expected) -> Effect:
    """Of the hosts that would run; of the action where none would now."""
    return plan.effect_on(host.provider for host in expected.running) if expected.running else plan.effect


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
        minutes = f"{ANSWER_S / 60:.0f}"
        text = say("not confirmed: no answer within {minutes} minutes. Nothing was touched.", minutes=minutes)
        raise RunCancelled("not_confirmed", text, say("run the command again")) from None
    finally:
        loop.remove_reader(source)
    return os.read(source, 4096).decode("utf-8", "replace")
