"""The usual poll is answered before Flask; whatever is unusual about a request goes to Flask as it came."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from server.api.config_poll import ConfigPoll
from server.services.configurations.in_force import Current
from server.services.tokens.access import Scope
from server.services.tokens.lifecycle import issue, revoke
from server.storage.models import Configuration, Network, Token
from server.wiring import Services
from tests.unit.server.tables import NOW, SOL, tables

PATH, TAG, BODY = "/api/ingest/bot/config", "0123456789abcdef", b'{"network": "S1"}'
ETAG = f'"{TAG}"'
FLASK = "whatever Flask says"


@dataclass
class World:
    """A stored document of network S1, and a token for it."""

    session: Any
    token: str
    token_id: int
    public_id: str
    uses: list[tuple[int, dt.datetime]] = field(default_factory=list)
    opened: list[Current] = field(default_factory=list)
    broken: bool = False

    def _open(self, current: Current) -> bytes:
        if self.broken:
            raise RuntimeError("damaged")
        self.opened.append(current)
        return BODY

    def ask(self, *, all_lines: bool = False, **changes: Any) -> tuple[str, dict[str, str], bytes]:
        """Status line, headers and body; ``changes`` of the WSGI environment, None removes."""
        services = SimpleNamespace(
            clock=lambda: NOW,
            rows=lambda statement, **parameters: self.session.execute(statement, parameters).all(),
            last_use=SimpleNamespace(note=lambda token_id, now: self.uses.append((token_id, now))),
            documents=SimpleNamespace(opened=self._open),
        )
        usual = {
            "PATH_INFO": PATH,
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": "rede=S1",
            "HTTP_X_BOT_TOKEN": self.token,
            "REMOTE_ADDR": "192.0.2.1",
        }
        answered: list[tuple[str, dict[str, str]]] = []

        def flask(environ: Any, start_response: Any) -> Iterable[bytes]:
            start_response(FLASK, [])
            return [environ["PATH_INFO"].encode()]

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            answered.append((status, dict(headers)))

        poll = ConfigPoll(flask, cast("Services", services), **({"all_lines": True} if all_lines else {}))
        environ = {name: value for name, value in {**usual, **changes}.items() if value is not None}
        body = b"".join(poll(environ, start_response))
        [(status, headers)] = answered
        return status, headers, body


@pytest.fixture
def world() -> Any:
    with tables() as session:
        row, text = issue(session, client=SOL, networks=["S1"], scopes=[Scope.CONFIG], expires_at=None, now=NOW)
        network = session.query(Network).filter_by(code="S1").one()
        session.add(Configuration(network_id=network.id, version=4, etag=TAG, key_id="key", sealed=b"", created_at=NOW))
        session.flush()
        token_id = session.query(Token).filter_by(public_id=row.id).one().id
        yield World(session, text.reveal(), token_id, row.id)


@pytest.mark.parametrize("known", [None, '""', '"another"', f'"{TAG[:-1]}"'])
def test_a_proxy_with_another_version_gets_the_document_with_its_etag(world: World, known: str | None) -> None:
    status, headers, body = world.ask(HTTP_IF_NONE_MATCH=known, HTTP_X_CORRELATION_ID="run-7")
    assert (status, body) == ("200 OK", BODY)
    assert headers == {
        "ETag": ETAG,
        "Cache-Control": "private, no-cache",
        "x-correlation-id": "run-7",
        "Content-Type": "application/json",
        "Content-Length": str(len(BODY)),
    }
    assert [(one.network, one.version, one.tag) for one in world.opened] == [("S1", 4, TAG)]


def test_a_proxy_with_the_same_version_is_told_so_without_opening_it(world: World) -> None:
    status, headers, body = world.ask(HTTP_IF_NONE_MATCH=ETAG, HTTP_X_CORRELATION_ID="run-7")
    assert (status, body) == ("304 NOT MODIFIED", b"")
    assert headers == {"ETag": ETAG, "Cache-Control": "private, no-cache", "x-correlation-id": "run-7"}
    assert world.opened == []


@pytest.mark.parametrize("known", [None, ETAG])
def test_an_answered_poll_is_a_use_of_its_token(world: World, known: str | None) -> None:
    world.ask(HTTP_IF_NONE_MATCH=known)
    assert world.uses == [(world.token_id, NOW)]


def test_a_request_without_a_correlation_id_gets_one(world: World) -> None:
    assert len(world.ask()[1]["x-correlation-id"]) == 36


def test_a_token_for_one_network_needs_not_name_it(world: World) -> None:
    assert world.ask(QUERY_STRING="")[0] == "200 OK"


UNUSUAL: dict[str, dict[str, Any]] = {
    "another path": {"PATH_INFO": "/health"},
    "another path below": {"PATH_INFO": f"{PATH}/"},
    "another method": {"REQUEST_METHOD": "HEAD"},
    "no token": {"HTTP_X_BOT_TOKEN": None},
    "an empty token": {"HTTP_X_BOT_TOKEN": ""},
    "a second token": {"HTTP_AUTHORIZATION": "Bearer x"},
    "an empty authorization": {"HTTP_AUTHORIZATION": ""},
    "no token of ours": {"HTTP_X_BOT_TOKEN": "anything"},
    "an unknown token": {"HTTP_X_BOT_TOKEN": f"fm1.0123456789ab.{'s' * 43}"},
    "another network": {"QUERY_STRING": "rede=S2"},
    "an empty network": {"QUERY_STRING": "rede="},
    "a network in percent signs": {"QUERY_STRING": "rede=%53%31"},
    "a network twice": {"QUERY_STRING": "rede=S1&rede=S1"},
    "another parameter": {"QUERY_STRING": "rede=S1&x=1"},
    "a long network": {"QUERY_STRING": f"rede={'x' * 65}"},
    "several etags": {"HTTP_IF_NONE_MATCH": f'{ETAG}, "other"'},
    "a weak etag": {"HTTP_IF_NONE_MATCH": f"W/{ETAG}"},
    "a star": {"HTTP_IF_NONE_MATCH": "*"},
    "an etag without marks": {"HTTP_IF_NONE_MATCH": TAG},
    "an empty etag": {"HTTP_IF_NONE_MATCH": ""},
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_no_plain_poll_goes_to_flask_as_it_came(world: World, case: str) -> None:
    with capture_logs() as lines:
        status, headers, body = world.ask(**UNUSUAL[case])
    assert (status, headers) == (FLASK, {})
    assert body.decode() == UNUSUAL[case].get("PATH_INFO", PATH)
    assert (world.uses, world.opened, lines) == ([], [], [])


def test_what_is_refused_or_fails_goes_to_flask_which_has_every_error(world: World) -> None:
    world.broken = True
    assert world.ask()[0] == FLASK
    world.broken = False
    world.session.execute(update(Token).values(scopes="ingest"))
    assert world.ask()[0] == FLASK
    world.session.execute(update(Token).values(scopes="config"))
    assert world.ask()[0] == "200 OK"
    revoke(world.session, world.public_id, NOW)
    assert world.ask()[0] == FLASK
    assert len(world.uses) == 1


def test_a_network_without_a_document_goes_to_flask(world: World) -> None:
    world.session.query(Configuration).delete()
    assert world.ask()[0] == FLASK


@pytest.mark.parametrize(
    ("known", "all_lines", "status"), [(None, False, 200), (None, True, 200), (ETAG, False, None), (ETAG, True, 304)]
)
def test_a_poll_that_found_nothing_new_is_logged_only_when_every_line_is_asked_for(
    world: World, known: str | None, all_lines: bool, status: int | None
) -> None:
    with capture_logs() as lines:
        world.ask(all_lines=all_lines, HTTP_IF_NONE_MATCH=known, HTTP_X_CORRELATION_ID="run-7")
    expected = {
        "event": "request",
        "log_level": "debug" if status == 304 else "info",
        "method": "GET",
        "path": PATH,
        "status": status,
        "address": "192.0.2.1",
        "client": SOL,
        "token": world.public_id,
        "correlation_id": "run-7",
    }
    assert [{key: value for key, value in line.items() if key != "ms"} for line in lines] == [expected] * bool(status)
    assert all(0 <= line["ms"] < 60_000 for line in lines)
