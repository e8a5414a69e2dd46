"""Who is asking, read from the headers and the query of one request."""

import datetime as dt
from types import SimpleNamespace
from typing import cast

import pytest
from flask import Flask, g

from server.auth import authorized, network_asked_for, presented
from server.reasons.refusal import Refusal
from server.services.tokens.access import Scope
from server.services.tokens.lifecycle import issue, revoke
from server.wiring import Services
from tests.unit.server.tables import NOW, SOL, tables

APP = Flask(__name__)
BOT, BEARER = "X-Bot-Token", "Authorization"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({BOT: "one"}, "one"),
        ({BOT: "  one\t"}, "one"),
        ({BEARER: "Bearer one"}, "one"),
        ({BEARER: " bearer   one "}, "one"),
        ({BEARER: "BEARER one"}, "one"),
        ({BEARER: "Bearer one two"}, "one two"),
        ({BOT: "one", BEARER: "Bearer one"}, "one"),
        ({BOT: "one", BEARER: "Basic two"}, "one"),
        ({BOT: "one", BEARER: "Bearer"}, "one"),
        ({BOT: "", BEARER: "Bearer one"}, "one"),
        ({BOT: "one", BEARER: "Bearer two"}, "token_ambiguous"),
        ({}, "token_missing"),
        ({BOT: " "}, "token_missing"),
        ({BEARER: "Bearer"}, "token_missing"),
        ({BEARER: "Bearer "}, "token_missing"),
        ({BEARER: "one"}, "token_missing"),
        ({BEARER: "Basic one"}, "token_missing"),
        ({BEARER: "Bearerone"}, "token_missing"),
    ],
)
def test_a_token_is_taken_from_one_header_and_never_guessed(headers: dict[str, str], expected: str) -> None:
    with APP.test_request_context(headers=headers):
        try:
            found = presented()
        except Refusal as error:
            found = error.reason
    assert found == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("rede=", None),
        ("rede=SOL", "SOL"),
        ("rede=SOL&rede=SOL", "SOL"),
        ("other=LUA", None),
        ("rede=sol%00", "sol\0"),
    ],
)
def test_a_network_is_asked_for_by_its_code(query: str, expected: str | None) -> None:
    with APP.test_request_context(query_string=query):
        assert network_asked_for() == expected


@pytest.mark.parametrize("query", ["rede=SOL&rede=LUA", "rede=SOL&rede="])
def test_two_networks_at_once_are_refused(query: str) -> None:
    with APP.test_request_context(query_string=query), pytest.raises(Refusal) as caught:
        network_asked_for()
    assert (caught.value.row.status, caught.value.reason) == (400, "network_ambiguous")


def test_two_tokens_at_once_are_a_bad_request() -> None:
    headers = {BOT: "one", BEARER: "Bearer two"}
    with APP.test_request_context(headers=headers), pytest.raises(Refusal) as caught:
        presented()
    assert caught.value.row.status == 400


def test_the_owner_is_put_on_the_log_line_and_the_use_is_remembered() -> None:
    uses: list[tuple[int, dt.datetime]] = []
    with tables() as session:
        row, text = issue(session, client=SOL, networks=["S1"], scopes=[Scope.CONFIG], expires_at=None, now=NOW)
        session.flush()
        services = cast(
            "Services",
            SimpleNamespace(
                clock=lambda: NOW,
                rows=lambda statement, **parameters: session.execute(statement, parameters).all(),
                last_use=SimpleNamespace(note=lambda token_id, now: uses.append((token_id, now))),
            ),
        )
        with APP.test_request_context(headers={BOT: text.reveal()}, query_string="rede=S1"):
            admitted = authorized(services, Scope.CONFIG)
            assert (admitted.principal.public_id, admitted.principal.network) == (row.id, "S1")
            assert g.principal == admitted.principal
            assert uses == [(admitted.principal.token_id, NOW)]
        revoke(session, row.id, NOW)
        with APP.test_request_context(headers={BOT: text.reveal()}):
            with pytest.raises(Refusal) as caught:
                authorized(services, Scope.CONFIG)
            assert caught.value.reason == "token_revoked"
            assert g.token == row.id, "a refused token is named when its secret was right"
            assert "principal" not in g
        with APP.test_request_context(headers={BOT: f"fm1.{row.id}.{'s' * 43}"}):
            with pytest.raises(Refusal):
                authorized(services, Scope.CONFIG)
            assert g.token is None
    assert len(uses) == 1, "a refused use is not a use"
