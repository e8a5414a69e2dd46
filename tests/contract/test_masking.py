"""What a document shows: everything that is declared, nothing that is secret or that nobody has declared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.config import NetworkConfig
from contracts.document import json_schema
from contracts.masking import masked, masked_parameters
from contracts.secret import Secret, sounds_secret

COMPLETE = (Path(__file__).parent / "documents" / "complete.json").read_bytes()


def named_in_params(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node.get("params", {})
        for inner in node.values():
            yield from named_in_params(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from named_in_params(inner)


def test_masking_shows_everything_but_secrets() -> None:
    data = json.loads(COMPLETE)
    parameters = set(named_in_params(data))
    text = json.dumps(masked(data, parameters))
    assert "example-" not in text
    unmasked = json.loads(re.sub(r"example-[a-z-]+", "***", COMPLETE.decode()))
    assert masked(data, parameters) == unmasked


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"inventory": {"token": "hunter2"}}, {"inventory": {"token": "***"}}),
        ({"inventory": {"token": ""}}, {"inventory": {"token": ""}}),
        ({"inventory": {"token": ["hunter2", {"a": "hunter2"}]}}, {"inventory": {"token": ["***", {"a": "***"}]}}),
        (
            {"inventory": {"kind": "zabbix", "token": ["hunter2", {"a": "hunter2"}]}},
            {"inventory": {"kind": "zabbix", "token": "***"}},
        ),
        ({"token": "hunter2"}, {"token": "***"}),
        ({"DB_PASS": "hunter2", "DB_USER": "reader"}, {"DB_PASS": "***", "DB_USER": "reader"}),
        ({"PARAM_SSH_SENHA": "hunter2"}, {"PARAM_SSH_SENHA": "***"}),
        (
            {"actions": {"a": {"params": {"wifi_password": "hunter2"}}}},
            {"actions": {"a": {"params": {"wifi_password": "***"}}}},
        ),
        (
            {"agent": {"assets_url": "https://u:hunter2@a.example/x"}},
            {"agent": {"assets_url": "https://***@a.example/x"}},
        ),
        (
            {"credentials": [{"id": "a", "private_key": "hunter2"}]},
            {"credentials": [{"id": "a", "private_key": "***"}]},
        ),
        ({"credentiels": [{"id": "a", "pw": "hunter2"}]}, {"credentiels": [{"id": "***", "pw": "***"}]}),
        ({"PARAM_WIFI": "hunter2", "PARAM_REDE": "SOL"}, {"PARAM_WIFI": "***", "PARAM_REDE": "SOL"}),
        ({"PARAM_ROLLOUT_ARIUS": 10}, {"PARAM_ROLLOUT_ARIUS": 10}),
        (
            {"schedule": [{"id": "a", "params": {"windows": ["22-6"], "codigo": 4711, "on": True, "none": None}}]},
            {"schedule": [{"id": "a", "params": {"windows": ["22-6"], "codigo": "***", "on": True, "none": None}}]},
        ),
        ({"rollout": {"arius": {"percent": 5, "x": "hunter2"}}}, {"rollout": {"arius": {"percent": 5, "x": "***"}}}),
        ({"rollout": {"arius": "hunter2"}}, {"rollout": {"arius": "***"}}),
        ({"ssh": "hunter2", "schedule": "hunter2"}, {"ssh": "***", "schedule": "***"}),
        ({"inventory": {"kind": "ldap", "bind": "hunter2"}}, {"inventory": {"kind": "***", "bind": "***"}}),
        ({"inventory": {"kind": ["static"], "hosts": []}}, {"inventory": {"kind": ["***"], "hosts": []}}),
        (
            {"inventory": {"kind": "static", "hosts": [{"name": "a", "tags": {"os": "mint", "senha": "hunter2"}}]}},
            {"inventory": {"kind": "static", "hosts": [{"name": "a", "tags": {"os": "mint", "senha": "***"}}]}},
        ),
        ({"client": "Passos & Token", "ssh": {"port": 22}}, {"client": "Passos & Token", "ssh": {"port": 22}}),
    ],
)
def test_masking_a_document_that_may_be_wrong(written: dict[str, Any], shown: dict[str, Any]) -> None:
    assert masked(written, {"windows"}) == shown


def secret_places(node: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Dotted paths of what the published schema calls write-only."""
    if isinstance(node, list):
        for item in node:
            yield from secret_places(item, schema, path)
    elif isinstance(node, dict):
        if node.get("writeOnly"):
            yield path
        if "$ref" in node:
            yield from secret_places(schema["$defs"][node["$ref"].rpartition("/")[2]], schema, path)
        for name, inner in node.get("properties", {}).items():
            yield from secret_places(inner, schema, f"{path}.{name}" if path else name)
        for name in ("anyOf", "oneOf", "items", "additionalProperties"):
            yield from secret_places(node.get(name), schema, path)


SECRET_PLACES = sorted(set(secret_places(json_schema(), json_schema())))
SECRET = "0123456789-this-is-secret"
SHAPES = st.sampled_from(
    [SECRET, [SECRET], {"nested": SECRET}, {"a": {"b": [SECRET]}}, f"https://user:{SECRET}@host.example/path"]
)
UNKNOWN = ("extra.unheard_of", "schedule.params.codigo", "ssh.unheard_of", "actions.a.unheard_of")
LISTS = ("credentials", "concentrators", "schedule")


@settings(max_examples=200, deadline=None)
@given(
    places=st.sets(
        st.sampled_from(
            [
                *SECRET_PLACES,
                "actions.a.params.password",
                "schedule.params.api_key",
                "extra.senha",
                "extra.unheard_of",
                "schedule.params.codigo",
                "ssh.unheard_of",
            ]
        )
    ),
    shape=SHAPES,
)
def test_masking_leaves_no_secret_anywhere(places: set[str], shape: Any) -> None:
    document: dict[str, Any] = {}
    for place in sorted(places):
        *way, last = place.split(".")
        node = document
        for step in way:
            inner = node.setdefault(step, [{}] if step in LISTS else {})
            node = inner[0] if isinstance(inner, list) else inner
        node[last] = shape
    text = json.dumps(masked(document))
    assert SECRET not in text
    assert text.count("***") == len(places)


def test_a_parameter_that_the_action_does_not_declare_is_masked_by_its_value_alone() -> None:
    values = {"ntp_server": "10.0.0.1", "codigo": "hunter2", "nested": {"a": ["hunter2", 7]}}
    shown = {"ntp_server": "10.0.0.1", "codigo": "***", "nested": {"a": ["***", "***"]}}
    assert masked_parameters(values, {"ntp_server"}) == shown


def test_the_schema_marks_its_secrets() -> None:
    assert {place.rpartition(".")[2] for place in SECRET_PLACES} == {
        *("token", "password", "private_key", "passphrase", "elevation_password"),
    }
    assert len(SECRET_PLACES) == 8


# They name a login or say how logins are found, and hold no secret.
NO_SECRETS = {"credentials", "inventory.notes_credentials", "inventory.hosts.credential"}


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a document with its type, parts inside parts included."""
    for name, field in model.model_fields.items():
        yield prefix + name, field.annotation
        for part in parts_in(field.annotation):
            yield from keys_of(part, f"{prefix}{name}.")


def parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_in(inner)


def holds_secret(annotation: Any) -> bool:
    return annotation is Secret or any(map(holds_secret, get_args(annotation)))


SOUNDING = [one for one in keys_of(NetworkConfig) if sounds_secret(one[0].rpartition(".")[2])]


@pytest.mark.parametrize(("key", "annotation"), SOUNDING, ids=[key for key, _ in SOUNDING])
def test_a_key_that_sounds_like_a_secret_is_typed_as_one(key: str, annotation: Any) -> None:
    if key not in NO_SECRETS:
        assert holds_secret(annotation), f"{key} sounds like a secret: type it as Secret"
