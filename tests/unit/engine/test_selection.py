"""Filters: every given one holds, numbers are numbers, and nothing is widened by mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.config import Effect
from runtime.domain.errors import UsageFault
from runtime.domain.model import Host, Listing, Selector
from runtime.domain.names import parse_terminal
from runtime.domain.selection import select
from tests.unit.engine.in_memory import host

FLEET = [
    host(20, address="10.0.0.20", groups=("ACME",)),
    host(201, address="10.0.0.21", tags=(("floor", "1"), ("kind", "fast")), agent_status=2, groups=("ACME",)),
    host(201, id="s2", name="ACME-LOJA002-PDV201", store=2, address="10.0.0.22", provider="zanthus"),
    host(202, address="", display_name="ACME (LOJA001) PDV202", groups=("ACME", "Pilot")),
]

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing given": ({}, ["LOJA001-PDV20", "LOJA001-PDV201", "LOJA001-PDV202", "LOJA002-PDV201"]),
    "PDV20 is not PDV201": ({"terminals": (20,)}, ["LOJA001-PDV20"]),
    "a terminal in every store": ({"terminals": (201,)}, ["LOJA001-PDV201", "LOJA002-PDV201"]),
    "store and terminal": ({"stores": (2,), "terminals": (201,)}, ["LOJA002-PDV201"]),
    "store and terminal that do not meet": ({"stores": (2,), "terminals": (20,)}, []),
    "address": ({"addresses": ("10.0.0.21",)}, ["LOJA001-PDV201"]),
    "a substring of an address": ({"addresses": ("10.0.0.2",)}, []),
    "address and another store": ({"addresses": ("10.0.0.21",), "stores": (2,)}, []),
    "name without case": ({"names": ("acme-loja001-pdv20",)}, ["LOJA001-PDV20"]),
    "visible name": ({"names": ("ACME (LOJA001) PDV202",)}, ["LOJA001-PDV202"]),
    "part of a name": ({"names": ("PDV20",)}, []),
    "group": ({"groups": ("pilot",)}, ["LOJA001-PDV202"]),
    "one tag": ({"tags": (("floor", "1"),)}, ["LOJA001-PDV201"]),
    "both tags must be there": ({"tags": (("floor", "1"), ("kind", "slow"))}, []),
    "both tags and no other": ({"tags": (("floor", "1"), ("kind", "fast"))}, ["LOJA001-PDV201"]),
    "agent status": ({"agent_status": 2}, ["LOJA001-PDV201"]),
    "provider": ({"provider": "zanthus"}, ["LOJA002-PDV201"]),
    "limit": ({"limit": 2}, ["LOJA001-PDV20", "LOJA001-PDV201"]),
    "a trigger that the inventory has looked up": ({"trigger_ids": ("7",), "stores": (2,)}, ["LOJA002-PDV201"]),
    "a trigger's text that the inventory has looked up": (
        {"trigger_names": ("Down",), "stores": (2,)},
        ["LOJA002-PDV201"],
    ),
    "all with a filter is still filtered": ({"all": True, "stores": (2,)}, ["LOJA002-PDV201"]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_given_filter_holds(case: str) -> None:
    given, expected = CASES[case]
    assert [h.name.removeprefix("ACME-") for h in select(FLEET, Selector(**given))] == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("PDV001", ["PDV001", "PDV001-SELF"]),
        ("SELF01", ["SELF01", "PDV001-SELF", "SCO1"]),
        ("1", ["PDV001", "SELF01", "PDV001-SELF", "SCO1"]),
        ("PDV7", ["CX7"]),
        ("SELF7", []),
    ],
)
def test_a_till_and_a_self_checkout_of_one_number_are_distinguished(asked: str, expected: list[str]) -> None:
    roles = {"PDV001": "checkout", "SELF01": "self_checkout", "PDV001-SELF": "self_checkout", "SCO1": "self_checkout"}
    tills = [
        host(number, id=name, name=f"PDV-SELF-LOJA001-{name}", role=roles.get(name, "checkout"))
        for name, number in (("PDV001", 1), ("SELF01", 1), ("PDV001-SELF", 1), ("SCO1", 1), ("CX7", 7))
    ]
    selected = select(tills, Selector(terminals=(parse_terminal(asked),)))
    assert {one.id for one in selected} == set(expected)


def test_hosts_are_in_the_order_of_stores_and_terminals_and_those_without_a_store_are_last() -> None:
    ordered = [
        host(id="1", name="ACME-LOJA002-TC4", store=2, terminal=None),
        host(1, id="2", name="acme-LOJA002-PDV1", store=2),
        host(9, id="8", name="ACME-LOJA002-PDV9", store=2),
        host(20, id="3", name="ACME-LOJA002-PDV20", store=2),
        host(3, id="4", name="ACME-LOJA010-PDV3", store=10),
        host(3, id="5", name="acme-loja010-self3", store=10),
        host(id="6", name="balanca", store=None, terminal=None),
        host(id="7", name="Balanca 2", store=None, terminal=None),
    ]
    assert select(ordered[::-1], Selector()) == ordered


def test_the_same_host_is_never_selected_twice_and_a_name_in_another_case_is_not_dropped() -> None:
    assert len(select([*FLEET, FLEET[0]], Selector())) == len(FLEET)
    other = replace(FLEET[0], id="again", name=FLEET[0].name.lower())
    assert set(select([*FLEET, other], Selector())) == {*FLEET, other}


ONE, TWO = host(201, display_name="Caixa 1"), host(202, display_name="Caixa 2", address="10.0.0.2")
# entries that a run may select, entries that only protect, what is typed, and what is selected or named in the refusal
MEANT: dict[str, tuple[list[Host], list[Host], str, list[Host] | str]] = {
    "a technical name": ([ONE, TWO], [], "acme-loja001-pdv201", [ONE]),
    "a visible name": ([ONE, TWO], [], " caixa 2", [TWO]),
    "nobody's name": ([ONE, TWO], [], "Caixa 3", []),
    "one host's own two names": (
        [replace(ONE, display_name=ONE.name.lower()), TWO],
        [],
        ONE.name,
        [replace(ONE, display_name=ONE.name.lower())],
    ),
    "a visible name of two": ([ONE, replace(TWO, display_name="CAIXA 1")], [], "Caixa 1", "ambiguous"),
    "a visible name that is another's technical name": (
        [ONE, replace(TWO, display_name=ONE.name)],
        [],
        ONE.name,
        "ambiguous",
    ),
    "the same, of a host that is disabled": ([replace(TWO, display_name=ONE.name)], [ONE], ONE.name, "ambiguous"),
    "a visible name that a disabled host has too": (
        [ONE],
        [replace(TWO, display_name="Caixa 1")],
        "Caixa 1",
        "ambiguous",
    ),
    "a visible name of one of a host's two entries": (
        [ONE, replace(ONE, id="copy", display_name="Caixa 9")],
        [],
        "Caixa 9",
        [ONE, replace(ONE, id="copy", display_name="Caixa 9")],
    ),
    "a disabled host": ([TWO], [ONE], ONE.name, []),
    "two technical names but for case": ([ONE, replace(TWO, name=ONE.name.lower())], [], ONE.name.title(), "ambiguous"),
    "one of them exactly": ([ONE, replace(TWO, name=ONE.name.lower())], [], ONE.name, [ONE]),
}


@pytest.mark.parametrize("case", MEANT)
def test_a_name_selects_one_host_or_is_refused_with_all_that_it_may_mean(case: str) -> None:
    hosts, others, typed, expected = MEANT[case]
    listing = Listing(tuple(hosts), tuple(others))
    if isinstance(expected, list):
        assert select(listing, Selector(names=(typed,))) == expected
        return
    with pytest.raises(UsageFault) as caught:
        select(listing, Selector(names=(TWO.name, typed) if TWO in hosts else (typed,)))
    assert caught.value.reason == "ambiguous_name"
    assert all(one.name in caught.value.message for one in (*hosts, *others))


def test_a_group_includes_its_nested_groups_and_no_group_with_the_same_beginning() -> None:
    nested, alike, outer = (
        host(number, id=str(number), groups=(group,))
        for number, group in ((1, "Pilot/Store 1/Front"), (2, "Pilots/Store 1"), (3, "ACME/Pilot"))
    )
    assert select([nested, alike, outer], Selector(groups=("pilot",))) == [nested]
    assert select([nested, alike, outer], Selector(groups=("pilot/store 1",))) == [nested]


@pytest.mark.parametrize(
    ("given", "effects"),
    [
        ({}, ["read"]),
        ({"agent_status": 2}, ["read"]),
        ({"limit": 5}, ["read"]),
        ({"provider": "arius"}, ["read"]),
        ({"terminals": (203,)}, ["read", "change"]),
        ({"terminals": (203,), "limit": 1}, ["read", "change"]),
        ({"terminals": (203,), "stores": (1,)}, ["read", "change", "disrupt"]),
        ({"terminals": (203,), "all": True}, ["read", "change", "disrupt"]),
        ({"stores": (1,)}, ["read", "change", "disrupt"]),
        ({"names": ("x",)}, ["read", "change", "disrupt"]),
        ({"addresses": ("10.0.0.1",)}, ["read", "change", "disrupt"]),
        ({"groups": ("x",)}, ["read", "change", "disrupt"]),
        ({"tags": (("a", "b"),)}, ["read", "change", "disrupt"]),
        ({"all": True}, ["read", "change", "disrupt"]),
        ({"trigger_ids": ("7",)}, ["read", "change", "disrupt"]),
    ],
)
def test_a_selector_names_targets_for_these_effects(given: dict[str, Any], effects: list[str]) -> None:
    every: tuple[Effect, ...] = ("read", "change", "disrupt")
    assert [effect for effect in every if Selector(**given).explicit_for(effect)] == effects
