"""Keys that hosts share: who accepted that, how it is taken back, and that it outlives the database."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from runtime.adapters.state import identities as module
from runtime.adapters.state.hosts import SqlHostBook, retire_keys
from runtime.adapters.state.identities import SqlIdentities
from runtime.adapters.state.settlements import (
    SharedKey,
    fingerprints,
    identities,
    settle,
    shared_keys,
    unsettle,
)
from runtime.adapters.state.store import State
from runtime.domain.identity import Claim, Finding, IdentityRecord, Note, Settled
from runtime.domain.model import Host
from runtime.domain.ports import PinnedKey
from tests.unit.state.support import NOON, StillClock, make_hosts, open_state

IMAGE = PinnedKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0p8xYv7Qm1Yt9B6f0a9mQw2c4s7d8e9f0a1b2c3d4e")
OWN = PinnedKey("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7")
LATER = NOON + dt.timedelta(hours=1)


def pin(state: State, key: PinnedKey, *hosts: Host) -> None:
    for host in hosts:
        asyncio.run(SqlHostBook(state, StillClock()).save(host, key, None))


def remember(state: State, host: Host, claim: Claim, finding: Finding | None = None) -> None:
    asyncio.run(
        SqlIdentities(state, StillClock()).remember(
            host, claim, finding or Finding(clear=True), record(state, host), at_once=True
        )
    )


def record(state: State, host: Host, claim: Claim | None = None, without: str = "") -> IdentityRecord:
    book = SqlIdentities(state, StillClock())
    asked = book.record(
        host,
        claim or Claim(),
        other=lambda name: name not in (host.name.lower(), without),
        named=frozenset(),
        suspects=frozenset(one.name.lower() for one in make_hosts(4)),
    )
    return asyncio.run(asked)


def test_keys_of_several_hosts_are_listed_and_those_of_one_are_not(state: State) -> None:
    first, second, third, _ = make_hosts(4)
    pin(state, IMAGE, first, second)
    pin(state, OWN, third)
    names = (first.name.lower(), second.name.lower())
    assert shared_keys(state, "acme") == (SharedKey(IMAGE.fingerprint, names, None),)
    assert shared_keys(state, "other") == ()
    retire_keys(state, "acme", second.name, by="ana", now=NOON)
    assert shared_keys(state, "acme") == ()


def test_an_acceptance_says_who_and_when_and_can_be_taken_back_and_given_again(state: State) -> None:
    pin(state, IMAGE, *make_hosts(3))
    done = settle(state, "acme", IMAGE.fingerprint, by="ana", now=NOON)
    assert (done.before, done.now) == (None, Settled("ana", NOON))
    assert settle(state, "acme", IMAGE.fingerprint, by="rui", now=LATER).now == Settled("ana", NOON)
    assert record(state, make_hosts(1)[0]).settled == Settled("ana", NOON)
    assert unsettle(state, "acme", IMAGE.fingerprint, by="rui", now=LATER).before == Settled("ana", NOON)
    assert unsettle(state, "acme", IMAGE.fingerprint, by="rui", now=LATER).before is None
    assert record(state, make_hosts(1)[0]).settled is None
    assert settle(state, "acme", IMAGE.fingerprint, by="rui", now=LATER).now == Settled("rui", LATER)
    with state.read() as connection:
        told = connection.exec_driver_sql("SELECT settled_by, undone_by FROM settled_keys ORDER BY id").all()
    assert [tuple(row) for row in told] == [("ana", "rui"), ("rui", None)]


def test_who_accepts_the_machine_of_a_key_of_one_host_is_recorded_and_can_be_taken_back(state: State) -> None:
    [host] = make_hosts(1)
    pin(state, OWN, host)
    assert settle(state, "acme", OWN.fingerprint, by="ana", now=NOON).now is None  # it has said nothing yet
    remember(state, host, Claim("till", "", 1, 201), Finding(True, "changed", "another name"))
    done = settle(state, "acme", OWN.fingerprint, by="ana", now=NOON)
    assert (done.hosts, done.before, done.now) == ((host.name.lower(),), None, Settled("ana", NOON))
    again = settle(state, "acme", OWN.fingerprint, by="rui", now=LATER)
    assert (again.before, again.now) == (Settled("ana", NOON), Settled("ana", NOON))
    known = identities(state, "acme")[host.name.lower()]
    assert (known.note, known.accepted) == (None, Settled("ana", NOON))
    assert record(state, host).settled is None  # another host with this key is not accepted with it
    taken = unsettle(state, "acme", OWN.fingerprint, by="rui", now=LATER)
    assert (taken.before, taken.now) == (Settled("ana", NOON), None)
    assert (record(state, host).remembered, record(state, host).accepted) == (None, False)
    assert unsettle(state, "acme", OWN.fingerprint, by="rui", now=LATER).before is None


@pytest.mark.parametrize(("after", "accepted"), [("", True), ("undo", False), ("rekey", False)])
def test_what_a_machine_was_accepted_as_survives_a_damaged_database(tmp_path: Path, after: str, accepted: bool) -> None:
    [host] = make_hosts(1)
    with open_state(tmp_path) as state:
        pin(state, OWN, host)
        remember(state, host, Claim("pdv202", "", 1, 202), Finding(False, "another_host", "It is another."))
        settle(state, "acme", OWN.fingerprint, by="ana", now=NOON)
        if after == "undo":
            unsettle(state, "acme", OWN.fingerprint, by="ana", now=LATER)
        if after == "rekey":
            retire_keys(state, "acme", host.name, by="ana", now=LATER)
            pin(state, OWN, host)
    (tmp_path / "state.db").write_bytes(b"garbage" * 1000)
    with open_state(tmp_path) as state:
        found = record(state, host)
        assert (found.remembered, found.accepted) == (Claim("pdv202", "", 1, 202) if accepted else None, accepted)


@pytest.mark.parametrize("damage", ["database", "database, after it was taken back"])
def test_an_acceptance_survives_a_damaged_database(tmp_path: Path, damage: str) -> None:
    with open_state(tmp_path) as state:
        pin(state, IMAGE, *make_hosts(3))
        settle(state, "acme", IMAGE.fingerprint, by="ana", now=NOON)
        if "taken back" in damage:
            unsettle(state, "acme", IMAGE.fingerprint, by="ana", now=LATER)
    (tmp_path / "state.db").write_bytes(b"garbage" * 1000)
    with open_state(tmp_path) as state:
        [key] = shared_keys(state, "acme")
        assert len(key.hosts) == 3
        assert key.settled == (None if "taken back" in damage else Settled("ana", NOON))


def test_a_fingerprint_may_be_given_by_its_beginning(state: State) -> None:
    pin(state, IMAGE, *make_hosts(2))
    pin(state, OWN, make_hosts(3)[2])
    assert fingerprints(state, "acme", IMAGE.fingerprint[:12]) == (IMAGE.fingerprint,)
    assert set(fingerprints(state, "acme", "SHA256:")) == {IMAGE.fingerprint, OWN.fingerprint}
    assert fingerprints(state, "acme", "SHA256:%") == ()
    assert fingerprints(state, "other", "SHA256:") == ()


def test_hosts_that_do_not_count_are_passed_over(state: State) -> None:
    first, second, third = make_hosts(3)
    pin(state, IMAGE, first, second)
    assert record(state, first, without=second.name.lower()).same_key == ()
    pin(state, IMAGE, third)
    assert record(state, first, without=second.name.lower()).same_key == (third.name.lower(),)
    never_met = make_hosts(4)[3]
    assert record(state, first).rivals == (second.name.lower(), third.name.lower(), never_met.name.lower())
    pin(state, OWN, never_met)
    assert record(state, first).rivals == (second.name.lower(), third.name.lower())


def test_an_entry_with_two_ports_is_one_host(state: State) -> None:
    first, second = make_hosts(2)
    other_port = dataclasses.replace(second, port=2222)
    pin(state, IMAGE, first, second, other_port)
    claim = Claim("till", "a" * 32)
    for host in (second, other_port):
        remember(state, host, claim)
    found = record(state, first, claim)
    assert found.same_key == (second.name.lower(),)
    assert found.same_machine_id == (second.name.lower(),)
    assert record(state, second, claim).same_key == (first.name.lower(),)


@pytest.mark.parametrize("others", [0, 1, module._LISTED - 1, module._LISTED, 3 * module._LISTED])
def test_a_clone_is_found_behind_any_number_of_others_that_do_not_count(state: State, others: int) -> None:
    """However few names come with the first answer, the one that counts is among those that were read."""
    host, *gone, clone = make_hosts(others + 2)
    pin(state, IMAGE, host, *gone, clone)
    claim = Claim("till", "a" * 32)
    for one in (*gone, clone):
        remember(state, one, claim)
    asked = SqlIdentities(state, StillClock()).record(
        host, claim, other=lambda name: name == clone.name.lower(), named=frozenset(), suspects=frozenset()
    )
    found = asyncio.run(asked)
    only = (clone.name.lower(),)
    assert (found.same_key, found.same_machine_id, found.id_seen_at, found.namesakes) == (only, only, only, only)


def test_what_did_not_change_is_not_written_again(state: State) -> None:
    [host] = make_hosts(1)
    pin(state, OWN, host)
    remember(state, host, Claim("till", "a" * 32))
    log = state.folder / "state.db-wal"
    before = log.read_bytes()
    remember(state, host, Claim("till", "a" * 32))
    assert log.read_bytes() == before
    remember(state, host, Claim("till", "b" * 32))
    assert log.read_bytes() != before
    remember(state, host, Claim("till", "a" * 32))
    assert record(state, host).remembered == Claim("till", "a" * 32)


def test_a_doubt_is_kept_beside_what_the_right_machine_is_known_by(state: State) -> None:
    [host] = make_hosts(1)
    pin(state, OWN, host)
    remember(state, host, Claim("till", "a" * 32))
    remember(state, host, Claim("other", "b" * 32), Finding(False, "another_host", "It is another.", "Look."))
    found = record(state, host)
    assert (found.remembered, found.said) == (Claim("till", "a" * 32), Claim("other", "b" * 32))
    assert found.note == Note("another_host", "It is another. Look.")
    remember(state, host, Claim("till", "a" * 32))
    assert record(state, host).note is None


def test_every_question_about_a_login_is_answered_by_an_index(state: State) -> None:
    questions = [
        module._AROUND.statement,
        module._SAME_KEY,
        module._SAME_ID_KNOWN,
        module._SAME_ID_MET,
        module._SAME_NAME_MET,
    ]
    with state.read() as connection:
        for question in questions:
            compiled = question.compile(connection.engine)
            values = ("",) * len(compiled.positiontup or ())
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
            scans = [row.detail for row in plan if row.detail.startswith("SCAN")]
            # `few` holds what an index has found.
            assert [scan for scan in scans if not scan.startswith(("SCAN CONSTANT", "SCAN few"))] == []
