"""`doctor`: makes its checks one by one, each within a time limit, and shows what they found with what to do about it.

A check that does not end in its time is a finding as well, and the others are made all the same. What is checked is in
:mod:`runtime.cli.doctor_checks`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.text import Text

from commandline.language import shown
from contracts.text import say
from contracts.visible import one_line
from runtime.cli.output import Out
from runtime.domain.background import within
from runtime.domain.errors import RunError

# Longer than the local state waits for a lock and shorter than anybody waits for an answer.
LOOK_S, TOTAL_S, _LEAST_S = 35.0, 120.0, 5.0
_HANGS = {
    "control plane": say("try its address by hand from this machine: curl -v"),
    "inventory": say("try the address of Zabbix by hand from this machine: curl -v"),
}
Status = Literal["ok", "warning", "bad"]
_STYLE = {"ok": "green", "warning": "yellow", "bad": "bold red"}


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    status: Status
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that is looked at. ``what``: its name where it does not answer."""

    what: str
    checks: Callable[[], Iterator[Check]]


def examine(looks: Sequence[Look], out: Out) -> int:
    """0 when nothing is bad; 1 else. Warnings do not count. A check that hangs is bad, and never the end of the others."""
    checks, hung = examined(looks)
    code = _shown(checks, out)
    if hung:
        out.stdout.flush()
        out.stderr.flush()
        os._exit(code)  # what hangs in a thread, such as a disk, would hold up an orderly end as well
    return code


def examined(looks: Sequence[Look], *, each: float = LOOK_S, total: float = TOTAL_S) -> tuple[list[Check], bool]:
    """Every look's findings, each within ``each`` seconds and all within about ``total``; whether one of them still hangs."""
    checks: list[Check] = []
    hung, ends = False, time.monotonic() + total
    for look in looks:
        found, late = _safely(look, max(_LEAST_S, min(each, ends - time.monotonic())))
        checks += found
        hung |= late
    return checks, hung


def _shown(checks: list[Check], out: Out) -> int:
    data = [asdict(check) for check in checks]
    rows: list[tuple[object, ...]] = []
    for check in checks:
        if out.form == "table":
            advice = say("  try: {advice}", advice=check.advice)
            lines = [one_line(shown(line)) for line in ([check.text, advice] if check.advice else [check.text])]
            rows.append((check.name, Text(check.status, style=_STYLE[check.status]), Text("\n".join(lines))))
        else:
            rows.append((check.name, check.status, check.text, check.advice))
    out.table(("", "", ""), rows, data)
    return 1 if any(check.status == "bad" for check in checks) else 0


def _safely(look: Look, seconds: float) -> tuple[list[Check], bool]:
    """A look that cannot even be made is a finding as well, and so is one that does not end in time."""
    checks: list[Check] = []

    def work() -> None:
        for check in look.checks():
            checks.append(check)

    try:
        within(seconds, work)
    except TimeoutError:
        text = say(
            "this check did not finish within {seconds} s; what it asks does not answer", seconds=f"{seconds:.0f}"
        )
        advice = _HANGS.get(look.what, say("see whether a disk or a mount hangs: df, dmesg"))
        return [*checks, Check(look.what, "bad", text, advice)], True
    except RunError as error:
        checks.append(Check(error.reason, "bad", error.message, error.advice))
    return checks, False
