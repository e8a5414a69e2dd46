"""The rollout gate's promises: a share only grows, and only who a host is decides where it is drawn."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Credential, NetworkConfig, Rollout
from contracts.secret import Secret
from runtime.domain.model import Allow, Deny, Host, Outcome, Reason
from runtime.domain.providers import Provider
from runtime.domain.rollout import BUCKETS, basis_points, bucket, decide, never
from runtime.engine.gates import policy

HOST = Host(
    id="1", name="ABC-LOJA001-PDV201", network="ABC", address="10.0.0.1", store=1, terminal=201, provider="zanthus"
)
PERCENTS = st.decimals(min_value=0, max_value=100, places=2)
HOSTS = st.builds(
    lambda store, terminal: replace(
        HOST, name=f"ABC-LOJA{store:03}-PDV{terminal}", store=store, terminal=terminal, id=f"{store}-{terminal}"
    ),
    st.integers(0, 9999),
    st.integers(0, 9999),
)


@given(host=HOSTS, low=PERCENTS, high=PERCENTS, salt=st.none() | st.text(max_size=8))
def test_raising_the_rollout_never_drops_a_host(host: Host, low: Decimal, high: Decimal, salt: str | None) -> None:
    low, high = sorted((low, high))
    before = decide(Rollout(percent=low, salt=salt), "zanthus", host)
    after = decide(Rollout(percent=high, salt=salt), "zanthus", host)

    assert isinstance(after, Allow) or isinstance(before, Deny)


@given(
    host=HOSTS, percent=PERCENTS, address=st.ip_addresses(v=4), display=st.text(), user=st.text(min_size=1, max_size=9)
)
def test_a_new_address_user_or_visible_name_never_moves_a_host(
    host: Host, percent: Decimal, address: object, display: str, user: str
) -> None:
    login = Credential(id="new", user=user, password=Secret("x"))
    moved = replace(host, address=str(address), port=2222, display_name=display, credential=login, id="77")

    assert decide(Rollout(percent=percent), "zanthus", moved) == decide(Rollout(percent=percent), "zanthus", host)


@given(salt=st.text(), identity=st.text())
def test_every_identity_has_one_bucket(salt: str, identity: str) -> None:
    assert 0 <= bucket(salt, identity) < BUCKETS
    assert bucket(salt, identity) == bucket(salt, identity)


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_every_percent_has_basis_points(percent: Decimal) -> None:
    assert 0 <= basis_points(percent) <= BUCKETS


@pytest.mark.parametrize("percent", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_percentage_that_is_no_number_selects_no_host(percent: str) -> None:
    assert basis_points(Decimal(percent)) == 0


def test_a_name_that_is_no_valid_text_has_a_bucket_too() -> None:
    assert 0 <= bucket("zanthus", "ABC/\ud800") < BUCKETS


@given(HOSTS)
def test_a_hundred_percent_is_every_host_and_zero_is_no_host(host: Host) -> None:
    assert isinstance(decide(Rollout(percent=Decimal(100)), "arius", host), Allow)
    assert isinstance(decide(Rollout(percent=Decimal(0)), "arius", host), Deny)


def test_about_the_requested_percentage_is_selected() -> None:
    hosts = [replace(HOST, store=store, terminal=terminal) for store in range(1, 41) for terminal in range(201, 251)]
    chosen = sum(isinstance(decide(Rollout(percent=Decimal(20)), "zanthus", host), Allow) for host in hosts)

    assert (
        330 <= chosen <= 470
    )  # 400 of 2000, within four standard deviations; the draw is fixed, so this never flickers


def test_the_spelling_of_a_name_does_not_move_a_host() -> None:
    padded = replace(HOST, name="ABC-LOJA1-PDV0201")

    assert decide(Rollout(percent=Decimal(50)), "zanthus", padded) == decide(
        Rollout(percent=Decimal(50)), "zanthus", HOST
    )


def test_a_host_outside_says_bucket_and_threshold() -> None:
    drawn = bucket("zanthus", "ABC/1/201")
    share = Decimal(drawn) / 100

    verdict = decide(Rollout(percent=share), "zanthus", HOST)

    assert isinstance(verdict, Deny)
    assert (verdict.outcome, verdict.reason) == (Outcome.SKIPPED, Reason.ROLLOUT_EXCLUDED)
    assert verdict.message == f"zanthus is rolled out to {share} %: bucket {drawn} of 10000 is not below {drawn}"
    assert isinstance(decide(Rollout(percent=share + Decimal("0.01")), "zanthus", HOST), Allow)


@pytest.mark.parametrize("entry", ["Caixa 201", "10.20.30.0/24", "10.20.30.40"])
def test_never_also_knows_visible_names_and_addresses_and_pilot_does_not(entry: str) -> None:
    host = replace(HOST, display_name="Caixa 201", address="10.20.30.40")
    assert isinstance(decide(Rollout(percent=Decimal(100), never=(entry,)), "zanthus", host), Deny)
    assert isinstance(decide(Rollout(percent=Decimal(0), pilot=(entry,)), "zanthus", host), Deny)


@pytest.mark.parametrize("spelling", ["ABC-LOJA001-PDV201", "abc-loja1-pdv201", "ABC (LOJA001) PDV201"])
def test_pilots_are_in_at_zero_and_never_wins_over_everything(spelling: str) -> None:
    pilot = decide(Rollout(percent=Decimal(0), pilot=(spelling,)), "zanthus", HOST)
    both = decide(Rollout(percent=Decimal(100), pilot=(spelling,), never=(spelling,)), "zanthus", HOST)

    assert pilot == Allow("pilot host of zanthus's rollout")
    assert both == Deny(Outcome.SKIPPED, Reason.ROLLOUT_EXCLUDED, "on the never list of zanthus's rollout")


def test_an_empty_never_list_excludes_no_host() -> None:
    assert never(Rollout(), "zanthus", HOST) == Allow()


def test_a_salt_of_its_own_gives_a_new_order() -> None:
    hosts = [replace(HOST, terminal=terminal) for terminal in range(100)]
    first = [decide(Rollout(percent=Decimal(50)), "zanthus", host) for host in hosts]
    second = [decide(Rollout(percent=Decimal(50), salt="zanthus"), "other", host) for host in hosts]
    third = [decide(Rollout(percent=Decimal(50), salt="again"), "zanthus", host) for host in hosts]

    assert [type(verdict) for verdict in first] == [type(verdict) for verdict in second]
    assert [type(verdict) for verdict in first] != [type(verdict) for verdict in third]


@pytest.mark.parametrize(
    ("written", "provider", "percent"),
    [
        ({}, "arius", 100),
        ({"arius": {"never": ["ABC-LOJA001-PDV7"]}}, "arius", 100),
        ({"arius": {"percent": None, "salt": "x"}}, "arius", 100),
        ({"arius": {"percent": 0}}, "arius", 0),
        ({"arius": {"pilot": ["ABC-LOJA001-PDV7"]}}, "arius", 0),
        ({"arius": {"pilot": ["ABC-LOJA001-PDV8"], "never": ["ABC-LOJA001-PDV7"]}}, "arius", 0),
        ({"arius": {"percent": 20, "pilot": ["ABC-LOJA001-PDV7"]}}, "arius", 20),
        ({"zanthus": {"pilot": ["ABC-LOJA001-PDV7"]}}, "zanthus", 0),
        ({"nobody": {"never": ["ABC-LOJA001-PDV7"]}}, "nobody", 0),
        ({}, "nobody", 0),
    ],
)
def test_a_never_list_keeps_the_providers_percentage_and_a_pilot_list_alone_selects_only_pilots(
    written: dict[str, Any], provider: str, percent: int
) -> None:
    config = NetworkConfig.model_validate({"network": "ABC", "inventory": {"kind": "static"}, "rollout": written})
    shipped = {
        "arius": Provider(id="arius", display_name="Arius", default_rollout=Decimal(100)),
        "zanthus": Provider(id="zanthus", display_name="Zanthus"),
    }
    share = policy(config, shipped, ()).rollout_of(provider)

    assert (share.percent or 0) == percent
    verdict = decide(share, provider, HOST)
    assert percent == 20 or isinstance(verdict, Allow if percent else Deny)
    told = verdict.note if isinstance(verdict, Allow) else verdict.message
    assert f"rolled out to {percent} %" in told
    left_out = share.never and decide(share, provider, replace(HOST, name="ABC-LOJA001-PDV7"))
    assert isinstance(left_out or Deny(Outcome.SKIPPED, Reason.ROLLOUT_EXCLUDED, ""), Deny)
