"""Clients and networks that are not there: the refusal names what is most alike, and how to add one."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from server.reasons.refusal import Refusal
from server.services.clients import add_client, did_you_mean, find_client
from server.services.networks import add_network, find_network
from tests.unit.server.tables import NOW, tables


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Mercado Sool", ' (did you mean "Mercado Sol"?)'),
        ("mercado sol", ' (did you mean "Mercado Sol"?)'),
        ("Padaria", ""),
    ],
)
def test_a_name_that_is_nearly_right_is_offered(name: str, hint: str) -> None:
    assert did_you_mean(name, ["Mercado Lua", "Mercado Sol"]) == hint


@pytest.fixture
def session() -> Iterator[Session]:
    with tables() as made:
        add_client(made, "Padaria Boa", NOW)
        add_network(made, "Padaria Boa", "CENTRO", NOW)
        yield made


def test_an_unknown_client_is_refused_with_a_near_name_and_the_command_that_adds_it(session: Session) -> None:
    with pytest.raises(Refusal) as refused:
        find_client(session, "Padaria Bao")
    assert refused.value.reason == "client_unknown"
    assert refused.value.message == (
        'there is no client "Padaria Bao" (did you mean "Padaria Boa"?); '
        "add it with: flagee-server client add 'Padaria Bao'"
    )


def test_an_unknown_network_is_refused_with_a_near_name_and_the_command_that_adds_it(session: Session) -> None:
    with pytest.raises(Refusal) as refused:
        find_network(session, "Padaria Boa", "CENTO")
    assert refused.value.reason == "network_unknown"
    assert '"CENTO" (did you mean "CENTRO"?); add it with: flagee-server network add' in refused.value.message
