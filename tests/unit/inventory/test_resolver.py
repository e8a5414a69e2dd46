"""DNS names of an inventory: asked for in parallel, for a limited time, only to protect."""

from __future__ import annotations

import threading
from collections.abc import Collection

from runtime.adapters.resolver import resolve, with_names_resolved
from runtime.domain.machines import grouped
from runtime.domain.model import Listing
from tests.unit.engine.in_memory import host

BOOK = {"hub.example": ("10.0.0.1",), "both.example": ("10.0.0.2", "::ffff:10.0.0.3")}


def ask(name: str) -> Collection[str]:
    try:
        return BOOK[name]
    except KeyError:
        raise OSError(name) from None


def test_a_name_stands_for_all_its_addresses_in_the_form_in_which_they_are_compared() -> None:
    found = resolve(["both.example", "nobody.example"], ask=ask)
    assert found.addresses == {"both.example": ("10.0.0.2", "10.0.0.3")}
    assert (found.unknown, found.unanswered) == (("nobody.example",), ())


def test_a_dead_name_server_costs_the_limit_once_for_any_number_of_names_and_is_reported() -> None:
    answer = threading.Event()

    def stuck(name: str) -> Collection[str]:
        if name != "hub.example":
            answer.wait(60)
        return ask(name)

    names = [*(f"till{at}.example" for at in range(100)), "hub.example"]
    entries = [host(at, addresses=("10.1.0.1", name)) for at, name in enumerate(reversed(names))]
    found, notices = with_names_resolved(entries, limit=0.2, ask=stuck)
    answer.set()
    assert found[0].addresses == ("10.1.0.1", "hub.example", "10.0.0.1")
    assert found[1:] == entries[1:]
    (notice,) = notices
    assert "no name server answered within 0.2 s for till" in notice
    assert "and 95 more" in notice


def test_a_concentrator_that_is_known_by_its_name_protects_the_address_that_the_name_stands_for() -> None:
    hub = host(1, name="ACME-LOJA001-CONCENTRADOR", role="concentrator", address="", addresses=("hub.example",))
    entries, notices = with_names_resolved([host(201, addresses=("10.0.0.1",)), hub], ask=ask)
    till = grouped(Listing(tuple(entries))).hosts[0]
    assert set(till.machine.roles) == {"checkout", "concentrator"}
    assert till.address == "10.0.0.1"
    assert notices == ()


def test_an_answer_that_a_name_server_gives_for_every_unknown_name_makes_no_machine_of_all() -> None:
    entries = [
        host(
            at,
            address=f"10.1.0.{at}",
            addresses=(f"10.1.0.{at}", f"gone{at}.example"),
            reached_as=(f"gone{at}.example",),
        )
        for at in range(1, 21)
    ]
    found, notices = with_names_resolved(entries, ask=lambda name: ("203.0.113.9",))
    assert found == entries
    assert "203.0.113.9" in notices[0]
    store = [*entries, host(99, address="203.0.113.9", role="proxy")]
    found, notices = with_names_resolved(store, ask=lambda name: ("203.0.113.9",))
    assert all("203.0.113.9" in one.addresses for one in found[:-1])
    assert notices == ()


def test_nothing_is_asked_for_addresses() -> None:
    def never(name: str) -> Collection[str]:
        raise AssertionError(name)

    entries = [host(201, addresses=("10.0.0.1", "2001:db8::1", "localhost"))]
    assert with_names_resolved(entries, ask=never) == (entries, ())
