"""The question before a run by hand that disrupts, or that changes more than one store. Asked by a run once its hosts are known.

The hosts are found before the question and are the ones that run: what is confirmed is what happens.
"""

from __future__ import annotations

import asyncio
import os
import sys

from runtime.console.output import Out
from runtime.console.text import counted
from runtime.core.errors import RunCancelled, UsageFault
from runtime.core.model import Host
from runtime.core.pipeline import Job
from runtime.core.targets import places

ANSWER_S = 300.0  # a question that nobody answers must not hold up an update of the proxy
_NAMED = 3
_DOES = {"disrupt": "disrupts", "change": "changes"}


class Confirmation:
    """``yes``: the answer was given with the command."""

    def __init__(self, out: Out, *, yes: bool) -> None:
        self._out, self._yes = out, yes

    async def __call__(self, job: Job, hosts: list[Host]) -> None:
        """Raises UsageFault where nobody can be asked, RunCancelled for any answer but the number of hosts."""
        if self._yes or not needed(job, hosts):
            return
        text = described(job, hosts)
        if not (sys.stdin.isatty() and self._out.stderr.isatty()):
            advice = "check the hosts with --dry-run, then confirm them by adding --yes"
            raise UsageFault("not_confirmed", f"{text} This must be confirmed. Nothing was touched.", advice)
        self._out.say(text, "bold yellow")
        self._out.ask("Type the number of hosts to go on: ")
        answer = (await _line()).strip()
        if answer != str(len(hosts)):
            said = "no number was given" if not answer else f"{answer[:40]} is not {len(hosts)}"
            raise RunCancelled("not_confirmed", f"not confirmed: {said}. Nothing was touched.", "run the command again")


def needed(job: Job, hosts: list[Host]) -> bool:
    """Scheduled jobs were confirmed when they were written; a dry-run touches nothing."""
    if job.info.dry_run or job.info.origin != "manual":
        return False
    effect = job.effect_on(host.provider for host in hosts)
    return effect == "disrupt" or (effect == "change" and places(hosts) > 1)


def described(job: Job, hosts: list[Host]) -> str:
    """shutdown_endpoint disrupts 12 hosts in 2 stores of ACME (Power off ...): A, B, C and 9 more."""
    effect = job.effect_on(host.provider for host in hosts)
    named = ", ".join(host.name for host in hosts[:_NAMED])
    others = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    where = f"{counted(len(hosts), 'host')} in {counted(places(hosts), 'store')} of {job.info.network}"
    summary = job.default.action.summary.rstrip(".")
    return f"{job.info.action} {_DOES.get(effect, 'reads')} {where} ({summary}): {named}{others}."


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
