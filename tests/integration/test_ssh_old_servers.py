"""Servers of other times: reached with what they know, remembered, and never weakened without a record."""

from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from runtime.domain.model import Outcome, Reason
from runtime.domain.ports import PinnedKey, SshNotes
from tests.harness import ssh_offer, sshd
from tests.harness.ports import LOOPBACK
from tests.harness.ssh_offer import KeyPair, Offer
from tests.integration.ssh_parts import (
    Doorman,
    State,
    a_host,
    a_remote,
    ask,
    ended,
    get_in,
    password,
    private_key,
    refusal,
    run,
)

NO_COMMON = (Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM)
RSA_ONLY = "PubkeyAcceptedAlgorithms ssh-rsa"
OFFERS = {
    "group1, ssh-rsa, cbc": ssh_offer.LEGACY_RSA,
    "group1, ssh-dss, cbc": ssh_offer.LEGACY_DSS,
    "group14-sha1": Offer(lines=("KexAlgorithms diffie-hellman-group14-sha1",)),
    "group exchange with sha1": Offer(lines=("KexAlgorithms diffie-hellman-group-exchange-sha1",)),
    "3des and md5": Offer(lines=("Ciphers 3des-cbc", "MACs hmac-md5")),
    "ssh-rsa": Offer(("rsa",), ("HostKeyAlgorithms ssh-rsa", RSA_ONLY)),
}
NEEDS = {
    "group1, ssh-rsa, cbc": ("key exchange: diffie-hellman-group1-sha1", "host key: ssh-rsa", "cipher: aes128-cbc"),
    "group1, ssh-dss, cbc": ("key exchange: diffie-hellman-group1-sha1", "host key: ssh-dss", "cipher: aes128-cbc"),
    "group14-sha1": ("key exchange: diffie-hellman-group14-sha1",),
    "group exchange with sha1": ("key exchange: diffie-hellman-group-exchange-sha1",),
    "3des and md5": ("cipher: 3des-cbc",),
    "ssh-rsa": ("host key: ssh-rsa",),
}


@pytest.fixture(scope="module", params=OFFERS)
def old(request: pytest.FixtureRequest, client_rsa_key: KeyPair) -> Iterator[tuple[str, sshd.SshServer]]:
    with sshd.openssh([client_rsa_key.public], OFFERS[request.param]) as running:
        yield request.param, running


def hangs_up(server: sshd.SshServer) -> int:
    """How often the server has given up a negotiation."""
    return server.child.log.read_text().count("Unable to negotiate")


def test_an_old_server_is_reached_and_what_it_needs_is_remembered(
    old: tuple[str, sshd.SshServer], client_rsa_key: KeyPair
) -> None:
    name, server = old
    state = State()
    remote = a_remote(private_key(server.user, client_rsa_key), state=state)
    host = a_host(server.address, server.port)
    before = hangs_up(server)
    assert run(ask(remote, host)).complete
    notes = state.notes[host.name]
    assert notes.profile == "legacy"
    assert notes.needs == NEEDS[name]
    refused = hangs_up(server) - before
    assert run(ask(remote, host)).complete
    assert hangs_up(server) - before == refused, "the second time it is met as it needs"
    assert len(state.written) == 1


def test_an_old_server_is_refused_where_the_configuration_forbids_it(
    old: tuple[str, sshd.SshServer], client_rsa_key: KeyPair
) -> None:
    _, server = old
    state = State()
    state.notes["loja1-pdv1"] = SshNotes("legacy")
    remote = a_remote(private_key(server.user, client_rsa_key), state=state, legacy_algorithms="refuse")
    error = run(refusal(remote, a_host(server.address, server.port)))
    assert ended(error) == NO_COMMON
    assert "ssh.legacy_algorithms is refuse" in error.message
    assert not state.keys


def test_a_modern_server_is_never_offered_old_algorithms(client_key: KeyPair) -> None:
    state = State()
    with sshd.openssh([client_key.public]) as server:
        assert run(
            ask(a_remote(private_key(server.user, client_key), state=state), a_host(server.address, server.port))
        ).complete
        wrong = a_remote(password(server.user, "x"), state=State())
        assert run(refusal(wrong, a_host(server.address, server.port))).reason is Reason.AUTH_FAILED
        assert hangs_up(server) == 0
    assert state.notes["loja1-pdv1"] == SshNotes("modern", (), "terminal-key")


def test_a_host_that_becomes_weaker_or_stronger_is_recorded() -> None:
    async def scene() -> None:
        state = State()
        key = asyncssh.generate_private_key("ssh-ed25519")
        for old_kex in (None, "diffie-hellman-group14-sha1", None):
            options = {"kex_algs": [old_kex]} if old_kex else {}
            async with Doorman({"root": "right"}).at_work(key, **options) as door:
                await get_in(a_remote(password("root", "right"), state=state), a_host(LOOPBACK, door.port))
        assert [notes.profile for notes in state.written] == ["modern", "legacy", "modern"]
        assert state.written[1].needs == ("key exchange: diffie-hellman-group14-sha1",)

    run(scene())


def test_without_a_common_algorithm_the_servers_offer_is_named() -> None:
    async def scene() -> None:
        async with Doorman().at_work(encryption_algs=["arcfour"]) as door:
            error = await refusal(a_remote(password("root", "x")), a_host(LOOPBACK, door.port))
            assert ended(error) == NO_COMMON
            assert "cipher: arcfour" in error.message
            assert door.tried == []

    run(scene())


def test_an_old_signature_of_the_pinned_key_is_not_a_changed_key(client_rsa_key: KeyPair) -> None:
    """The server got a second key of a modern type, but signs with the pinned one only as it always did."""
    state = State()
    both = Offer(("rsa", "ed25519"), ("HostKeyAlgorithms ssh-rsa,ssh-ed25519", RSA_ONLY))
    with sshd.openssh([client_rsa_key.public], both) as server:
        host = a_host(server.address, server.port)
        remote = a_remote(private_key(server.user, client_rsa_key), state=state)
        state.keys[host.name] = PinnedKey(" ".join(server.host_keys[0].split()[:2]))
        assert run(ask(remote, host)).complete
        assert state.notes[host.name].profile == "legacy"


def test_dropbear_is_an_ordinary_server(client_key: KeyPair, tmp_path: Path) -> None:
    state = State()
    with sshd.dropbear([client_key.public]) as server:
        remote = a_remote(private_key(server.user, client_key), state=state)
        answer = run(
            ask(
                remote,
                a_host(server.address, server.port),
                ("a", "echo one"),
                ("step:0", "exit 4"),
                ("step:1", "echo no"),
            )
        )
    assert answer.complete
    assert (answer.sections["a"], answer.codes) == (b"one\n", {"a": 0, "step:0": 4})
