"""Which credentials a host is offered, in which order, and how a private key is offered."""

import asyncio
from typing import Any

import asyncssh
import pytest

from contracts.config import Credential
from runtime.adapters.ssh.credentials import KeyRing, candidates
from runtime.domain.errors import Permanent
from runtime.domain.model import Host, Outcome, Reason


def credential(name: str, **matches: Any) -> Credential:
    return Credential.model_validate({"id": name, "user": "root", "password": "x", **matches})


def host(**fields: Any) -> Host:
    return Host(
        **{
            "id": "1",
            "name": "Loja7-PDV3",
            "network": "n",
            "address": "10.0.0.1",
            "store": 7,
            "provider": "arius",
            **fields,
        }
    )


def offered(*configured: Credential, pinned: bool = True, accepted: str = "", **fields: Any) -> list[str]:
    return [found.id for found in candidates(host(**fields), configured, pinned=pinned, accepted=accepted)]


MATCHES = {
    "everyone": ({}, True),
    "its provider": ({"match_providers": ["zanthus", "arius"]}, True),
    "another provider": ({"match_providers": ["zanthus"]}, False),
    "its store": ({"match_stores": [7]}, True),
    "another store": ({"match_stores": [8]}, False),
    "its name in other letters": ({"match_hosts": ["LOJA7-pdv3"]}, True),
    "another name": ({"match_hosts": ["loja7-pdv33"]}, False),
    "its store but another provider": ({"match_stores": [7], "match_providers": ["zanthus"]}, False),
}


@pytest.mark.parametrize(("matches", "fits"), MATCHES.values(), ids=MATCHES)
def test_every_given_match_must_hold(matches: dict[str, Any], fits: bool) -> None:
    configured = (credential("this", **matches), credential("last"))
    assert offered(*configured) == (["this", "last"] if fits else ["last"])


def test_a_host_of_unknown_store_gets_no_credential_of_a_store() -> None:
    assert offered(credential("store", match_stores=[7]), credential("any"), store=None) == ["any"]


def test_a_host_with_its_own_credential_is_offered_nothing_else() -> None:
    assert offered(credential("a"), credential("b"), credential=credential("own")) == ["own"]


def test_a_host_without_a_pinned_key_is_offered_the_first_match_only() -> None:
    assert offered(credential("other", match_stores=[1]), credential("a"), credential("b"), pinned=False) == ["a"]


def test_the_narrowest_match_goes_first_whatever_the_order_of_the_document() -> None:
    configured = (
        credential("fleet"),
        credential("provider", match_providers=["arius"]),
        credential("store", match_stores=[7]),
        credential("host", match_hosts=["loja7-pdv3"]),
    )
    assert offered(*configured) == ["host", "store", "provider"]
    assert offered(*configured, pinned=False) == ["host"]


def test_a_known_host_is_offered_at_most_three_the_accepted_one_first() -> None:
    assert offered(*map(credential, "abcde")) == ["a", "b", "c"]
    assert offered(*map(credential, "abcde"), accepted="d") == ["d", "a", "b"]


def test_a_host_without_a_matching_credential_is_reported() -> None:
    with pytest.raises(Permanent, match="no credential is configured for Loja7-PDV3") as raised:
        offered(credential("a", match_stores=[1]))
    assert (raised.value.outcome, raised.value.reason) == (Outcome.UNREACHABLE, Reason.NO_CREDENTIAL)


@pytest.fixture(scope="module")
def keys() -> dict[str, asyncssh.SSHKey]:
    return {
        "ssh-rsa": asyncssh.generate_private_key("ssh-rsa", key_size=2048),
        "ssh-ed25519": asyncssh.generate_private_key("ssh-ed25519"),
    }


def with_key(key: asyncssh.SSHKey, passphrase: str | None = None, **fields: Any) -> Credential:
    text = key.export_private_key("pkcs8-pem", passphrase).decode()
    return credential("k", private_key=text, **({"passphrase": passphrase} if passphrase else {}), **fields)


@pytest.mark.parametrize(
    ("algorithm", "old_signatures", "signatures"),
    [
        ("ssh-ed25519", False, [b"ssh-ed25519"]),
        ("ssh-ed25519", True, [b"ssh-ed25519"]),
        ("ssh-rsa", False, [b"rsa-sha2-256"]),
        ("ssh-rsa", True, [b"rsa-sha2-256", b"ssh-rsa"]),
    ],
)
def test_an_rsa_key_is_offered_with_sha1_as_well_where_old_signatures_are_asked_for(
    algorithm: str, old_signatures: bool, signatures: list[bytes], keys: dict[str, asyncssh.SSHKey]
) -> None:
    pairs = asyncio.run(KeyRing().pairs(with_key(keys[algorithm]), old_signatures=old_signatures))
    assert [pair.sig_algorithms[0] for pair in pairs] == signatures
    assert {pair.public_data for pair in pairs} == {keys[algorithm].public_data}


def test_a_credential_without_a_key_offers_none() -> None:
    assert asyncio.run(KeyRing().pairs(credential("password-only"), old_signatures=True)) == []


def test_a_key_is_read_once_and_each_login_gets_pairs_of_its_own(
    keys: dict[str, asyncssh.SSHKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = asyncssh.import_private_key
    texts: list[str] = []

    def counted(text: str, passphrase: str | None) -> asyncssh.SSHKey:
        texts.append(text)
        return read(text, passphrase)

    monkeypatch.setattr(asyncssh, "import_private_key", counted)
    one, other = with_key(keys["ssh-ed25519"]), with_key(keys["ssh-ed25519"], "hunter2")

    async def logins() -> list[list[asyncssh.SSHKeyPair]]:
        ring = KeyRing()
        asked = (one, other, one, other, one)
        return await asyncio.gather(*(ring.pairs(each, old_signatures=False) for each in asked))

    found = asyncio.run(logins())
    assert len(texts) == 2
    assert len({id(pair) for pairs in found for pair in pairs}) == 5


@pytest.mark.parametrize(
    ("encrypted", "passphrase"), [(True, "another"), (True, None), (None, None)], ids=["wrong", "missing", "no key"]
)
def test_a_key_that_cannot_be_read_is_refused_by_the_name_of_its_credential(
    encrypted: bool | None, passphrase: str | None, keys: dict[str, asyncssh.SSHKey]
) -> None:
    text = keys["ssh-ed25519"].export_private_key("pkcs8-pem", "hunter2").decode() if encrypted else "hunter2"
    unreadable = credential("till-key", private_key=text, **({"passphrase": passphrase} if passphrase else {}))
    with pytest.raises(Permanent, match="private key of credential till-key cannot be read") as raised:
        asyncio.run(KeyRing().pairs(unreadable, old_signatures=False))
    assert (raised.value.outcome, raised.value.reason) == (Outcome.UNREACHABLE, Reason.NO_CREDENTIAL)
    assert text not in raised.value.message
