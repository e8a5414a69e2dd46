"""What the rule of who is let in decides on, as it is loaded: networks of the token's client, and the version in force."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from server.reasons.refusal import Refusal
from server.services.configurations.in_force import Current
from server.services.tokens.access import Principal, Scope
from server.services.tokens.admission import Admission, admission, networks_of
from server.services.tokens.lifecycle import issue, revoke
from server.storage.models import Configuration, Network
from tests.unit.server.tables import LUA, NOW, SOL, principal, tables


@pytest.fixture
def session() -> Iterator[Session]:
    with tables() as given:
        yield given


class Rows:
    """As requests read: what was sent is kept in ``sent``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.sent: list[dict[str, Any]] = []

    def __call__(self, statement: Select[*tuple[Any, ...]], /, **parameters: Any) -> Sequence[Sequence[Any]]:
        self.sent.append(parameters)
        return self._session.execute(statement, parameters).all()


def token(session: Session, *networks: str, client: str = SOL) -> tuple[str, str]:
    """Public id and text."""
    row, text = issue(session, client=client, networks=networks, scopes=[Scope.CONFIG], expires_at=None, now=NOW)
    session.flush()
    return row.id, text.reveal()


def store(session: Session, network: str, version: int) -> Current:
    """A version of a network's configuration, which is in force when it is the highest."""
    known = session.scalars(select(Network).where(Network.code == network)).one()
    row = Configuration(
        network_id=known.id,
        version=version,
        etag=f"{known.id:016}{version:016}",
        key_id=f"key of {network}",
        sealed=b"",
        created_at=NOW,
    )
    session.add(row)
    session.flush()
    return Current(LUA if network == "L1" else SOL, known.id, network, row.id, version, row.etag, row.key_id)


def admitted(session: Session, text: str, network: str | None = None) -> Admission:
    return admission(Rows(session), text, Scope.CONFIG, network, NOW)


def refused(session: Session, text: str, network: str | None = None) -> str:
    with pytest.raises(Refusal) as caught:
        admitted(session, text, network)
    return caught.value.reason


def test_the_principal_is_the_tokens_owner_in_the_network(session: Session) -> None:
    public_id, text = token(session, "S2")
    expected = principal(session, public_id, "S2")
    assert admitted(session, text).principal == admitted(session, text, "S2").principal == expected
    assert isinstance(expected, Principal)


def test_the_version_in_force_is_the_highest_of_the_network_itself(session: Session) -> None:
    _, text = token(session)
    for network, version in (("S1", 1), ("S2", 3), ("L1", 9)):
        store(session, network, version)
    latest = store(session, "S1", 2)
    assert admitted(session, text, "S1") == (admitted(session, text, "S1").principal, latest)
    assert admitted(session, text, "S1").served() == latest
    assert admitted(session, text, "S2").served().version == 3


def test_the_version_in_force_is_found_without_the_networks_name_too(session: Session) -> None:
    store(session, "S1", 5)
    latest = store(session, "S2", 1)
    assert admitted(session, token(session, "S2")[1]).served() == latest
    assert admitted(session, token(session, client=LUA)[1]).current is None


def test_before_the_first_version_there_is_nothing_to_serve(session: Session) -> None:
    _, text = token(session, "S1")
    store(session, "S2", 1)
    found = admitted(session, text)
    assert found.current is None
    with pytest.raises(Refusal) as caught:
        found.served()
    assert caught.value.reason == "configuration_missing"


@pytest.mark.parametrize(
    ("networks", "asked", "reason"),
    [
        (("S1",), "S2", "network_not_allowed"),
        (("S1",), "L1", "network_not_allowed"),
        ((), "L1", "network_not_allowed"),
        ((), "S3", "network_not_allowed"),
        ((), None, "network_required"),
        (("S1", "S2"), None, "network_required"),
    ],
)
def test_a_network_that_the_token_is_not_for_is_refused(
    session: Session, networks: tuple[str, ...], asked: str | None, reason: str
) -> None:
    _, text = token(session, *networks)
    token(session, "S1", "S2")
    assert refused(session, text, asked) == reason


@pytest.mark.parametrize("text", ["", "anything", "fm1.0123456789ab.short", f"fm1.0123456789ab.{'s' * 43}"])
def test_a_token_that_is_not_there_is_unknown(session: Session, text: str) -> None:
    assert refused(session, text) == "token_unknown"
    assert refused(session, text, "S1") == "token_unknown"


def test_a_revocation_counts_with_the_next_request(session: Session) -> None:
    public_id, text = token(session, "S1")
    assert admitted(session, text).principal.network == "S1"
    revoke(session, public_id, NOW)
    assert refused(session, text) == "token_revoked"


@pytest.mark.parametrize(("asked", "sent"), [("S1", "S1"), ("a b", ""), ("S1\0", ""), ("", ""), ("x" * 65, "")])
def test_a_code_that_no_network_can_have_never_reaches_the_database(session: Session, asked: str, sent: str) -> None:
    public_id, text = token(session)
    rows = Rows(session)
    if sent:
        admission(rows, text, Scope.CONFIG, asked, NOW)
    else:
        with pytest.raises(Refusal):
            admission(rows, text, Scope.CONFIG, asked, NOW)
    assert rows.sent == [{"public_id": public_id, "code": sent}]


def test_what_has_not_a_tokens_form_never_reaches_the_database(session: Session) -> None:
    rows = Rows(session)
    with pytest.raises(Refusal):
        admission(rows, "anything", Scope.CONFIG, None, NOW)
    assert rows.sent == []


@pytest.mark.parametrize(("networks", "codes"), [((), {"S1", "S2"}), (("S1",), {"S1"}), (("S1", "S2"), {"S1", "S2"})])
def test_all_networks_of_a_token_are_found(session: Session, networks: tuple[str, ...], codes: set[str]) -> None:
    public_id, _ = token(session, *networks)
    store(session, "S1", 1)
    found = networks_of(session, principal(session, public_id, "S1"))
    assert set(session.scalars(select(Network.code).where(Network.id.in_(found)))) == codes


def test_a_token_that_is_gone_is_for_no_network(session: Session) -> None:
    public_id, _ = token(session)
    gone = principal(session, public_id, "S1")._replace(public_id="0" * 12)
    assert networks_of(session, gone) == frozenset()


def test_a_client_without_networks_is_let_in_to_none(session: Session) -> None:
    session.execute(delete(Network).where(Network.code == "L1"))
    _, text = token(session, client=LUA)
    assert refused(session, text) == "network_required"
    assert refused(session, text, "L1") == "network_not_allowed"
