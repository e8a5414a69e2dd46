"""The question before a run by hand counts and names the hosts that it would touch, and no others."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
from typing import Any

import pytest

from runtime.cli.confirmation import Confirmation, asked_about, described, needed
from runtime.cli.output import Out
from runtime.domain.errors import UsageFault
from runtime.domain.model import Host, Selector
from runtime.domain.pipeline import Request, RunPlan
from runtime.engine import gates
from runtime.engine.forecast import Expected, Forecast
from tests.unit.engine.in_memory import NOON, config, host, job, knowledge

TILLS = [host(number, address=f"10.0.0.{number}", provider="arius") for number in (201, 202, 203, 204)]
HUB = host(1, name="ACME-LOJA001-CONCENTRADOR", address="10.0.0.9", role="concentrator", provider="arius")
ELSEWHERE = host(301, name="ACME-LOJA002-PDV301", address="10.0.1.1", store=2, provider="zanthus")
FROZEN = {"id": "black", "start": "2026-03-10T00:00", "end": "2026-03-11T00:00", "stores": [1]}


def asked(action: str, hosts: list[Host], **document: Any) -> tuple[RunPlan, Expected]:
    settings = config(**document)
    made = job(Request(action, selector=Selector(all=True)), settings)
    rules = gates.policy(settings, knowledge().providers, ())
    return made, Forecast(hosts, rules).expect(made, NOON)


def test_a_protected_host_is_neither_counted_nor_named_among_those_that_are_touched() -> None:
    text = described(*asked("power_off", [HUB, *TILLS]))
    assert text == (
        "power_off disrupts 4 of 5 selected hosts in 1 store of ACME: ACME-LOJA001-PDV201, ACME-LOJA001-PDV202, "
        "ACME-LOJA001-PDV203 and 1 more. Left alone: 1 protected or of another role (ACME-LOJA001-CONCENTRADOR). "
        "What it does: Off."
    )


def test_a_confirmation_of_all_hosts_names_only_them() -> None:
    text = described(*asked("power_off", TILLS[:1]))
    assert text == "power_off disrupts 1 host in 1 store of ACME: ACME-LOJA001-PDV201. What it does: Off."


def test_hosts_that_are_left_alone_whatever_the_time_is_need_no_question() -> None:
    made, expected = asked("power_off", [HUB])
    assert (needed(made, [HUB]), asked_about(made, expected)) == (True, False)
    two_stores = [TILLS[0], ELSEWHERE]  # the rollout leaves the second alone
    made, expected = asked("set_value", two_stores)
    assert (needed(made, two_stores), asked_about(made, expected)) == (True, False)


def test_what_a_freeze_keeps_now_is_asked_about_because_the_freeze_ends() -> None:
    made, expected = asked("power_off", TILLS, freeze=[FROZEN])
    assert asked_about(made, expected)
    text = described(made, expected)
    assert "disrupts none of 4 selected hosts of ACME at this moment." in text
    assert "Left alone: 4 frozen (ACME-LOJA001-PDV201)." in text


def test_in_a_pipe_the_refusal_has_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = asked("power_off", [HUB, *TILLS])
    rules = gates.policy(config(), knowledge().providers, ())
    monkeypatch.setattr("sys.stdin", io.StringIO())
    out = Out("lines", io.StringIO(), io.StringIO())
    now = dt.datetime.now(dt.UTC)
    with pytest.raises(UsageFault, match="disrupts 4 of 5 selected hosts in 1 store"):
        asyncio.run(Confirmation(out, rules, lambda: now, yes=False)(made, [HUB, *TILLS]))
    asyncio.run(Confirmation(out, rules, lambda: now, yes=True)(made, [HUB, *TILLS]))
