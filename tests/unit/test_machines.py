"""Entries that may reach one machine: what counts as the same, and that whatever protects one protects all."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from runtime.actions import shutdown_endpoint
from runtime.domain.action import Refused, Stage
from runtime.domain.facts import Facts
from runtime.domain.machines import canonical, grouped, is_address, same_as, shared_machines
from runtime.domain.model import Allow, Deny, Host, Listing, Outcome, Reason, Selector
from runtime.engine import gates
from tests.unit.engine import in_memory

LATE = dt.datetime(2026, 3, 10, 23, 0, tzinfo=in_memory.ZONE)


def till(number: int = 201, **more: Any) -> Host:
    return in_memory.host(number, **{"address": f"10.0.0.{number - 200}", **more})


def hub(**more: Any) -> Host:
    return till(1, **{"name": "ACME-LOJA001-CONCENTRADOR", "role": "concentrator", "address": "10.0.0.99", **more})


A, B = till(201), till(203)
# name -> (entries, who shares a machine with whom: numbers of the entries that are one)
SAME: dict[str, tuple[list[Host], list[set[int]]]] = {
    "different addresses": ([A, B], []),
    "one address": ([A, replace(B, address=A.address)], [{0, 1}]),
    "an interface of any kind": ([A, replace(B, addresses=(B.address, A.address))], [{0, 1}]),
    "an interface that only both others have": (
        [replace(A, addresses=(A.address, "10.9.9.9")), replace(B, addresses=(B.address, "10.9.9.9"))],
        [{0, 1}],
    ),
    "one DNS name": (
        [replace(A, addresses=(A.address, "till.example")), replace(B, address="", addresses=("till.example",))],
        [{0, 1}],
    ),
    "through a third": (
        [A, B, till(204, addresses=("10.0.0.4", A.address, B.address))],
        [{0, 1, 2}],
    ),
    "one name in two spellings": ([A, till(201, id="copy", name="acme-loja1-pdv201", address="10.7.7.7")], [{0, 1}]),
    "no address at all": ([replace(A, address=""), replace(B, address="")], []),
    "loopback on another interface": (
        [
            replace(A, addresses=(A.address, "127.0.0.1", "::1", "localhost")),
            replace(B, addresses=("127.0.0.1", "localhost")),
        ],
        [],
    ),
    "addresses that mean another machine everywhere": (
        [
            replace(
                one,
                addresses=(
                    one.address,
                    "",
                    "localhost.localdomain",
                    "0.0.0.0",
                    "::",
                    "169.254.0.5",
                    "fe80::1",
                    "224.0.0.1",
                ),
            )
            for one in (A, B)
        ],
        [],
    ),
    "localhost by name that is connected to": ([replace(A, address="localhost"), replace(B, address="localhost")], []),
    "localhost by name that is reached": (
        [replace(one, address="localhost", reached_as=("localhost",)) for one in (A, B)],
        [],
    ),
    "one address that both are reached at": (
        [replace(one, address="10.0.0.1", reached_as=("10.0.0.1",)) for one in (A, B)],
        [{0, 1}],
    ),
    "one name that both are reached by": ([replace(one, reached_as=("till.example",)) for one in (A, B)], [{0, 1}]),
    "loopback that is connected to": ([replace(A, address="127.0.0.1"), replace(B, address="127.0.0.1")], [{0, 1}]),
    "a store behind one address with a port for each": (
        [replace(A, port=2201), replace(B, port=2203, address=A.address)],
        [],
    ),
    "the same, by a DNS name of that interface": (
        [
            replace(
                one,
                port=one.port + at,
                address="10.0.0.7",
                addresses=("10.0.0.7", "shop.example"),
                reached_as=("shop.example",),
            )
            for at, one in enumerate((A, B))
        ],
        [],
    ),
    "one that cannot be connected to has no port, so none of its own": (
        [
            replace(A, port=2222, address="10.0.0.7", addresses=("10.0.0.7", "till.example")),
            replace(B, address="", addresses=("10.0.0.7", "hub.example"), reached_as=("10.0.0.7", "hub.example")),
        ],
        [{0, 1}],
    ),
    "loopback of one that cannot be connected to": (
        [replace(A, address="127.0.0.1"), replace(B, address="", addresses=("127.0.0.1",), reached_as=("127.0.0.1",))],
        [],
    ),
    "two entries on one of several ports": (
        [replace(A, port=2201), replace(B, port=2203, address=A.address), till(205, port=2203, address=A.address)],
        [{1, 2}],
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_entries_are_one_machine_when_they_may_reach_it(case: str) -> None:
    entries, expected = SAME[case]
    for order in (entries, entries[::-1]):
        found = grouped(Listing(tuple(order[:1]), tuple(order[1:]))).entries
        machines = [{entries.index(entry) for entry in machine.certain} for machine in shared_machines(found)]
        assert machines == expected
        for entry in found:
            for other in entry.machine.certain:
                assert other == entry or same_as(entry, other).startswith(f"the same machine as {other.name} (")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("10.0.0.1", "10.0.0.1"),
        (" 10.0.0.1 ", "10.0.0.1"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("FE80::0001", "fe80::1"),
        ("10.0.0.256", "10.0.0.256"),
        ("Till.Example.", "till.example"),
        ("LINUX.", "linux"),
        ("", ""),
    ],
)
def test_an_address_and_a_dns_name_have_one_form(text: str, form: str) -> None:
    assert canonical(text) == form


@pytest.mark.parametrize(
    ("text", "address"),
    [("10.0.0.1", True), ("10.0.0.256", False), ("::1", True), ("fe80::a", True), ("fe80::1%eth0", True),
     ("till.example", False), ("till1", False), ("10.0.0", False), ("till:x", False), ("", False)],
)  # fmt: skip
def test_an_address_is_told_from_a_name(text: str, address: bool) -> None:
    assert is_address(text) is address


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(B, address=A.address), "both have the address 10.0.0.1"),
        (replace(B, addresses=("10.9.9.9", A.address)), "both have the address 10.0.0.1"),
        (replace(B, addresses=("till.example",)), "both have the name till.example"),
        (replace(B, name="acme-loja1-pdv201"), "one name"),
        (B, "through what both share with other entries"),
    ],
)
def test_it_is_said_why_two_entries_are_taken_for_one_machine(other: Host, why: str) -> None:
    host = replace(A, addresses=(A.address, "10.8.8.8", "till.example"))
    assert same_as(host, other) == f"the same machine as {other.name} ({why})"


def test_entries_stay_those_that_a_run_may_select_and_those_that_only_protect() -> None:
    found = grouped(Listing((A,), (replace(B, address=A.address), till(204))))
    assert [[one.name for one in part] for part in (found.hosts, found.others)] == [
        [A.name],
        [B.name, "ACME-LOJA001-PDV204"],
    ]
    assert found.hosts[0].shared is found.others[0].shared
    assert found.others[1].shared is None


def test_tills_behind_one_address_with_a_port_for_each_share_nothing() -> None:
    tills = [
        till(200 + at, port=2200 + at, address="10.0.0.1", addresses=("10.0.0.1", f"10.5.0.{at}")) for at in (1, 2, 3)
    ]
    assert [one.shared for one in grouped(Listing(tuple(tills))).hosts] == [None, None, None]


def test_an_entry_without_a_port_protects_every_machine_behind_its_address_and_is_not_one_of_them() -> None:
    tills = [till(200 + port, port=port, address="10.0.0.1") for port in (2201, 2202)]
    router = Host(id="r", name="router of store 1", network="ACME", address="", addresses=("10.0.0.1",))
    first, second, found = grouped(Listing((*tills, router))).hosts
    assert shared_machines((first, second, found)) == []
    assert [set(one.machine.entries) for one in (first, second)] == [{tills[0], router}, {tills[1], router}]
    assert set(first.machine.locks) & set(second.machine.locks) == set()
    assert set(found.machine.locks) > set(first.machine.locks) | set(second.machine.locks)
    guarded = grouped(Listing((*tills, replace(router, role="proxy")))).hosts[0]
    assert isinstance(gates.role(guarded, in_memory.SET, policy()), Deny)


@pytest.mark.parametrize(
    "spread",
    [
        lambda at: {"address": f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}"},
        lambda at: {"address": "10.0.0.1"},
        lambda at: {"address": "10.0.0.1", "port": 1 + at},
        lambda at: {"address": "10.0.0.1" if at % 2 else "", "addresses": ("10.0.0.1",), "port": 1 + at},
    ],
    ids=["apart", "one machine", "a port for each", "half of them without a port"],
)
def test_the_work_grows_with_the_entries_and_not_with_their_pairs(spread: Any) -> None:
    """Counted, not timed: what a machine holds, and what a gate asks, however the entries share it."""
    entries = tuple(till(200 + at, id=str(at), name=f"ACME-LOJA001-PDV{at}", **spread(at)) for at in range(4_000))
    found = grouped(Listing(entries)).hosts
    assert len(found) == len(entries)
    held = {id(entry.shared): len(entry.shared.entries) for entry in found if entry.shared}
    assert sum(held.values()) <= 2 * len(entries)
    rules = policy(freeze=[{"id": "sale", "start": "2030-01-01T00:00", "end": "2030-01-02T00:00"}])
    assert all(isinstance(gates.rolled_out(one, in_memory.SET, Selector(), rules), Allow) for one in found)
    assert all(isinstance(gates.frozen(one, in_memory.SET, rules, in_memory.NOON), Allow) for one in found)
    assert max(len(one.machine.locks) for one in found[:50]) <= 17 + 2


def policy(**document: Any) -> gates.Policy:
    return gates.policy(in_memory.config(**document), in_memory.knowledge().providers, ())


def merged(*others: Host, own: Host = A) -> Host:
    """``own`` as a run gets it, beside entries that are only known."""
    return grouped(Listing((own,), others)).hosts[0]


TWIN = replace(B, address=A.address)
REFUSED: dict[str, tuple[Host, dict[str, Any], Reason, str]] = {
    "a concentrator by role": (hub(addresses=("10.0.0.99", A.address)), {}, Reason.PROTECTED_ROLE, "CONCENTRADOR"),
    "a proxy that is disabled": (
        till(1, name="ACME-PROXY", role="proxy", address=A.address, left_out="disabled"),
        {},
        Reason.PROTECTED_ROLE,
        "ACME-PROXY",
    ),
    "a price check": (
        till(1, name="ACME-LOJA001-TC1", role="price_check", address=A.address),
        {},
        Reason.PROTECTED_ROLE,
        "TC1",
    ),
    "an excluded template": (
        replace(TWIN, left_out="template", excluded=True),
        {},
        Reason.PROTECTED_ROLE,
        "excluded template",
    ),
    "an excluded template of another group": (
        replace(TWIN, left_out="group", excluded=True),
        {},
        Reason.PROTECTED_ROLE,
        "excluded template",
    ),
    "an excluded template of another network's": (
        replace(TWIN, left_out="network", excluded=True),
        {},
        Reason.PROTECTED_ROLE,
        "excluded template",
    ),
    "a configured concentrator by address": (
        replace(TWIN, addresses=(A.address, "10.9.9.9")),
        {"concentrators": [{"address": "10.9.9.9"}]},
        Reason.PROTECTED_ROLE,
        B.name,
    ),
    "a configured concentrator by its visible name": (
        replace(TWIN, display_name="Servidor Fundos"),
        {"concentrators": [{"address": "10.9.9.9", "name": "SERVIDOR fundos"}]},
        Reason.PROTECTED_ROLE,
        B.name,
    ),
    "never by name": (
        TWIN,
        {"rollout": {"arius": {"percent": 100, "never": [B.name]}}},
        Reason.ROLLOUT_EXCLUDED,
        B.name,
    ),
    "never by name, disabled": (
        replace(TWIN, left_out="disabled"),
        {"rollout": {"arius": {"percent": 100, "never": [B.name]}}},
        Reason.ROLLOUT_EXCLUDED,
        B.name,
    ),
    "never of the other's software house": (
        replace(TWIN, provider="zanthus"),
        {"rollout": {"arius": {"percent": 100}, "zanthus": {"percent": 100, "never": [B.name]}}},
        Reason.ROLLOUT_EXCLUDED,
        B.name,
    ),
    "never by an address of another interface": (
        replace(TWIN, addresses=(A.address, "10.9.9.9")),
        {"rollout": {"arius": {"percent": 100, "never": ["10.9.9.0/24"]}}},
        Reason.ROLLOUT_EXCLUDED,
        B.name,
    ),
    "never by DNS name": (
        replace(TWIN, addresses=(A.address, "caixa3.example")),
        {"rollout": {"arius": {"percent": 100, "never": ["Caixa3.example"]}}},
        Reason.ROLLOUT_EXCLUDED,
        B.name,
    ),
    "a share that the other is outside of": (
        replace(TWIN, provider="zanthus"),
        {"rollout": {"arius": {"percent": 100}, "zanthus": {"percent": 0}}},
        Reason.ROLLOUT_EXCLUDED,
        "zanthus",
    ),
    "a freeze of the other's store": (
        replace(TWIN, name="ACME-LOJA002-PDV203", store=2),
        {"freeze": [{"id": "sale", "start": "2026-03-10T08:00", "end": "2026-03-10T20:00", "stores": [2]}]},
        Reason.FROZEN,
        "sale",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_protects_one_entry_protects_its_machine(case: str) -> None:
    other, document, reason, named = REFUSED[case]
    rules = policy(**document)

    def verdicts(host: Host) -> list[Deny]:
        asked = (
            gates.role(host, in_memory.SET, rules),
            gates.rolled_out(host, in_memory.SET, Selector(all=True), rules),
            gates.frozen(host, in_memory.SET, rules, in_memory.NOON),
        )
        return [verdict for verdict in asked if isinstance(verdict, Deny)]

    assert verdicts(A) == []
    (denied,) = verdicts(merged(other))
    assert (denied.outcome, denied.reason) == (Outcome.SKIPPED, reason)
    assert named in denied.message


def test_a_second_name_or_a_disabled_copy_alone_protects_nothing() -> None:
    """Monitoring knows many a till twice. A share is drawn among entries that a run may touch."""
    rules = policy(rollout={"arius": {"percent": 0, "pilot": [A.name]}})
    free = Host(id="f", name="till software", network="ACME", address=A.address)
    host = merged(free, replace(TWIN, left_out="disabled"))
    assert isinstance(gates.role(host, in_memory.SET, rules), Allow)
    assert isinstance(gates.rolled_out(host, in_memory.SET, Selector(), rules), Allow)
    assert isinstance(gates.rolled_out(merged(TWIN), in_memory.SET, Selector(), rules), Deny)


def test_what_only_may_be_the_machine_is_asked_for_its_never_list_and_not_for_its_share() -> None:
    """Behind one address with a port for each till, an entry without a port may be any of them."""
    tills = [till(200 + port, port=port, address="10.0.0.1") for port in (2201, 2202)]
    other = till(9, name="ACME-LOJA001-PDV9", provider="zanthus", address="", addresses=("10.0.0.1",))
    host = grouped(Listing((*tills, other))).hosts[0]
    assert isinstance(gates.rolled_out(host, in_memory.SET, Selector(), policy()), Allow)
    rules = policy(rollout={"zanthus": {"percent": 100, "never": [other.name]}})
    denied = gates.rolled_out(host, in_memory.SET, Selector(), rules)
    assert isinstance(denied, Deny)
    assert other.name in denied.message


def test_the_stores_of_another_network_are_other_stores() -> None:
    rules = policy(freeze=[{"id": "sale", "start": "2026-03-10T08:00", "end": "2026-03-10T20:00", "stores": [2]}])
    foreign = replace(TWIN, name="OTHER-LOJA002-PDV203", network="OTHER", store=2, left_out="network")
    assert isinstance(gates.frozen(merged(foreign), in_memory.SET, rules, in_memory.NOON), Allow)
    storeless = replace(TWIN, name="spare till", store=None)
    assert isinstance(gates.frozen(merged(storeless), in_memory.SET, rules, in_memory.NOON), Allow)


POWER: dict[str, tuple[Host, dict[str, Any], str | None]] = {
    "nothing": (TWIN, {}, None),
    "an exception by the other's name": (TWIN, {"exceptions": [B.name]}, "exception"),
    "an exception by an address of the other": (
        replace(TWIN, addresses=(A.address, "10.9.9.9")),
        {"exceptions": ["10.9.9.9"]},
        "exception",
    ),
    "an exception by the other's visible name, disabled": (
        replace(TWIN, display_name="Caixa 3", left_out="disabled"),
        {"exceptions": ["caixa 3"]},
        "exception",
    ),
    "outside the window of the other's store": (
        replace(TWIN, name="ACME-LOJA002-PDV203", store=2),
        {"windows": [{"start": "22:00", "end": "06:00"}, {"start": "01:00", "end": "02:00", "stores": [2]}]},
        "outside_window",
    ),
}


def power_off(host: Host, **params: Any) -> Any:
    facts = Facts(
        observed_at=LATE, epoch=int(LATE.timestamp()), observed={"shutdown": "/sbin/shutdown", "looks_like": ""}
    )
    assert shutdown_endpoint.ACTION.decide is not None
    return shutdown_endpoint.ACTION.decide(facts, shutdown_endpoint.ShutdownParams.model_validate(params), host)


@pytest.mark.parametrize("case", POWER)
def test_a_machine_is_powered_off_only_when_every_entry_allows_it(case: str) -> None:
    other, params, code = POWER[case]
    assert isinstance(power_off(A, **params), Stage)
    decision = power_off(merged(other), **params)
    if code is None:
        assert isinstance(decision, Stage)
    else:
        assert isinstance(decision, Refused)
        assert decision.code == code


def test_a_power_off_is_valid_until_the_first_of_the_stores_windows_ends() -> None:
    windows = [{"start": "22:00", "end": "06:00"}, {"start": "22:00", "end": "23:30", "stores": [2]}]
    other = replace(TWIN, name="ACME-LOJA002-PDV203", store=2)
    decision = power_off(merged(other), windows=windows)
    assert isinstance(decision, Stage)
    assert decision.valid_until == LATE + dt.timedelta(minutes=30)
