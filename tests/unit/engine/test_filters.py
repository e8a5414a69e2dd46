"""The table of filters fits what it is written for: selectors, jobs, and a command line without two meanings of one option."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import click
import pytest

from contracts.config import JobSelector
from runtime.cli import filters as options
from runtime.domain.errors import UsageFault
from runtime.domain.filters import FILTERS, from_job, selector_json
from runtime.domain.model import Host, NamedTerminal, Selector
from tests.unit.engine import in_memory

NO_FILTERS = {"limit", "all"}  # they say how many, not which


def test_every_filter_has_a_field_of_the_selector_and_every_field_a_filter() -> None:
    fields = {field.name for field in dataclasses.fields(Selector)} - NO_FILTERS
    rows = {one.field for one in FILTERS}
    assert rows - fields == set(), "filters without a field of Selector"
    assert fields - rows == set(), "fields of Selector without a filter"


def test_every_filter_of_a_job_has_a_field_of_the_job_s_selector_and_every_field_a_filter() -> None:
    rows = {one.job_field for one in FILTERS if one.job_field}
    fields = set(JobSelector.model_fields) - NO_FILTERS
    assert rows - fields == set(), "filters that name no field of JobSelector"
    assert fields - rows == set(), "fields of JobSelector without a filter: a job would be for more hosts than it says"


def test_no_option_belongs_to_two_filters() -> None:
    counted = Counter(option for one in FILTERS for option in one.options)
    assert [option for option, number in counted.items() if number > 1] == [], "options that two filters claim"


SELF1 = NamedTerminal("SELF", 1)
# what is typed -> the selector, and the same as a run's JSON says it
TYPED: dict[str, tuple[list[str], Selector, dict[str, Any]]] = {
    "nothing": ([], Selector(), {}),
    "provider": (["--provider", "ARIUS"], Selector(provider="arius"), {"provider": "arius"}),
    "stores": (["--loja", "1,LOJA002", "--store", "3"], Selector(stores=(1, 2, 3)), {"stores": [1, 2, 3]}),
    "terminals": (
        ["--pdv", "201, SELF01", "--terminal", "7"],
        Selector(terminals=(201, SELF1, 7)),
        {"terminals": [201, "SELF1", 7]},
    ),
    "addresses": (
        ["--ip", "10.0.0.1,::1", "--pdv-ip", "10.0.0.2"],
        Selector(addresses=("10.0.0.1", "::1", "10.0.0.2")),
        {"addresses": ["10.0.0.1", "::1", "10.0.0.2"]},
    ),
    "a name may hold a comma": (
        ["--host", "Caixa 3, fundos"],
        Selector(names=("Caixa 3, fundos",)),
        {"names": ["Caixa 3, fundos"]},
    ),
    "a group may hold a comma": (
        ["--group", "A,B", "--group", "C"],
        Selector(groups=("A,B", "C")),
        {"groups": ["A,B", "C"]},
    ),
    "tags": (
        ["--tag", "b=2,3", "--tag", " a =x=y", "--tag", "c="],
        Selector(tags=(("a", "x=y"), ("b", "2,3"), ("c", ""))),
        {"tags": {"a": "x=y", "b": "2,3", "c": ""}},
    ),
    "trigger ids": (["--trigger-id", "7,8"], Selector(trigger_ids=("7", "8")), {"trigger_ids": ["7", "8"]}),
    "a trigger's text may hold a comma": (
        ["--trigger-name", "Down, again"],
        Selector(trigger_names=("Down, again",)),
        {"trigger_names": ["Down, again"]},
    ),
    "an agent of no known status": (["--agent-status", "0"], Selector(agent_status=0), {"agent_status": 0}),
    "an agent that is down": (["--agent-status", "2"], Selector(agent_status=2), {"agent_status": 2}),
    "a limit": (["--limit", "5"], Selector(limit=5), {"limit": 5}),
    "all": (["--all"], Selector(all=True), {"all": True}),
    "several": (
        ["--all", "--loja", "1", "--limit", "2"],
        Selector(stores=(1,), limit=2, all=True),
        {"stores": [1], "limit": 2, "all": True},
    ),
}


def typed(*argv: str) -> Selector:
    command = click.Command("hosts", params=options.options())
    return options.selector(command.make_context("hosts", list(argv)).params)


@pytest.mark.parametrize("case", TYPED)
def test_what_is_typed_is_one_selector_and_is_told_as_it_was_given(case: str) -> None:
    argv, selector, told = TYPED[case]
    assert typed(*argv) == selector
    assert selector_json(selector) == told


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--ip", "10.0.0.300"], "bad_address"),
        (["--ip", "10.0.0.1,till"], "bad_address"),
        (["--tag", "floor"], "bad_tag"),
        (["--tag", "=1"], "bad_tag"),
        (["--tag", " =1"], "bad_tag"),
        (["--tag", "a=1", "--tag", "a=2"], "bad_tag"),
        (["--loja", "first"], "bad_store"),
        (["--pdv", "TC1"], "bad_terminal"),
        (["--loja", " "], "empty_filter"),
        (["--group", ","], "empty_filter"),
        (["--provider", ""], "empty_filter"),
        (["--rede", ""], "empty_filter"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(argv: list[str], reason: str) -> None:
    with pytest.raises(UsageFault) as refused:
        typed(*argv)
    assert (refused.value.reason, refused.value.exit_code) == (reason, 2)


@pytest.mark.parametrize("status", ["-1", "3", "up"])
def test_an_agents_status_is_one_of_zabbixs_three(status: str) -> None:
    with pytest.raises(click.BadParameter):
        typed("--agent-status", status)


def test_the_filters_of_a_job_are_the_same_selector() -> None:
    given = {
        "all": True,
        "stores": [1],
        "terminals": [201],
        "hosts": ["Caixa 1"],
        "addresses": ["10.0.0.1"],
        "groups": ["Pilot"],
        "tags": {"b": "2", "a": "1"},
        "agent_status": 0,
        "provider": "arius",
    }
    assert from_job(JobSelector.model_validate(given)) == Selector(
        all=True,
        stores=(1,),
        terminals=(201,),
        names=("Caixa 1",),
        addresses=("10.0.0.1",),
        groups=("Pilot",),
        tags=(("a", "1"), ("b", "2")),
        agent_status=0,
        provider="arius",
    )
    assert from_job(JobSelector()) == Selector()


def row(field: str) -> Any:
    return next(one for one in FILTERS if one.field == field)


@pytest.mark.parametrize(
    ("field", "host", "near"),
    [
        ("terminals", in_memory.host(7), ["PDV7"]),
        ("terminals", in_memory.host(7, terminal=None), []),
        ("stores", in_memory.host(7), ["1"]),
        ("stores", in_memory.host(7, store=None), []),
        ("addresses", in_memory.host(7, address=""), []),
    ],
)
def test_only_a_host_that_has_such_a_value_is_near_one_that_was_asked_for(
    field: str, host: Host, near: list[str]
) -> None:
    assert list(row(field).named(host)) == near


@pytest.mark.parametrize(("typed_", "spelled"), [("203", "PDV203"), ("SELF1", "SELF1")])
def test_a_terminal_by_number_is_compared_as_a_till(typed_: str, spelled: str) -> None:
    assert row("terminals").spelled(typed_) == spelled
