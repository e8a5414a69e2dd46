"""Every route says what it requires; one that does not is not served."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from server import auth
from server.api import bot_config, config_poll
from server.auth import NotDeclared, check_declared, endpoint, public, required
from server.services.operators.access import Operator, Role
from server.services.tokens.access import Scope
from server.services.tokens.admission import Admission
from tests.harness.control_plane import empty

REQUIRED = {
    "/health": None,
    "/ready": None,
    "/api/bootstrap/health": None,
    "/api/bootstrap/install.sh": Scope.BOOTSTRAP,
    "/api/bootstrap/install.ps1": Scope.BOOTSTRAP,
    "/api/bootstrap/enroll": Scope.BOOTSTRAP,
    "/api/ingest/bot/config": Scope.CONFIG,
    "/v1/ingest": Scope.INGEST,
    "/v1/heartbeat": Scope.INGEST,
    "/agents/status": Role.VIEWER,
    "/v1/workers": Role.VIEWER,
    "/v1/workers/health": Role.VIEWER,
    "/telemetry/history": Role.VIEWER,
    "/telemetry/live": Role.VIEWER,
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    with empty(tmp_path).app() as made:
        yield made


def test_each_path_requires_what_the_contract_says(app: Flask) -> None:
    found = {rule.rule: required(app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules()}
    assert found == REQUIRED


def test_an_application_with_a_route_that_says_nothing_is_not_served(app: Flask) -> None:
    app.add_url_rule("/forgotten", view_func=lambda: "hello")
    with pytest.raises(NotDeclared, match=r"needs @endpoint\(…\) or @public"):
        check_declared(app)


def test_the_short_way_for_polls_requires_what_the_endpoint_requires() -> None:
    assert config_poll._SCOPE is required(bot_config.bot_config) is Scope.CONFIG


def test_a_public_endpoint_has_no_scope() -> None:
    @public
    def view() -> str:
        return "hello"

    assert required(view) is None
    with pytest.raises(NotDeclared, match="is public"):
        auth.required_scope(view)


@pytest.mark.parametrize("scope", Scope)
def test_an_endpoint_says_which_scope_it_requires(scope: Scope) -> None:
    @endpoint(scope)
    def view(admitted: Admission) -> str:
        return "hello"

    assert required(view) is auth.required_scope(view) is scope


@pytest.mark.parametrize("role", Role)
def test_an_endpoint_for_operators_says_which_role_it_requires(role: Role) -> None:
    @endpoint(role)
    def view(operator: Operator) -> str:
        return "hello"

    assert required(view) is role
    with pytest.raises(NotDeclared, match="is for operators"):
        auth.required_scope(view)


def test_an_endpoint_does_not_run_for_who_is_not_let_in(app: Flask) -> None:
    ran = []

    @endpoint(Scope.COMMANDS)
    def view(admitted: Admission) -> str:
        ran.append(admitted)
        return "hello"

    app.add_url_rule("/commands", view_func=view)
    answer = app.test_client().get("/commands")
    assert (answer.status_code, answer.get_json()["reason"], ran) == (401, "token_missing", [])
