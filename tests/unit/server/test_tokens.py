"""Tokens as they are stored: issued, listed, revoked, spent, and when they were used last."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from contracts.ids import uuid7
from server.reasons.refusal import Refusal
from server.services.tokens.access import Scope, hash_of, parse
from server.services.tokens.last_use import record_use
from server.services.tokens.lifecycle import issue, revoke, revoke_of_agent, spend
from server.services.tokens.listing import TokenRow, list_tokens
from server.storage.models import Agent, Network, Token, TokenNetwork
from tests.unit.server.tables import LUA, MOMENT, NOW, SOL, principal, row_of, tables

LATER = NOW + dt.timedelta(hours=1)


@pytest.fixture
def session() -> Iterator[Session]:
    with tables() as given:
        yield given


def issued(
    session: Session,
    *networks: str,
    client: str = SOL,
    scopes: Sequence[Scope] = (Scope.CONFIG,),
    now: dt.datetime = NOW,
    expires_at: dt.datetime | None = None,
    single_use: bool = False,
    agent: Agent | None = None,
) -> TokenRow:
    row, _ = issue(
        session,
        client=client,
        networks=networks,
        scopes=scopes,
        expires_at=expires_at,
        now=now,
        single_use=single_use,
        agent=agent,
    )
    session.flush()
    return row


def stored(session: Session, row: TokenRow) -> Token:
    return session.scalars(select(Token).where(Token.public_id == row.id)).one()


def agent_of(session: Session, network: str = "S1") -> Agent:
    known = session.scalars(select(Network).where(Network.code == network)).one()
    agent = Agent(id=uuid7(), agent_id=uuid7(), network_id=known.id, hostname="pdv", enrolled_at=NOW)
    session.add(agent)
    session.flush()
    return agent


def reason(caught: pytest.ExceptionInfo[Refusal]) -> str:
    return caught.value.reason


# --- issue and list ---


def test_a_new_token_is_listed_as_it_was_issued(session: Session) -> None:
    agent = agent_of(session)
    plain = issued(session)
    full = issued(session, "S2", "S1", now=LATER, expires_at=LATER, single_use=True, agent=agent)
    assert plain == TokenRow(
        id=plain.id,
        client=SOL,
        networks="all",
        scopes=("config",),
        state="active",
        agent=None,
        single_use=False,
        created_at=NOW,
        expires_at=None,
        used_at=None,
        last_used_at=None,
    )
    assert full == TokenRow(
        id=full.id,
        client=SOL,
        networks=("S2", "S1"),
        scopes=("config",),
        state="active",
        agent=agent.agent_id,
        single_use=True,
        created_at=LATER,
        expires_at=LATER,
        used_at=None,
        last_used_at=None,
    )
    assert list_tokens(session, NOW) == [plain, replace(full, networks=("S1", "S2"))], "networks by code"


def test_a_tokens_text_is_made_of_its_id_and_a_secret_that_is_stored_as_a_hash_alone(session: Session) -> None:
    row, text = issue(session, client=SOL, networks=[], scopes=[Scope.CONFIG], expires_at=None, now=NOW)
    form = parse(text.reveal())
    assert form is not None
    assert form[0] == row.id
    assert stored(session, row).secret_hash == hash_of(form[1])
    assert form[1] not in f"{row}{text}"


def test_a_token_works_more_than_once_unless_it_was_made_for_one_use(session: Session) -> None:
    row, _ = issue(session, client=SOL, networks=["S1"], scopes=[Scope.CONFIG], expires_at=None, now=NOW)
    assert (row.single_use, stored(session, row).single_use) == (False, False)


def test_no_two_tokens_are_alike(session: Session) -> None:
    rows = [issued(session) for _ in range(20)]
    assert len({row.id for row in rows}) == len({stored(session, row).secret_hash for row in rows}) == 20


def test_scopes_are_stored_once_and_in_their_own_order(session: Session) -> None:
    row = issued(session, scopes=[Scope.COMMANDS, Scope.BOOTSTRAP, Scope.COMMANDS])
    assert row.scopes == ("bootstrap", "commands")
    assert stored(session, row).scopes == "bootstrap commands"


def test_a_network_that_is_named_twice_is_the_tokens_once(session: Session) -> None:
    assert row_of(session, issued(session, "S1", "S1").id).networks == ("S1",)


def test_a_token_whose_only_network_is_gone_is_not_for_all(session: Session) -> None:
    row = issued(session, "S1")
    session.execute(delete(TokenNetwork))
    assert row_of(session, row.id).networks == ()


@pytest.mark.parametrize(
    ("client", "networks", "expected"),
    [("Nobody", [], "client_unknown"), (SOL, ["S1", "L1"], "network_unknown"), (LUA, ["S1"], "network_unknown")],
)
def test_a_token_is_issued_for_a_clients_own_networks_only(
    session: Session, client: str, networks: list[str], expected: str
) -> None:
    with pytest.raises(Refusal) as caught:
        issued(session, *networks, client=client)
    assert reason(caught) == expected
    assert list_tokens(session, NOW) == []


def test_tokens_are_listed_by_client_and_the_oldest_first(session: Session) -> None:
    sol, lua, later = issued(session), issued(session, client=LUA), issued(session, "S1", "S2")
    assert [row.id for row in list_tokens(session, NOW)] == [lua.id, sol.id, later.id]
    assert [row.id for row in list_tokens(session, NOW, SOL)] == [sol.id, later.id]
    assert [row.client for row in list_tokens(session, NOW)] == [LUA, SOL, SOL]
    with pytest.raises(Refusal) as caught:
        list_tokens(session, NOW, "Nobody")
    assert reason(caught) == "client_unknown"


def test_a_list_shows_the_state_of_each_token_at_the_time_of_the_call(session: Session) -> None:
    ended = issued(session)
    expiring = issued(session, expires_at=LATER)
    spent = issued(session, "S1", single_use=True)
    spend(session, principal(session, spent.id, "S1"), NOW)
    revoke(session, ended.id, NOW)
    at_once, afterwards = (
        {row.id: row.state for row in list_tokens(session, now)} for now in (LATER - MOMENT, LATER + MOMENT)
    )
    assert at_once == {ended.id: "revoked", expiring.id: "active", spent.id: "used"}
    assert afterwards == {ended.id: "revoked", expiring.id: "expired", spent.id: "used"}
    assert row_of(session, spent.id).used_at == NOW


# --- revoke ---


def test_a_token_is_revoked_by_its_id_or_its_text_and_keeps_its_first_time(session: Session) -> None:
    row, text = issue(session, client=SOL, networks=[], scopes=[Scope.CONFIG], expires_at=None, now=NOW)
    other = issued(session)
    assert revoke(session, text.reveal(), NOW) is True
    assert revoke(session, row.id, LATER) is False
    assert stored(session, row).revoked_at == NOW
    assert revoke(session, other.id, LATER) is True
    assert stored(session, other).revoked_at == LATER


def test_an_unknown_token_cannot_be_revoked_and_its_secret_is_not_repeated(session: Session) -> None:
    known, secret = issued(session), "s" * 43
    for text in (f"fm1.0123456789ab.{secret}", "0123456789ab"):
        with pytest.raises(Refusal) as caught:
            revoke(session, text, NOW)
        assert reason(caught) == "token_unknown"
        assert '"0123456789ab"' in caught.value.message
        assert secret not in caught.value.message
    assert row_of(session, known.id).state == "active"


def test_only_the_tokens_of_an_agent_end_with_it_and_earlier_ends_stay(session: Session) -> None:
    agent, other = agent_of(session), agent_of(session, "S2")
    ended, own, twin = (issued(session, agent=agent) for _ in range(3))
    strangers, nobodys = issued(session, agent=other), issued(session)
    revoke(session, ended.id, NOW)
    revoke_of_agent(session, agent.id, LATER)
    assert [stored(session, row).revoked_at for row in (ended, own, twin)] == [NOW, LATER, LATER]
    assert [stored(session, row).revoked_at for row in (strangers, nobodys)] == [None, None]


# --- spend ---


def test_a_token_that_works_once_is_spent_by_its_first_use(session: Session) -> None:
    once, twin = (issued(session, "S1", single_use=True) for _ in range(2))
    spend(session, principal(session, once.id, "S1"), NOW)
    with pytest.raises(Refusal) as caught:
        spend(session, principal(session, once.id, "S1"), LATER)
    assert (reason(caught), caught.value.token) == ("token_used", once.id)
    assert stored(session, once).used_at == NOW
    assert stored(session, twin).used_at is None


def test_any_other_token_stays(session: Session) -> None:
    row = issued(session, "S1")
    for _ in range(2):
        spend(session, principal(session, row.id, "S1"), NOW)
    assert stored(session, row).used_at is None


# --- last use ---

WEEK = dt.timedelta(days=7)


@pytest.mark.parametrize(
    ("known", "seen", "kept"),
    [
        pytest.param(None, NOW, NOW, id="the first use"),
        pytest.param(NOW - MOMENT, NOW, NOW, id="a newer one"),
        pytest.param(NOW, NOW, NOW, id="the same"),
        pytest.param(NOW + MOMENT, NOW, NOW + MOMENT, id="an older one of a slower process"),
        pytest.param(NOW + WEEK, NOW, NOW + WEEK, id="a week older"),
        pytest.param(NOW + WEEK + MOMENT, NOW, NOW, id="what only a wrong clock can have written"),
    ],
)
def test_the_latest_use_is_kept_unless_a_wrong_clock_wrote_it(
    session: Session, known: dt.datetime | None, seen: dt.datetime, kept: dt.datetime
) -> None:
    row, other = issued(session), issued(session)
    if known is not None:
        record_use(session, [(stored(session, row).id, known)])
    record_use(session, [(stored(session, row).id, seen)])
    assert [row_of(session, one.id).last_used_at for one in (row, other)] == [kept, None]


def test_several_uses_are_recorded_at_once(session: Session) -> None:
    rows = [issued(session) for _ in range(3)]
    seen = [(stored(session, row).id, NOW + number * MOMENT) for number, row in enumerate(rows)]
    record_use(session, seen)
    assert [row_of(session, row.id).last_used_at for row in rows] == [at for _, at in seen]
