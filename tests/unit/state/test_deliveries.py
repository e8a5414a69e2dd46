"""Watermarks and deliveries that wait for their receipt: one of each a subject and action, and never a step without the other."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from sqlalchemy import update

from contracts.bounded import MAX_BYTES
from runtime.adapters.state.deliveries import SqlDeliveries
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import deliveries
from runtime.domain.action import Stage
from runtime.domain.deliveries import Deliver, Delivery, delivery_of
from runtime.domain.model import Host
from tests.unit.state.support import StillClock

HUB = Host(id="h", name="ACME-LOJA001-HUB", network="ACME", address="10.0.0.100")


def delivery(*rows: int, action: str = "collect", host: Host = HUB, run_id: str = "run-1") -> Delivery:
    step = Deliver("coupons", "api", tuple({"id": row} for row in rows))
    stage = Stage("deliver", (step,), confirm="receipt", watermark=str(max(rows)))
    return delivery_of(stage, host, action, run_id)


def after(state: State, *verbs: tuple[str, Delivery], action: str = "collect", host: Host = HUB) -> Any:
    """What is known of the subject and action after these verbs."""

    async def go() -> Any:
        book = SqlDeliveries(state, StillClock())
        for verb, one in verbs:
            await getattr(book, verb)(one)
        return await book.load(host, action)

    return asyncio.run(go())


def test_nothing_is_known_before_the_first_delivery(state: State) -> None:
    assert after(state) == ("", None)


def test_a_delivery_that_has_begun_waits_as_it_was_sent(state: State) -> None:
    one = delivery(1, 2)
    assert after(state, ("begin", one)) == ("", one)
    again = delivery(1, 2, run_id="run-2")
    assert after(state, ("begin", again)) == ("", one), "the run that sent it first is kept"


def test_a_receipt_moves_the_watermark_and_ends_the_wait(state: State) -> None:
    one, two = delivery(1, 2), delivery(3)
    assert after(state, ("begin", one), ("acknowledge", one)) == ("2", None)
    assert after(state, ("begin", two)) == ("2", two)
    assert after(state, ("acknowledge", two)) == ("3", None)


def test_what_was_refused_whole_is_forgotten_and_moves_nothing(state: State) -> None:
    one = delivery(1)
    assert after(state, ("begin", one), ("withdraw", one)) == ("", None)


@pytest.mark.parametrize("verb", ["acknowledge", "withdraw"])
def test_a_delivery_that_does_not_wait_moves_nothing(verb: str, state: State) -> None:
    with pytest.raises(RuntimeError, match="no delivery of collect from ACME-LOJA001-HUB waits"):
        after(state, (verb, delivery(1)))
    assert after(state) == ("", None)


def test_other_rows_do_not_take_the_place_of_those_that_wait(state: State) -> None:
    one = delivery(1)
    with pytest.raises(RuntimeError, match="still waits for its receipt"):
        after(state, ("begin", one), ("begin", delivery(2)))
    assert after(state) == ("", one)


def test_each_subject_and_action_has_its_own(state: State) -> None:
    other = dataclasses.replace(HUB, name="ACME-LOJA002-HUB")
    elsewhere = dataclasses.replace(HUB, network="OTHER")
    first = delivery(1)
    others = [delivery(2, action="reconcile"), delivery(3, host=other), delivery(4, host=elsewhere)]
    assert after(state, ("begin", first), *(("begin", one) for one in others)) == ("", first)
    after(state, ("acknowledge", first))
    assert after(state, action="reconcile") == ("", others[0])
    assert after(state, host=other) == ("", others[1])
    assert after(state, host=elsewhere) == ("", others[2])


def test_rows_that_cannot_be_read_any_more_are_not_taken_for_none(state: State) -> None:
    after(state, ("begin", delivery(1)))
    state.write(lambda connection: connection.execute(update(deliveries).values(parcels="[{")))
    with pytest.raises(ValueError, match="cannot be read"):
        after(state)


def test_a_delivery_too_large_to_be_read_back_is_not_begun(state: State) -> None:
    step = Deliver("coupons", "api", ({"id": "x" * MAX_BYTES},))
    large = delivery_of(Stage("deliver", (step,), confirm="receipt", watermark="1"), HUB, "collect", "run-1")
    with pytest.raises(ValueError, match="too many for one delivery"):
        after(state, ("begin", large))
    assert after(state) == ("", None)


def test_the_same_rows_have_the_same_key_in_every_run_and_others_another() -> None:
    keys = {
        name: [parcel.key for parcel in one.parcels]
        for name, one in {
            "first": delivery(1, 2),
            "later": delivery(1, 2, run_id="run-2"),
            "more": delivery(1, 2, 3),
            "of another action": delivery(1, 2, action="reconcile"),
            "of another subject": delivery(1, 2, host=dataclasses.replace(HUB, name="ACME-LOJA002-HUB")),
        }.items()
    }
    assert keys["first"] == keys["later"]
    assert len({tuple(one) for one in keys.values()}) == 4
