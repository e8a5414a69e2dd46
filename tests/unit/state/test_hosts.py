"""Pinned keys and memory of hosts."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt

import pytest

from runtime.adapters.state.hosts import (
    SqlHostBook,
    accept_lost_keys,
    key_history,
    known_hosts,
    retire_keys,
)
from runtime.adapters.state.store import State
from runtime.domain.model import Host
from runtime.domain.ports import PinnedKey, SshNotes
from tests.unit.state.support import NOON, StillClock, complete_run, make_hosts, make_info, make_result

FIRST = PinnedKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0p8xYv7Qm1Yt9B6f0a9mQw2c4s7d8e9f0a1b2c3d4e")
SECOND = PinnedKey("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7")


def _load(state: State, host: Host) -> PinnedKey | None:
    return asyncio.run(SqlHostBook(state, StillClock()).get(host))[0]


def _pin(state: State, host: Host, key: PinnedKey) -> None:
    asyncio.run(SqlHostBook(state, StillClock()).save(host, key, None))


def test_a_pinned_key_stays_whatever_is_offered_later(state: State) -> None:
    [host] = make_hosts(1)
    assert _load(state, host) is None
    _pin(state, host, FIRST)
    _pin(state, host, SECOND)
    assert _load(state, host) == FIRST


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"address": "10.9.9.9", "display_name": "moved", "id": "7"}, True),
        ({"name": "ACME-LOJA000-PDV00"}, True),
        ({"port": 2222}, False),
        ({"network": "other"}, False),
        ({"name": "acme-Loja000-PDV01"}, False),
    ],
)
def test_a_key_belongs_to_network_name_and_port(state: State, changes: dict[str, object], known: bool) -> None:
    [host] = make_hosts(1)
    _pin(state, host, FIRST)
    other = dataclasses.replace(host, **changes)  # type: ignore[arg-type]
    assert (_load(state, other) == FIRST) is known


def test_a_rekey_retires_every_port_and_leaves_a_history(state: State) -> None:
    [host] = make_hosts(1)
    other_port = dataclasses.replace(host, port=2222)
    _pin(state, host, FIRST)
    _pin(state, other_port, FIRST)
    retired = retire_keys(state, host.network, host.name.upper(), by="ana", now=NOON + dt.timedelta(days=1))
    assert {record.port for record in retired} == {22, 2222}
    assert _load(state, host) is None
    _pin(state, host, SECOND)
    assert _load(state, host) == SECOND
    history = [(r.port, r.key, r.retired_by) for r in key_history(state, host.network, host.name)]
    assert history == [(22, FIRST, "ana"), (2222, FIRST, "ana"), (22, SECOND, None)]
    assert retire_keys(state, host.network, "nobody", by="ana", now=NOON) == ()


def test_nothing_is_blocked_on_a_first_start(state: State) -> None:
    assert accept_lost_keys(state) is False


def test_what_a_login_took_is_remembered_beside_the_last_facts(state: State) -> None:
    async def visit() -> None:
        book = SqlHostBook(state, StillClock())
        assert await book.get(host) == (None, SshNotes())
        await book.save(host, FIRST, SshNotes("modern"))
        await book.save(host, None, notes)
        await complete_run(state, make_info(), [make_result(host)])
        assert await book.get(host) == (FIRST, notes)

    [host] = make_hosts(1)
    notes = SshNotes("sha1", ("key exchange: diffie-hellman-group1-sha1",), "root")
    asyncio.run(visit())
    [known] = known_hosts(state, host.network).values()
    assert (known.name, known.port, known.notes) == (host.name.lower(), 22, notes)
    assert known.facts == {"distro": "ubuntu", "version": "22.04"}
    assert known.last_seen == NOON
    assert known_hosts(state, "other") == {}
