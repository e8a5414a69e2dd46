"""A host introduces itself: what it is taken for, which tokens end, and what tells that another machine has its id."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from sqlalchemy import Select, event, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import ORMExecuteState, Session

from contracts.ids import uuid7
from server.reasons.refusal import Refusal
from server.services.agents.enrolment import Before, Enrolled, enroll
from server.services.networks import add_network
from server.services.tokens.access import Scope
from server.services.tokens.last_use import record_use
from server.services.tokens.lifecycle import issue, revoke
from server.services.tokens.listing import list_tokens
from server.storage.models import Agent, Network, Token
from tests.unit.server.tables import LUA, MOMENT, NOW, SOL, principal, row_of, tables

LATER = NOW + dt.timedelta(days=1)
ID = uuid7()
QUARTER = dt.timedelta(minutes=15)
ADDRESS, OTHER_ADDRESS = "192.0.2.1", "192.0.2.2"


@dataclass(frozen=True)
class World:
    session: Session

    def bootstrap(self, *networks: str, client: str = SOL, single_use: bool = False) -> str:
        """A token to enrol with; its public id."""
        row, _ = issue(
            self.session,
            client=client,
            networks=networks,
            scopes=[Scope.BOOTSTRAP],
            expires_at=None,
            now=NOW,
            single_use=single_use,
        )
        return row.id

    def enroll(
        self,
        network: str = "S1",
        *,
        token: str | None = None,
        client: str = SOL,
        agent_id: str = ID,
        hostname: str = "pdv",
        address: str | None = ADDRESS,
        now: dt.datetime = NOW,
    ) -> Enrolled:
        """By default with a token for this network alone."""
        token = token or self.bootstrap(network, client=client)
        asking = principal(self.session, token, network)
        return enroll(self.session, asking, agent_id=agent_id, hostname=hostname, address=address, now=now)

    def used(self, enrolled: Enrolled, at: dt.datetime) -> None:
        """The agent's own token, as if it was used then."""
        token = self.session.scalars(select(Token).where(Token.public_id == enrolled.token_id)).one()
        record_use(self.session, [(token.id, at)])

    def agents(self) -> list[tuple[object, ...]]:
        """Id, network, host name, and when and from where it was enrolled last."""
        rows = self.session.execute(
            select(Agent.agent_id, Network.code, Agent.hostname, Agent.enrolled_at, Agent.enrolled_from)
            .join(Network, Network.id == Agent.network_id)
            .order_by(Network.code)
        )
        return [tuple(row) for row in rows]


@pytest.fixture
def world() -> Iterator[World]:
    with tables() as session:
        yield World(session)


def test_a_new_host_gets_a_token_of_its_own(world: World) -> None:
    found = world.enroll()
    assert found == Enrolled(
        agent_id=ID,
        client=SOL,
        network="S1",
        token=found.token,
        token_id=found.token_id,
        kind="new",
        signs=(),
        before=(),
    )
    assert found.token.reveal().startswith(f"fm1.{found.token_id}.")
    row = row_of(world.session, found.token_id)
    assert (row.networks, row.scopes, row.state) == (("S1",), ("config", "ingest", "commands"), "active")
    assert (row.agent, row.created_at, row.expires_at, row.single_use) == (ID, NOW, None, False)
    assert world.agents() == [(ID, "S1", "pdv", NOW, ADDRESS)]


def test_a_host_that_comes_again_keeps_its_place_and_its_last_token_alone(world: World) -> None:
    first, second = world.enroll(), world.enroll(now=LATER)
    assert (second.kind, second.signs, second.before) == ("again", (), ())
    assert row_of(world.session, first.token_id).state == "revoked"
    assert row_of(world.session, second.token_id).state == "active"
    assert world.agents() == [(ID, "S1", "pdv", LATER, ADDRESS)]


def test_tokens_of_other_agents_and_of_operators_stay(world: World) -> None:
    other, operators = world.enroll(agent_id=uuid7()), world.bootstrap("S1")
    world.enroll()
    world.enroll()
    assert [row_of(world.session, one).state for one in (other.token_id, operators)] == ["active", "active"]


# How the host comes again, and how long before its token was used -> the signs
SIGNS: dict[str, tuple[str, str | None, dt.timedelta | None, tuple[str, ...]]] = {
    "as before": ("pdv", ADDRESS, None, ()),
    "under another name": ("pdv-2", ADDRESS, None, ("hostname",)),
    "under its name in capitals": ("PDV", ADDRESS, None, ("hostname",)),
    "from another address": ("pdv", OTHER_ADDRESS, None, ("address",)),
    "from an address that is not known": ("pdv", None, None, ("address",)),
    "while its token is in use": ("pdv", ADDRESS, QUARTER - MOMENT, ("token_in_use",)),
    "when its token is no longer in use": ("pdv", ADDRESS, QUARTER, ()),
    "everything at once": ("pdv-2", OTHER_ADDRESS, dt.timedelta(), ("hostname", "address", "token_in_use")),
}


@pytest.mark.parametrize("case", SIGNS)
def test_what_differs_from_the_last_time_is_a_sign_of_another_machine(world: World, case: str) -> None:
    hostname, address, since, signs = SIGNS[case]
    first = world.enroll()
    if since is not None:
        world.used(first, LATER - since)
    found = world.enroll(hostname=hostname, address=address, now=LATER)
    assert found.signs == signs
    assert found.kind == ("elsewhere" if signs else "again")
    assert found.before == ((Before(SOL, "S1", "pdv", ADDRESS),) if signs else ())
    assert world.agents() == [(ID, "S1", hostname, LATER, address)], "the new one is who is known from now on"
    assert row_of(world.session, first.token_id).state == "revoked"


def test_an_agent_whose_address_was_never_known_may_come_from_anywhere(world: World) -> None:
    world.enroll(address=None)
    assert world.enroll().kind == "again"


def test_the_use_of_a_token_that_was_revoked_before_is_no_sign(world: World) -> None:
    first = world.enroll()
    world.used(first, LATER)
    revoke(world.session, first.token_id, NOW)
    assert world.enroll(now=LATER).signs == ()


def test_the_use_of_another_agents_token_is_no_sign(world: World) -> None:
    world.enroll()
    world.used(world.enroll(agent_id=uuid7()), LATER)
    assert world.enroll(now=LATER).signs == ()


# --- the same id in other networks ---


def test_the_same_id_in_another_network_is_another_agent_and_the_log_names_both(world: World) -> None:
    first = world.enroll("S1")
    found = world.enroll("S2", hostname="pdv-2", now=LATER)
    assert (found.kind, found.signs, found.before) == ("elsewhere", ("network",), (Before(SOL, "S1", "pdv", ADDRESS),))
    assert world.agents() == [(ID, "S1", "pdv", NOW, ADDRESS), (ID, "S2", "pdv-2", LATER, ADDRESS)]
    assert row_of(world.session, first.token_id).state == "active", "it is another agent's"


def test_the_same_id_of_another_client_is_another_agent_and_the_log_names_all(world: World) -> None:
    add_network(world.session, LUA, "L2", NOW)
    world.enroll("L1", client=LUA)
    world.enroll("L2", client=LUA, hostname="till")
    found = world.enroll("S1")
    assert found.signs == ("client",), "once, however many there are"
    assert set(found.before) == {Before(LUA, "L1", "pdv", ADDRESS), Before(LUA, "L2", "till", ADDRESS)}


def test_signs_of_every_kind_are_reported_together(world: World) -> None:
    world.enroll("L1", client=LUA)
    world.enroll("S2")
    world.enroll("S1")
    found = world.enroll("S1", hostname="pdv-2")
    assert set(found.signs) == {"client", "network", "hostname"}
    assert len(found.before) == 3


def test_a_use_in_another_network_is_no_sign_of_this_agent(world: World) -> None:
    world.enroll("S1")
    world.used(world.enroll("S2"), NOW)
    assert "token_in_use" not in world.enroll("S1").signs


@pytest.mark.parametrize("networks", [("S1", "S2"), ()], ids=["a token of both", "a token of all"])
def test_an_agent_stays_in_its_network_where_the_token_is_for_both(world: World, networks: tuple[str, ...]) -> None:
    first = world.enroll("S1")
    issued = len(list_tokens(world.session, NOW))
    with pytest.raises(Refusal) as caught:
        world.enroll("S2", token=world.bootstrap(*networks))
    assert caught.value.reason == "agent_elsewhere"
    assert world.agents() == [(ID, "S1", "pdv", NOW, ADDRESS)]
    assert row_of(world.session, first.token_id).state == "active"
    assert len(list_tokens(world.session, NOW)) == issued + 1, "the one that was asked with"
    assert world.enroll("S1", token=world.bootstrap(*networks)).kind == "again"


# --- two at once ---


def test_one_enrolment_of_a_client_at_a_time_sees_which_networks_have_the_agent(world: World) -> None:
    seen: list[tuple[str, Mapping[str, object]]] = []

    def note(state: ORMExecuteState) -> None:
        if isinstance(state.statement, Select):
            compiled = state.statement.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
            seen.append((" ".join(str(compiled).split()), compiled.params))

    token = world.bootstrap("S1")
    client_id = principal(world.session, token, "S1").client_id
    event.listen(world.session, "do_orm_execute", note)
    world.enroll(token=token)
    [client, agent] = [place for place, (text, _) in enumerate(seen) if " FOR " in text]
    assert seen[client] == (
        "SELECT clients.id FROM clients WHERE clients.id = %(id_1)s::INTEGER FOR NO KEY UPDATE",
        {"id_1": client_id},
    )
    assert "FROM agents" in seen[agent][0]
    assert seen[agent][0].endswith(" FOR UPDATE")
    assert client < min(place for place, (text, _) in enumerate(seen) if "FROM agents" in text) < agent


def test_what_another_process_wrote_of_the_agent_meanwhile_is_replaced(world: World) -> None:
    world.enroll()
    elsewhere = update(Agent).values(hostname="pdv-2").execution_options(synchronize_session=False)
    world.session.execute(elsewhere)
    assert world.enroll().signs == ("hostname",)
    assert [row[2] for row in world.agents()] == ["pdv"]


# --- tokens that work once ---


def test_a_token_that_works_once_enrols_one_host(world: World) -> None:
    once = world.bootstrap("S1", single_use=True)
    world.enroll(token=once)
    with pytest.raises(Refusal) as caught:
        world.enroll(token=once, agent_id=uuid7())
    assert caught.value.reason == "token_used"
    assert len(world.agents()) == 1


def test_any_other_token_enrols_many(world: World) -> None:
    token = world.bootstrap("S1")
    agents = {world.enroll(token=token, agent_id=uuid7()).agent_id for _ in range(3)}
    assert len(agents) == len(world.agents()) == 3
