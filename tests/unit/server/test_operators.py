"""Operators: which of them is let in, and how they are added, changed and removed."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.reasons.refusal import Refusal
from server.services.operators.access import Operator, Role, TokenRecord, admit, public_id_of
from server.services.operators.managing import add_operator, change_operator, list_operators, remove_operator
from server.services.operators.tokens import issue_token, list_operator_tokens, revoke_token
from server.services.tokens.access import hash_of
from server.storage.models import OperatorToken
from tests.unit.server.tables import LUA, MOMENT, NOW, SOL, tables

RECORD = TokenRecord(7, "a" * 12, hash_of("right"), None, None, 3, "ana", "viewer", None, frozenset({1}))


@pytest.fixture
def session() -> Iterator[Session]:
    with tables() as given:
        yield given


def reason(found: Operator | Refusal) -> str:
    return found.reason if isinstance(found, Refusal) else "let in"


@pytest.mark.parametrize(
    ("changes", "secret", "role", "expected"),
    [
        ({}, "right", Role.VIEWER, "let in"),
        ({}, "wrong", Role.VIEWER, "token_unknown"),
        ({}, "right", Role.OPERATOR, "role_missing"),
        ({"role": "operator"}, "right", Role.OPERATOR, "let in"),
        ({"role": "operator"}, "right", Role.VIEWER, "let in"),
        ({"revoked_at": NOW}, "right", Role.VIEWER, "token_revoked"),
        ({"revoked_at": NOW}, "wrong", Role.VIEWER, "token_unknown"),
        ({"removed_at": NOW}, "right", Role.VIEWER, "token_revoked"),
        ({"expires_at": NOW}, "right", Role.VIEWER, "token_expired"),
        ({"expires_at": NOW + MOMENT}, "right", Role.VIEWER, "let in"),
    ],
)
def test_an_operator_is_let_in_by_secret_time_and_role(
    changes: dict[str, Any], secret: str, role: Role, expected: str
) -> None:
    assert reason(admit(RECORD._replace(**changes), secret, role=role, now=NOW)) == expected


def test_a_token_that_is_not_stored_is_unknown() -> None:
    assert reason(admit(None, "right", role=Role.VIEWER, now=NOW)) == "token_unknown"


def test_who_is_let_in_is_known_with_role_and_clients() -> None:
    found = admit(RECORD, "right", role=Role.VIEWER, now=NOW)
    assert found == Operator(7, "a" * 12, 3, "ana", Role.VIEWER, frozenset({1}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"fm1.{'a' * 12}.{'b' * 43}", "operator_required"),
        ("", "operator_required"),
        ("fo1.a.b", "token_unknown"),
        (f"fo1.{'a' * 12}.{'b' * 43}\n", "token_unknown"),
    ],
)
def test_only_the_form_of_an_operators_token_is_looked_for(text: str, expected: str) -> None:
    with pytest.raises(Refusal) as refused:
        public_id_of(text)
    assert refused.value.reason == expected


def test_an_operator_is_for_some_clients_or_for_all(session: Session) -> None:
    add_operator(session, "ana", Role.VIEWER, [SOL, SOL], NOW)
    add_operator(session, "rui", Role.OPERATOR, [], NOW)
    assert [(row.name, row.role, row.clients) for row in list_operators(session, NOW)] == [
        ("ana", "viewer", (SOL,)),
        ("rui", "operator", "all"),
    ]
    assert change_operator(session, "ana", NOW, role=None, clients=[LUA, SOL]).clients == (LUA, SOL)
    changed = change_operator(session, "ana", NOW, role=Role.OPERATOR, clients=None)
    assert (changed.role, changed.clients) == ("operator", (LUA, SOL))
    assert change_operator(session, "ana", NOW, role=None, clients=[]).clients == "all"


@pytest.mark.parametrize(
    ("name", "clients", "expected"),
    [
        ("ana", [], "name_taken"),
        ("-", [], "name_invalid"),
        ("a b", [], "name_invalid"),
        ("rui", ["X"], "client_unknown"),
    ],
)
def test_what_cannot_be_added_is_refused(session: Session, name: str, clients: list[str], expected: str) -> None:
    add_operator(session, "ana", Role.VIEWER, [], NOW)
    with pytest.raises(Refusal) as refused:
        add_operator(session, name, Role.VIEWER, clients, NOW)
    assert refused.value.reason == expected


def test_a_removed_operator_has_no_valid_token_also_when_added_again(session: Session) -> None:
    add_operator(session, "ana", Role.OPERATOR, [SOL], NOW)
    first, _ = issue_token(session, "ana", None, NOW)
    issue_token(session, "ana", NOW + MOMENT, NOW)
    assert [row.tokens for row in list_operators(session, NOW)] == [2]
    assert [row.tokens for row in list_operators(session, NOW + MOMENT)] == [1]
    assert remove_operator(session, "ana", NOW) == 2
    assert list_operators(session, NOW) == []
    for call in (lambda: remove_operator(session, "ana", NOW), lambda: issue_token(session, "ana", None, NOW)):
        with pytest.raises(Refusal, match="there is no operator"):
            call()
    again = add_operator(session, "ana", Role.VIEWER, [], NOW + dt.timedelta(days=1))
    assert (again.role, again.clients, again.tokens) == ("viewer", "all", 0)
    assert {row.state for row in list_operator_tokens(session, NOW, "ana")} == {"revoked"}
    assert first.id in {row.id for row in list_operator_tokens(session, NOW)}


def test_of_a_token_only_its_hash_is_stored(session: Session) -> None:
    add_operator(session, "ana", Role.VIEWER, [], NOW)
    row, secret = issue_token(session, "ana", None, NOW)
    public_id, text = public_id_of(secret.reveal())
    stored = session.scalars(select(OperatorToken)).one()
    assert (stored.public_id, stored.secret_hash) == (row.id, hash_of(text)) == (public_id, hash_of(text))


def test_a_revoked_token_may_be_named_whole_and_its_secret_is_not_repeated(session: Session) -> None:
    add_operator(session, "ana", Role.VIEWER, [], NOW)
    row, secret = issue_token(session, "ana", None, NOW)
    assert revoke_token(session, secret.reveal(), NOW) == (row.id, True)
    assert revoke_token(session, row.id, NOW) == (row.id, False)
    with pytest.raises(Refusal) as refused:
        revoke_token(session, f"fo1.nobody.{'s' * 43}", NOW)
    assert "sss" not in refused.value.message
    with pytest.raises(Refusal, match="there is no operator"):
        list_operator_tokens(session, NOW, "nobody")
