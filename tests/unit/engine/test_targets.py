"""Values of filters that select nothing: each is named, with what was perhaps meant, and none is dropped in silence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtime.domain.errors import NoHostMatched
from runtime.domain.model import Host, Missing, RunInfo, Selector
from runtime.domain.names import parse_terminal
from runtime.domain.pipeline import Request
from runtime.domain.selection import select
from runtime.domain.targets import missing, places, require_found
from tests.unit.engine.in_memory import config, host, job

FLEET = [
    host(201, address="10.0.0.21", groups=("ACME", "Pilot"), tags=(("floor", "1"),), triggers=("7", "Down")),
    host(202, address="10.0.0.22", display_name="Caixa 202"),
    host(201, id="s2", name="ACME-LOJA002-PDV201", store=2, address="10.0.0.31", groups=("ACME/South",)),
    host(1, id="self", name="ACME-LOJA002-SELF01", store=2, address=""),
]
PDV999 = "ACME-LOJA001-PDV999"

# what is asked -> what selects nothing, as a person reads it
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "everything matches": ({"names": ("acme-loja001-pdv201", "caixa 202")}, []),
    "one of two names": (
        {"names": ("ACME-LOJA001-PDV201", PDV999)},
        [f"--host {PDV999} (near: ACME-LOJA001-PDV201, ACME-LOJA001-PDV202, ACME-LOJA002-PDV201)"],
    ),
    "the end of a name": (
        {"names": ("PDV201",)},
        ["--host PDV201 (near: ACME-LOJA001-PDV201, ACME-LOJA002-PDV201)"],
    ),
    "one of two stores": ({"stores": (1, 9)}, ["--loja 9"]),
    "a terminal by number": ({"terminals": (203, 201)}, ["--pdv 203 (near: PDV201, PDV202)"]),
    "a terminal of the other kind": (
        {"terminals": (parse_terminal("SELF201"), 202)},
        ["--pdv SELF201 (near: SELF1)"],
    ),
    "one of two addresses": (
        {"addresses": ("10.0.0.23", "10.0.0.22")},
        ["--ip 10.0.0.23 (near: 10.0.0.21, 10.0.0.22, 10.0.0.31)"],
    ),
    "a group that holds another": ({"groups": ("ACME", "pilot", "acme/south")}, []),
    "a name between blanks": ({"names": (" ACME-LOJA001-PDV201 ", "caixa 202")}, []),
    "one of two groups": ({"groups": ("pilot", "Pilots")}, ["--group Pilots (near: Pilot)"]),
    "a tag that no host has": ({"tags": (("floor", "2"),)}, ["--tag floor=2 (near: floor=1)"]),
    "a store that the other filters exclude": (
        {"stores": (1, 2), "terminals": (202,)},
        ["--loja 2 (matches 2 hosts, but not together with the other filters)"],
    ),
    "filters that exclude each other": (
        {"names": ("ACME-LOJA001-PDV201",), "stores": (2,)},
        [
            "--loja 2 (matches 2 hosts, but not together with the other filters)",
            "--host ACME-LOJA001-PDV201 (matches 1 host, but not together with the other filters)",
        ],
    ),
    "one of two triggers": ({"trigger_ids": ("7", "8")}, ["--trigger-id 8"]),
    "one of two trigger texts": ({"trigger_names": ("Down", "Disk full")}, ["--trigger-name Disk full"]),
    "a limit drops nothing that was asked for": ({"stores": (1, 2), "limit": 1}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_value_that_selects_no_host_is_named_with_similar_values(case: str) -> None:
    given, expected = CASES[case]
    selector = Selector(**given)
    found = missing(selector, FLEET, select(FLEET, replace(selector, limit=None)))
    assert [str(one) for one in found] == expected


def test_where_no_trigger_is_in_problem_only_the_trigger_is_named() -> None:
    selector = Selector(trigger_ids=("8",), stores=(1,))
    assert [str(one) for one in missing(selector, [], [])] == ["--trigger-id 8"]


def info(**given: Any) -> RunInfo:
    request = Request("look_at_value", selector=Selector(names=("x",)), **given)
    return job(request, config()).info


def refused(asked: RunInfo, found: list[Missing], chosen: list[Host]) -> NoHostMatched:
    with pytest.raises(NoHostMatched) as caught:
        require_found(asked, found, chosen)
    return caught.value


def test_a_missing_value_stops_a_manual_run_with_advice() -> None:
    error = refused(info(), [Missing("--host", PDV999)], FLEET)
    assert (error.exit_code, error.reason) == (5, "no_host_matched")
    assert PDV999 in error.message
    assert "Nothing was touched" in error.message
    assert "--ignore-missing to go on with 4 hosts" in error.advice


def test_a_scheduled_run_or_one_with_ignore_missing_continues_unless_no_host_is_left() -> None:
    found = [Missing("--host", PDV999)]
    for asked in (info(ignore_missing=True), info(origin="schedule:night")):
        require_found(asked, found, FLEET)
        assert "--ignore-missing" not in refused(asked, found, []).advice


def test_a_long_list_of_missing_values_is_named_in_part_and_counted() -> None:
    found = [Missing("--host", f"X{number}") for number in range(50)]
    message = refused(info(), found, FLEET).message
    assert "--host X19; and 30 more" in message
    assert "X20" not in message


def test_a_host_of_no_known_store_counts_as_a_store_of_its_own() -> None:
    assert places(FLEET) == 2
    assert places([*FLEET, host(7, store=None), host(8, store=None)]) == 4


def test_thousands_of_missing_names_in_a_large_network_are_found_at_once() -> None:
    hosts = [host(number, id=str(number)) for number in range(20_000)]
    selector = Selector(names=tuple(f"none-{number}" for number in range(2_000)))
    found = missing(selector, hosts, [])
    assert len(found) == 2_000
    assert sum(bool(one.near) for one in found) <= 10
