"""The one rule of who is let in, at its edges. Whatever the token, the reason is the same for every endpoint."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.reasons.refusal import Refusal
from server.services.tokens.access import (
    AgentRecord,
    NetworkRecord,
    Principal,
    Scope,
    TokenRecord,
    admit,
    hash_of,
    malformed,
    parse,
)

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MOMENT = dt.timedelta(microseconds=1)
SECRET = "s" * 43
SOL, LUA = NetworkRecord(1, "SOL", listed=True), NetworkRecord(2, "LUA", listed=False)
AGENT = AgentRecord("0190a0a0-0000-7000-8000-000000000001", "0190a0a0-0000-7000-8000-000000000002", 1)
TOKEN = TokenRecord(
    id=7,
    public_id="0123456789ab",
    secret_hash=hash_of(SECRET),
    client_id=3,
    client="Mercado Sol",
    scopes="bootstrap config",
    all_networks=False,
    expires_at=None,
    revoked_at=None,
    used_at=None,
    single_use=False,
    networks=(LUA, SOL),
)


def outcome(
    token: TokenRecord | None, secret: str = SECRET, scope: Scope = Scope.CONFIG, network: str | None = "SOL"
) -> str:
    """The network that is let in to, or the reason of the refusal."""
    found = admit(token, secret, scope=scope, network=network, now=NOW)
    return found.reason if isinstance(found, Refusal) else found.network


def test_the_owner_is_admitted_to_a_network_of_the_token() -> None:
    assert admit(TOKEN, SECRET, scope=Scope.CONFIG, network="SOL", now=NOW) == Principal(
        token_id=7,
        public_id="0123456789ab",
        client_id=3,
        client="Mercado Sol",
        network_id=1,
        network="SOL",
        single_use=False,
    )


@pytest.mark.parametrize("secret", ["", "S" * 43, "s" * 42, "s" * 44, "ß" * 43])
def test_another_secret_is_unknown_whatever_the_token(secret: str) -> None:
    for token in (TOKEN, TOKEN._replace(revoked_at=NOW), TOKEN._replace(scopes=""), None):
        assert outcome(token, secret) == "token_unknown"


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [
        (None, "SOL"),
        (NOW + MOMENT, "SOL"),
        (NOW, "token_expired"),
        (NOW - MOMENT, "token_expired"),
        (NOW.astimezone(dt.timezone(dt.timedelta(hours=-3))), "token_expired"),
    ],
)
def test_a_token_is_expired_at_its_expiry_instant(expires_at: dt.datetime | None, expected: str) -> None:
    assert outcome(TOKEN._replace(expires_at=expires_at)) == expected


@pytest.mark.parametrize("when", [NOW - MOMENT, NOW, NOW + MOMENT])
def test_a_revoked_or_used_token_has_ended_at_any_time_of_the_clock(when: dt.datetime) -> None:
    assert outcome(TOKEN._replace(revoked_at=when)) == "token_revoked"
    assert outcome(TOKEN._replace(used_at=when)) == "token_used"


def test_a_token_with_several_faults_is_refused_for_revocation_then_use_then_expiry() -> None:
    ended = TOKEN._replace(expires_at=NOW, used_at=NOW, revoked_at=NOW, scopes="")
    assert outcome(ended) == "token_revoked"
    assert outcome(ended._replace(revoked_at=None)) == "token_used"
    assert outcome(ended._replace(revoked_at=None, used_at=None)) == "token_expired"
    assert outcome(ended._replace(revoked_at=None, used_at=None, expires_at=None), network="LUA") == "scope_missing"


def test_the_scopes_are_the_words_that_stored_tokens_hold() -> None:
    assert list(Scope) == ["bootstrap", "config", "ingest", "commands"]


@pytest.mark.parametrize("scope", Scope)
def test_each_scope_admits_only_to_itself(scope: Scope) -> None:
    for other in Scope:
        expected = "SOL" if other == scope else "scope_missing"
        assert outcome(TOKEN._replace(scopes=str(scope), agent=AGENT), scope=other) == expected


@pytest.mark.parametrize("scope", [Scope.INGEST, Scope.COMMANDS])
@pytest.mark.parametrize("network", ["SOL", "LUA", "NOWHERE", None])
def test_what_is_done_in_an_agents_name_needs_its_own_token_whatever_the_network(
    scope: Scope, network: str | None
) -> None:
    assert outcome(TOKEN._replace(scopes=str(scope)), scope=scope, network=network) == "agent_required"


def test_an_agents_own_token_tells_whose_it_is() -> None:
    own = TOKEN._replace(scopes="ingest", agent=AGENT)
    found = admit(own, SECRET, scope=Scope.INGEST, network=None, now=NOW)
    assert isinstance(found, Principal)
    assert found.agent == AGENT


@pytest.mark.parametrize(
    ("networks", "all_networks", "asked", "expected"),
    [
        ((LUA, SOL), False, "SOL", "SOL"),
        ((LUA, SOL), False, "LUA", "network_not_allowed"),
        ((LUA, SOL), False, "MAR", "network_not_allowed"),
        ((LUA, SOL), False, "sol", "network_not_allowed"),
        ((LUA, SOL), False, "", "network_not_allowed"),
        ((LUA, SOL), False, None, "SOL"),
        ((LUA, SOL), True, "LUA", "LUA"),
        ((LUA, SOL), True, "SOL", "SOL"),
        ((LUA, SOL), True, None, "network_required"),
        ((LUA,), True, None, "LUA"),
        ((LUA,), False, None, "network_required"),
        ((), True, None, "network_required"),
        ((), True, "SOL", "network_not_allowed"),
    ],
)
def test_a_token_admits_only_to_its_own_networks(
    networks: tuple[NetworkRecord, ...], all_networks: bool, asked: str | None, expected: str
) -> None:
    assert outcome(TOKEN._replace(networks=networks, all_networks=all_networks), network=asked) == expected


def test_the_networks_to_choose_from_are_those_of_the_token() -> None:
    both = TOKEN._replace(networks=(LUA._replace(listed=True), NetworkRecord(3, "MAR", listed=False), SOL))
    found = admit(both, SECRET, scope=Scope.CONFIG, network=None, now=NOW)
    assert isinstance(found, Refusal)
    assert found.networks == ("LUA", "SOL")


OWN = TOKEN._replace(networks=(SOL,))
# A token that is refused -> the scope and the network asked for.
REFUSED: dict[str, tuple[TokenRecord, Scope, str | None]] = {
    "token_revoked": (OWN._replace(revoked_at=NOW), Scope.CONFIG, "SOL"),
    "token_used": (OWN._replace(used_at=NOW), Scope.CONFIG, "SOL"),
    "token_expired": (OWN._replace(expires_at=NOW), Scope.CONFIG, "SOL"),
    "scope_missing": (OWN, Scope.INGEST, "SOL"),
    "network_not_allowed": (OWN, Scope.CONFIG, "LUA"),
    "network_required": (OWN._replace(networks=()), Scope.CONFIG, None),
    "network_required, of several": (OWN._replace(networks=(SOL, LUA), all_networks=True), Scope.CONFIG, None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_its_token_to_the_holder_of_the_secret_alone(case: str) -> None:
    token, scope, network = REFUSED[case]
    found = admit(token, SECRET, scope=scope, network=network, now=NOW)
    assert isinstance(found, Refusal)
    assert (found.reason, found.token) == (case.partition(",")[0], TOKEN.public_id)
    stranger = admit(token, "t" * 43, scope=scope, network=network, now=NOW)
    assert isinstance(stranger, Refusal)
    assert (stranger.reason, stranger.token, stranger.networks) == ("token_unknown", None, ())


PUBLIC_ID = "0123456789ab"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"fm1.{PUBLIC_ID}.{SECRET}", (PUBLIC_ID, SECRET)),
        (f"fm1.{PUBLIC_ID}.{'-_aZ9' * 8}abc", (PUBLIC_ID, f"{'-_aZ9' * 8}abc")),
        (f"fm1.{PUBLIC_ID}.{SECRET}\n", None),
        (f" fm1.{PUBLIC_ID}.{SECRET}", None),
        (f"fm1.{PUBLIC_ID}.{SECRET}s", None),
        (f"fm1.{PUBLIC_ID}.{SECRET[1:]}", None),
        (f"fm1.{PUBLIC_ID.upper()}.{SECRET}", None),
        (f"fm1.{PUBLIC_ID}0.{SECRET}", None),
        (f"fm2.{PUBLIC_ID}.{SECRET}", None),
        (f"fm1x{PUBLIC_ID}.{SECRET}", None),
        (f"{PUBLIC_ID}.{SECRET}", None),
        ("", None),
    ],
)
def test_a_token_is_read_in_its_one_form_only(text: str, expected: tuple[str, str] | None) -> None:
    assert parse(text) == expected


def test_a_text_that_is_no_token_is_refused_as_unknown() -> None:
    assert malformed().reason == "token_unknown"


INSTANTS = st.sampled_from([None, NOW - MOMENT, NOW, NOW + MOMENT])
NETWORKS = st.lists(
    st.builds(NetworkRecord, st.integers(1, 9), st.sampled_from("ABC"), st.booleans()),
    unique_by=(lambda one: one.id, lambda one: one.code),
    max_size=3,
).map(tuple)
TOKENS = st.builds(
    TOKEN._replace,
    scopes=st.sets(st.sampled_from(list(Scope))).map(" ".join),
    all_networks=st.booleans(),
    expires_at=INSTANTS,
    revoked_at=INSTANTS,
    used_at=INSTANTS,
    networks=NETWORKS,
    agent=st.sampled_from([None, AGENT]),
)


@given(TOKENS, st.sampled_from(Scope), st.sampled_from(["A", "B", "C", None]), st.booleans())
def test_only_an_active_token_of_the_scope_and_the_network_is_admitted(
    token: TokenRecord, scope: Scope, asked: str | None, right: bool
) -> None:
    found = admit(token, SECRET if right else "t" * 43, scope=scope, network=asked, now=NOW)
    own = {one.code: one.id for one in token.networks if one.listed or token.all_networks}
    active = token.revoked_at is None and token.used_at is None and (token.expires_at is None or token.expires_at > NOW)
    wanted = asked if asked is not None else next(iter(own), "") if len(own) == 1 else ""
    bound = token.agent is not None or scope not in (Scope.INGEST, Scope.COMMANDS)
    if right and active and bound and scope in token.scopes.split() and wanted in own:
        assert isinstance(found, Principal)
        assert (found.network, found.network_id) == (wanted, own[wanted])
    else:
        assert isinstance(found, Refusal)
        assert (found.token == token.public_id) == right, "the id is told to who has the secret, and to nobody else"
