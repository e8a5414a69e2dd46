"""The gates of a host one by one: their order, what each refuses, and the sentence that is recorded."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from contracts.config import Role
from runtime.domain.machines import grouped
from runtime.domain.model import Allow, Deny, Host, Listing, Outcome, Reason, Selector, Verdict
from runtime.domain.pipeline import Request
from runtime.engine import gates
from tests.unit.engine import in_memory

SALE = {"id": "sale", "start": "2026-03-10T08:00", "end": "2026-03-10T20:00", "reason": "sales day"}
NIGHT = {"id": "night", "start": "2026-03-10T08:00", "end": "2026-03-11T06:00", "stores": [2]}


def policy(**document: Any) -> gates.Policy:
    return gates.policy(in_memory.config(**document), in_memory.knowledge().providers, ())


def early(
    host: Host, document: dict[str, Any] | None = None, now: dt.datetime = in_memory.NOON, **request: Any
) -> dict[str, Verdict]:
    action = request.pop("action", "set_value")
    job = in_memory.job(
        Request(action, **{"selector": Selector(all=True), **request}), in_memory.config(**(document or {}))
    )
    return dict(gates.early(host, job.binding(host.provider), job, policy(**(document or {})), now))


def test_the_gates_before_a_connection_have_one_order_and_a_plain_host_passes_all() -> None:
    found = early(in_memory.host(provider="arius"))
    assert list(found) == ["role", "rollout", "freeze", "time"]
    assert all(isinstance(verdict, Allow) for verdict in found.values())


def test_each_gate_is_asked_whatever_another_one_said() -> None:
    host = in_memory.host(provider="zanthus", role="proxy")
    found = early(host, {"freeze": [SALE]}, not_after=in_memory.NOON)
    assert all(isinstance(verdict, Deny) for verdict in found.values())


@pytest.mark.parametrize(
    ("seconds", "denied"), [(-1, False), (0, True), (1, True)], ids=["a second before", "at that instant", "after it"]
)
def test_a_run_starts_no_host_from_the_instant_of_its_not_after(seconds: int, denied: bool) -> None:
    now = in_memory.NOON + dt.timedelta(seconds=seconds)
    verdict = early(in_memory.host(provider="arius"), now=now, not_after=in_memory.NOON)["time"]
    assert isinstance(verdict, Deny) is denied
    if isinstance(verdict, Deny):
        assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.SKIPPED, Reason.REFUSED, "not_after")
        assert verdict.message == "not to be started after 2026-03-10 12:00:00 -03"


@pytest.mark.parametrize(
    ("role", "roles", "message"),
    [
        (
            "price_check",
            ("checkout", "self_checkout"),
            "a price-check; this action touches only: checkout, self_checkout",
        ),
        ("proxy", ("self_checkout", "checkout"), "a proxy; this action touches only: checkout, self_checkout"),
        ("checkout", ("price_check",), "a checkout; this action touches only: price_check"),
        ("checkout", (), "a checkout; this action touches only: none"),
    ],
)
def test_a_role_that_the_action_does_not_touch_is_refused_with_those_that_it_does(
    role: Role, roles: tuple[Role, ...], message: str
) -> None:
    action = dataclasses.replace(in_memory.SET, roles=frozenset(roles))
    verdict = gates.role(in_memory.host(role=role), action, policy())
    assert verdict == Deny(Outcome.SKIPPED, Reason.PROTECTED_ROLE, message)


def test_an_action_for_concentrators_may_touch_the_configured_ones() -> None:
    action = dataclasses.replace(in_memory.SET, roles=frozenset[Role]({"concentrator"}))
    rules = policy(concentrators=[{"address": "10.0.0.1"}])
    assert gates.role(in_memory.host(role="concentrator"), action, rules) == Allow("concentrator")


def test_a_read_on_a_host_named_by_itself_that_is_in_the_rollout_needs_no_exemption() -> None:
    selector = Selector(names=("ACME-LOJA001-PDV201",))
    verdict = gates.rolled_out(in_memory.host(provider="arius"), in_memory.LOOK, selector, policy())
    assert isinstance(verdict, Allow)
    assert verdict.note.startswith("arius is rolled out to 100 %")


def test_a_host_outside_the_rollout_is_told_of_its_own_place_first() -> None:
    twin = in_memory.host(203, provider="zanthus")
    host = grouped(Listing((in_memory.host(provider="zanthus"), twin))).hosts[0]
    verdict = gates.rolled_out(host, in_memory.SET, Selector(all=True), policy())
    assert isinstance(verdict, Deny)
    assert verdict.message.startswith("zanthus is rolled out to 0 %")


@pytest.mark.parametrize(
    ("freezes", "stores", "message"),
    [
        ([SALE], (1,), "freeze sale until 2026-03-10 20:00 -03: sales day"),
        ([NIGHT], (2,), "freeze night until 2026-03-11 06:00 -03"),
        ([SALE, NIGHT], (1,), "freeze sale until 2026-03-10 20:00 -03: sales day"),
        ([SALE, NIGHT], (1, 2), "freeze night until 2026-03-11 06:00 -03"),
        ([NIGHT], (1,), None),
    ],
)
def test_the_freeze_that_lasts_longest_at_any_store_of_the_machine_counts(
    freezes: list[dict[str, Any]], stores: tuple[int, ...], message: str | None
) -> None:
    entries = [
        in_memory.host(200 + store, name=f"ACME-LOJA00{store}-PDV{200 + store}", store=store) for store in stores
    ]
    host = grouped(Listing(tuple(entries))).hosts[0]
    verdict = gates.frozen(host, in_memory.SET, policy(freeze=freezes), in_memory.NOON.astimezone(dt.UTC))
    if message is None:
        assert isinstance(verdict, Allow)
    else:
        assert verdict == Deny(
            Outcome.SKIPPED, Reason.FROZEN, message, verdict.detail if isinstance(verdict, Deny) else ""
        )
        assert message.startswith(f"freeze {verdict.detail} ")


@pytest.mark.parametrize(
    ("effect", "answer", "allowed"),
    [
        ("change", "", True),
        ("change", "sale open", False),
        ("disrupt", "sale open", False),
        ("read", "sale open", True),
    ],
)
def test_a_busy_terminal_is_only_looked_at(effect: Any, answer: str, allowed: bool) -> None:
    verdict = gates.busy(dataclasses.replace(in_memory.SET, effect=effect), answer)
    assert verdict == (Allow() if allowed else Deny(Outcome.SKIPPED, Reason.TERMINAL_BUSY, "in use: sale open"))
