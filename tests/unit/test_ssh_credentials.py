"""Which credentials a host is offered, in which order."""

from typing import Any

import pytest

from contracts.config import Credential
from runtime.adapters.ssh.credentials import candidates
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
