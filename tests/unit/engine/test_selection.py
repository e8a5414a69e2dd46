"""Filters: every given one holds, numbers are numbers, and nothing is widened by mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtime.core.model import Selector
from runtime.core.names import parse_terminal
from runtime.core.selection import select
from tests.unit.engine.world import host

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
    "agent status": ({"agent_status": 2}, ["LOJA001-PDV201"]),
    "provider": ({"provider": "zanthus"}, ["LOJA002-PDV201"]),
    "limit": ({"limit": 2}, ["LOJA001-PDV20", "LOJA001-PDV201"]),
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
def test_a_till_and_a_self_checkout_of_one_number_are_told_apart(asked: str, expected: list[str]) -> None:
    roles = {"PDV001": "checkout", "SELF01": "self_checkout", "PDV001-SELF": "self_checkout", "SCO1": "self_checkout"}
    tills = [
        host(number, id=name, name=f"PDV-SELF-LOJA001-{name}", role=roles.get(name, "checkout"))
        for name, number in (("PDV001", 1), ("SELF01", 1), ("PDV001-SELF", 1), ("SCO1", 1), ("CX7", 7))
    ]
    selected = select(tills, Selector(terminals=(parse_terminal(asked),)))
    assert {one.id for one in selected} == set(expected)


def test_the_same_host_is_never_selected_twice() -> None:
    assert len(select([*FLEET, replace(FLEET[0], id="again")], Selector())) == len(FLEET)


@pytest.mark.parametrize(
    ("given", "explicit"),
    [
        ({}, False),
        ({"agent_status": 2}, False),
        ({"limit": 5}, False),
        ({"provider": "arius"}, False),
        ({"stores": (1,)}, True),
        ({"names": ("x",)}, True),
        ({"all": True}, True),
        ({"trigger_ids": ("7",)}, True),
    ],
)
def test_only_saying_which_hosts_is_explicit(given: dict[str, Any], explicit: bool) -> None:
    assert Selector(**given).explicit is explicit
