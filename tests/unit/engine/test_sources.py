"""Subjects that are no terminals: the same gates, dry-run, intent and outcomes, with a driver of their own for each kind."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from runtime.domain.action import Action, Decision, Done, Params, Script, Stage
from runtime.domain.deliveries import AnswerLost, Deliver, Delivery, Parcel, Receipt, Rejected
from runtime.domain.errors import NoHostMatched, RunError, UsageFault
from runtime.domain.model import Host, HostResult, Listing, Reason, RunReport, Selector
from runtime.domain.sources import ApiCall, NetworkFacts, Query, Row, SourceFacts
from runtime.engine.concentrator import Concentrators
from runtime.engine.network import Networks
from runtime.engine.run import Listener, execute
from tests.unit.engine import in_memory
from tests.unit.engine.in_memory import World

HUB = {"address": "10.0.0.100", "name": "ACME-LOJA001-HUB", "store": 1}
OTHER = {"address": "10.0.2.100", "name": "ACME-LOJA002-HUB", "store": 2}


class Wanted(Params):
    wanted: str = "new"
    most: int = 2


def deliver_all(facts: SourceFacts, params: Wanted, host: Host) -> Decision:
    rows = facts.rows["coupons"]
    if not rows:
        return Done({"watermark": facts.watermark})
    step = Deliver("coupons", "api", tuple(rows))
    return Stage("deliver", (step,), confirm="receipt", watermark=str(rows[-1]["id"]))


def set_macro(facts: NetworkFacts, params: Wanted, host: Host) -> Decision:
    (row,) = facts.rows["macro"]
    if row["value"] == params.wanted:
        return Done({"members": [member.name for member in facts.members]})
    call = ApiCall("set the macro", "usermacro.update", {"value": params.wanted})
    return Stage("macro", (call,), settle=0.0, summary=(f"macro -> {params.wanted}",))


COLLECT = Action(
    "collect_rows",
    (),
    "1.0.0",
    "Collect.",
    "read",
    target="concentrator",
    roles=frozenset({"concentrator"}),
    params=Wanted,
    queries=(Query("coupons", "mysql", "SELECT ..."),),
    decide=deliver_all,
)
MACRO = Action(
    "set_macro",
    (),
    "1.0.0",
    "Set.",
    "change",
    target="network",
    roles=frozenset(),
    params=Wanted,
    queries=(Query("macro", "zabbix", "usermacro.get"),),
    decide=set_macro,
)


@dataclass
class Parts:
    """Source, sink, API and local state in memory. ``errors``: what the next requests raise or answer; None: all is well."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    macro: str = "old"
    ignored: bool = False
    watermark: str = ""
    waiting: Delivery | None = None
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    unrecorded: set[str] = field(default_factory=set)
    slow: float = 0.0

    @contextlib.asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Parts]:
        self.log.append(f"connect {host.name}")
        yield self

    async def read(self, query: Query, values: Mapping[str, Any]) -> Sequence[Row]:
        self.asked.append(values)
        await asyncio.sleep(self.slow)
        if query.source == "zabbix":
            return [{"value": self.macro}]
        return [row for row in self.rows if row["id"] > int(values["watermark"] or 0)][: values["P_most"]]

    async def call(self, step: ApiCall) -> str:
        self.log.append(f"{step.method} {step.params['value']}")
        self._trouble()
        if not self.ignored:
            self.macro = step.params["value"]
        return "1 macro"

    async def deliver(self, parcel: Parcel) -> Receipt:
        self.log.append(f"deliver {parcel.key} {parcel.payload}")
        return self._trouble() or Receipt(parcel.rows)

    def _trouble(self) -> Receipt | None:
        error = self.errors.pop(0) if self.errors else None
        if isinstance(error, Exception):
            raise error
        return error if isinstance(error, Receipt) else None

    async def load(self, host: Host, action: str) -> tuple[str, Delivery | None]:
        return self.watermark, self.waiting

    async def begin(self, delivery: Delivery) -> None:
        self._note("begin")
        self.waiting = delivery

    async def withdraw(self, delivery: Delivery) -> None:
        self._note("withdraw")
        self.waiting = None

    async def acknowledge(self, delivery: Delivery) -> None:
        self._note("acknowledge")
        self.watermark, self.waiting = delivery.watermark, None

    def _note(self, what: str) -> None:
        if what in self.unrecorded:
            raise RunError("state_full", "the disk is full", "free some")
        self.log.append(what)

    @property
    def done(self) -> list[str]:
        """The verbs, without what they were about."""
        return [line.split()[0] for line in self.log]


class Inventory:
    def read(self, selector: Selector) -> Listing:
        return Listing((in_memory.host(201), in_memory.host(202)))


def run(one: World, parts: Parts, action: Action = COLLECT, **request: Any) -> RunReport:
    one.known = in_memory.knowledge(action)
    context = dataclasses.replace(
        one.context(action.name, **request),
        drivers={
            "concentrator": Concentrators(parts, {"api": parts}, parts, timeout=0.3),
            "network": Networks(parts, timeout=0.3),
        },
    )
    listener = Listener(selected=lambda job, hosts: None, result=lambda result: None)
    report, trouble = asyncio.run(execute(context.plan, context, Inventory(), one.document, listener))
    assert trouble is None
    return report


def of_hub(parts: Parts, action: Action = COLLECT, **request: Any) -> HostResult:
    """The outcome at one concentrator, or of the network."""
    (result,) = run(World({}, document=in_memory.config(concentrators=[HUB])), parts, action, **request).results
    return result


def verdict(result: HostResult) -> tuple[str, str, str]:
    return result.outcome.value, result.reason.value, result.detail


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in ids]


# -- concentrators


def test_a_delivery_is_durable_before_it_is_sent_and_moves_the_watermark_only_after_its_receipt() -> None:
    parts = Parts(rows(1, 2, 3))
    result = of_hub(parts)
    assert verdict(result) == ("changed", "confirmed", "")
    assert parts.done == ["connect", *["begin", "deliver", "acknowledge"] * 2]
    assert (parts.watermark, result.report) == ("3", {"watermark": "3"})
    assert result.host.name == "ACME-LOJA001-HUB"
    assert (result.steps[0].output, result.steps[0].exit_code) == ("2 rows acknowledged by api", None)
    assert result.facts == {"watermark": "3", "rows": {"coupons": 0}}


def test_queries_get_the_watermark_and_the_parameters_as_values() -> None:
    parts = Parts(rows(1))
    of_hub(parts, params={"most": 7})
    assert parts.asked == [{"watermark": mark, "P_wanted": "new", "P_most": 7} for mark in ("", "1")]


def test_what_a_sink_refuses_whole_is_read_anew_by_the_next_run() -> None:
    parts = Parts(rows(1), errors=[Rejected("HTTP 422")])
    result = of_hub(parts)
    assert verdict(result) == ("failed", "step_failed", "deliver")
    assert result.message == "deliver: coupons failed: api took nothing: HTTP 422"
    assert (parts.waiting, parts.watermark) == (None, "")


LOST: dict[str, tuple[Any, tuple[str, str, str], str]] = {
    "no answer": (
        AnswerLost("ended the connection without an answer"),
        ("unknown", "connection_lost", "deliver"),
        "api ended the connection without an answer; whether it took the rows is not known",
    ),
    "a part": (
        Receipt(1, {"2": "no such till"}),
        ("failed", "step_failed", "deliver"),
        "api acknowledged 1 of 2 rows (refused: 2: no such till)",
    ),
    "a receipt for all that names a refused row": (
        Receipt(2, {"2": "no such till"}),
        ("failed", "step_failed", "deliver"),
        "api acknowledged 2 of 2 rows (refused: 2: no such till)",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_what_has_no_whole_receipt_is_delivered_again_under_the_same_key_before_anything_new(case: str) -> None:
    answer, expected, said = LOST[case]
    parts = Parts(rows(1, 2), errors=[answer])
    result = of_hub(parts, run_id="run-1")
    assert verdict(result) == expected
    assert said in result.message
    assert parts.watermark == ""
    parts.rows += rows(3)
    again = of_hub(parts)
    assert verdict(again) == ("changed", "confirmed", "")
    sent = [line for line in parts.log if line.startswith("deliver")]
    assert (len(sent), sent[0] == sent[1], sent[2] != sent[1]) == (3, True, True)
    assert "2 rows again, which run run-1 had sent without a receipt" in again.plan
    assert parts.watermark == "3"


def test_rows_that_are_sent_again_and_then_refused_wait_on() -> None:
    parts = Parts(rows(1), errors=[AnswerLost("hung up"), Rejected("HTTP 503")])
    of_hub(parts)
    waiting = parts.waiting
    assert verdict(of_hub(parts)) == ("failed", "step_failed", "deliver")
    assert (parts.waiting, parts.watermark) == (waiting, "")
    assert "withdraw" not in parts.done


def test_a_sink_that_is_late_is_unknown() -> None:
    class Late(Parts):
        async def deliver(self, parcel: Parcel) -> Receipt:
            await asyncio.sleep(5)
            return Receipt(parcel.rows)

    parts = Late(rows(1))
    result = of_hub(parts)
    assert verdict(result) == ("unknown", "deadline", "deliver")
    assert "api had not acknowledged deliver after 0 s" in result.message
    assert parts.waiting is not None


def test_a_source_that_is_late_fails_and_delivers_nothing() -> None:
    parts = Parts(rows(1), slow=5.0)
    result = of_hub(parts)
    assert verdict(result) == ("failed", "deadline", "observe")
    assert "mysql had not answered coupons" in result.message
    assert parts.done == ["connect"]


def test_a_dry_run_neither_delivers_nor_keeps_a_delivery() -> None:
    parts = Parts(rows(1))
    assert verdict(of_hub(parts, dry_run=True)) == ("would_change", "dry_run", "")
    assert parts.done == ["connect"]


@pytest.mark.parametrize(
    ("what", "verbs", "said"),
    [
        ("begin", ["connect"], "nothing was changed because it could not be recorded first: the disk is full"),
        ("acknowledge", ["connect", "begin", "deliver"], "deliver was acknowledged, but this could not be recorded"),
    ],
)
def test_a_delivery_that_cannot_be_recorded_is_told_and_moves_nothing(what: str, verbs: list[str], said: str) -> None:
    parts = Parts(rows(1), unrecorded={what})
    result = of_hub(parts)
    assert verdict(result) == ("failed", "not_recorded", "state_full")
    assert result.message.startswith(said)
    assert (parts.done, parts.watermark) == (verbs, "")


def stage_with(**changes: Any) -> Callable[[SourceFacts, Wanted, Host], Decision]:
    def decide(facts: SourceFacts, params: Wanted, host: Host) -> Decision:
        stage = deliver_all(facts, params, host)
        return dataclasses.replace(stage, **changes) if isinstance(stage, Stage) else stage

    return decide


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"watermark": ""}, "does not move the watermark"),
        ({"steps": (Deliver("coupons", "elsewhere", ()),)}, "there is no sink elsewhere"),
        ({"steps": (Deliver("coupons", "api", ({"id": {1}},)),)}, "TypeError"),
        ({"steps": (Script("write", "x"),)}, "only reads, but asked to apply deliver"),
        ({"confirm": "state"}, "asks for a state, which no concentrator gives"),
    ],
)
def test_a_stage_that_can_have_no_receipt_is_not_begun(changes: dict[str, Any], said: str) -> None:
    parts = Parts(rows(1))
    result = of_hub(parts, dataclasses.replace(COLLECT, decide=stage_with(**changes)))
    assert verdict(result)[:2] == ("failed", "internal")
    assert said in result.message
    assert parts.done == ["connect"]


def test_a_stage_that_leaves_the_watermark_where_it_is_is_not_delivered() -> None:
    parts = Parts(rows(2), watermark="1")
    result = of_hub(parts, dataclasses.replace(COLLECT, decide=stage_with(watermark="1")))
    assert "does not move the watermark" in result.message
    assert parts.done == ["connect"]


def test_two_collections_of_one_action_at_a_concentrator_never_run_at_once() -> None:
    parts, one = Parts(rows(1)), World({}, document=in_memory.config(concentrators=[HUB]))
    one.locks.holders = {"ACME-LOJA001-HUB": "locked by run 7"}
    (result,) = run(one, parts).results
    assert verdict(result) == ("skipped", "host_locked", "")
    assert one.locks.names == ["collect_rows"]
    assert parts.log == []


def test_filters_select_among_the_concentrators_of_the_configuration() -> None:
    one = World({}, document=in_memory.config(concentrators=[HUB, OTHER]))
    report = run(one, Parts(), selector=Selector(stores=(2,)))
    assert [(result.host.name, result.host.role) for result in report.results] == [("ACME-LOJA002-HUB", "concentrator")]
    with pytest.raises(NoHostMatched):
        run(World({}, document=in_memory.config(concentrators=[HUB])), Parts(), selector=Selector(stores=(2,)))


# -- a network


def test_a_network_is_one_subject_that_knows_its_members() -> None:
    parts = Parts()
    result = of_hub(parts, MACRO)
    assert verdict(result) == ("changed", "confirmed", "")
    assert (result.host.name, result.host.id) == ("ACME", "network:ACME")
    assert result.report == {"members": ["ACME-LOJA001-PDV201", "ACME-LOJA001-PDV202"]}
    assert parts.log == ["connect ACME", "usermacro.update new"]
    assert [(step.name, step.status, step.output) for step in result.steps] == [("set the macro", "done", "1 macro")]
    assert verdict(of_hub(parts, MACRO)) == ("ok", "done", "")


def test_a_network_that_has_no_hosts_yet_is_a_subject_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inventory, "read", lambda self, selector: Listing())
    assert of_hub(Parts(), MACRO).report == {"members": []}


def test_a_network_is_not_changed_by_a_dry_run_or_in_a_freeze() -> None:
    parts = Parts()
    assert verdict(of_hub(parts, MACRO, dry_run=True)) == ("would_change", "dry_run", "")
    freeze = {"id": "sale", "start": "2026-03-10T08:00", "end": "2026-03-10T20:00", "reason": "sales day"}
    (result,) = run(World({}, document=in_memory.config(freeze=[freeze])), parts, MACRO).results
    assert verdict(result) == ("skipped", "frozen", "sale")
    assert parts.log == ["connect ACME"]


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (Rejected("no permissions"), ("failed", "step_failed", "macro"), "set the macro failed: no permissions"),
        (AnswerLost("reset"), ("unknown", "connection_lost", "macro"), "was not answered: reset; whether it was done"),
    ],
)
def test_what_an_api_answers_is_the_outcome_of_the_network(error: Exception, expected: Any, said: str) -> None:
    result = of_hub(Parts(errors=[error]), MACRO)
    assert verdict(result) == expected
    assert said in result.message


def test_a_change_that_the_network_does_not_show_is_not_confirmed() -> None:
    result = of_hub(Parts(ignored=True), MACRO)
    assert verdict(result) == ("failed", "not_converged", "macro")
    assert "the network still is not as it should be" in result.message


def test_an_api_that_is_late_fails_before_a_change_and_is_unknown_after_one() -> None:
    assert verdict(of_hub(Parts(slow=5.0), MACRO)) == ("failed", "deadline", "observe")

    class Late(Parts):
        async def call(self, step: ApiCall) -> str:
            await asyncio.sleep(5)
            return ""

    assert verdict(of_hub(Late(), MACRO)) == ("unknown", "deadline", "macro")


# -- which subject


def test_a_provider_cannot_replace_an_action_by_one_on_another_kind_of_subject() -> None:
    one = World({}, document=in_memory.config(overrides={"arius": {"set_value": "set_macro"}}))
    one.known = in_memory.knowledge(in_memory.SET, MACRO)
    with pytest.raises(UsageFault, match="a network instead of a terminal"):
        one.context("set_value")


def test_a_subject_that_nothing_drives_is_an_outcome_and_not_a_crash() -> None:
    one = World({}, known=in_memory.knowledge(COLLECT), document=in_memory.config(concentrators=[HUB]))
    context = one.context("collect_rows")
    listener = Listener(selected=lambda job, hosts: None, result=lambda result: None)
    report, _ = asyncio.run(execute(context.plan, context, Inventory(), one.document, listener))
    assert (report.results[0].reason, report.results[0].message) == (
        Reason.INTERNAL,
        "nothing in this version drives a concentrator",
    )
