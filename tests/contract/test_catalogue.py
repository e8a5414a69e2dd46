"""The catalogue that both sides read says what the actions declare, and what is checked with it is what a run checks."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.catalogue import Catalogue, parse_catalogue, render_catalogue
from contracts.document import problems_of
from contracts.parameters import model_of, secrets_of
from contracts.secret import Secret
from runtime.actions.registry import ACTIONS, registered
from runtime.adapters import assets
from runtime.domain.action import Action, Params
from runtime.domain.published import publish
from server.services.configurations import actions

KNOWN: Catalogue = actions.catalogue()
WITH_PARAMETERS = [action for action in ACTIONS if action.available]

# Values that somebody may write, right and wrong, for a parameter of any kind.
VALUES: tuple[Any, ...] = (
    None, "", "x", "yes", "1", 0, 1, 5, 901, -1, 1.5, True, [], ["a"], [1], {}, {"a": 1}, "America/Sao_Paulo", "Etc/GMT+3",
    "Brazil/Nowhere", "/etc/passwd", "/usr/share/zoneinfo/UTC", "../etc", "ntp.example", "-bad", "10.0.0.1",
    [{"start": "22:00", "end": "06:00"}], [{"start": "22:00", "end": "22:00"}], [{"start": "22:00"}],
    [{"start": "22:00", "end": "06:00", "weekdays": ["mon"], "stores": [1], "timezone": "America/Manaus"}],
    [{"start": "22:00+01:00", "end": "06:00", "colour": 1}], [{"start": "22:00", "end": "06:00", "weekdays": ["Monday"]}],
)  # fmt: skip


def test_the_file_is_what_the_declarations_say() -> None:
    loaded = assets.load(assets.find_root(), registered().names)
    assert publish(ACTIONS, loaded.providers) == KNOWN
    assert parse_catalogue(render_catalogue(KNOWN)) == KNOWN


def test_every_name_means_the_same_on_both_sides() -> None:
    assert {name: key for name, key in KNOWN.names().items() if name in registered().names} == dict(registered().names)
    assert KNOWN.names("zanthus")["terminal_shutdown"] == "shutdown_endpoint"


@pytest.mark.parametrize("action", WITH_PARAMETERS, ids=lambda action: action.name)
def test_a_schema_becomes_the_model_that_it_came_from(action: Action) -> None:
    """Nothing that a declaration says about its parameters is lost on the way: titles and prose do not count."""
    there = KNOWN.actions[action.name].parameters
    assert _bare(model_of(there, action.name).model_json_schema()) == _bare(there)


@pytest.mark.parametrize("action", WITH_PARAMETERS, ids=lambda action: action.name)
def test_both_sides_find_the_same_wrong_values(action: Action) -> None:
    made = model_of(KNOWN.actions[action.name].parameters, action.name)
    for name in (*action.params.model_fields, "unknown_one"):
        for value in VALUES:
            assert _wrong(made, {name: value}) == _wrong(action.params, {name: value}), (name, value)


def test_a_secret_parameter_stays_a_secret() -> None:
    class Signed(Params):
        """A parameter that must not be shown."""

        signing_key: Secret
        other: Secret | None = None
        key_id: str = ""

    schema = json.loads(json.dumps(Signed.model_json_schema()))
    made: Any = model_of(schema)
    assert secrets_of(schema) == {"signing_key", "other"}
    assert "hunter2" not in repr(made(signing_key="hunter2"))
    assert made(signing_key="hunter2").signing_key.reveal() == "hunter2"


def test_a_schema_that_cannot_be_carried_is_refused_when_it_is_read() -> None:
    for part in ({"type": "string", "contentEncoding": "base64"}, {"type": "string", "format": "strange"}):
        with pytest.raises(ValueError, match=r"cannot carry|unknown format"):
            model_of({"type": "object", "properties": {"a": part}})


def _wrong(model: Any, values: dict[str, Any]) -> set[tuple[str, str]]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return {(problem.path, problem.message) for problem in problems_of(error)}
    return set()


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in ("title", "description")}
    return [_bare(value) for value in schema] if isinstance(schema, list) else schema
