"""Reading a configuration document: damaged, wrong, strange, from the future; what it says then, and what it never shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts import config
from contracts.bounded import MAX_BYTES, MAX_DEPTH
from contracts.config import NetworkConfig
from contracts.document import (
    DocumentError,
    json_schema,
    known_paths,
    read_document,
    same_content,
)
from tools import documents

COMPLETE = (Path(__file__).parent / "documents" / "complete.json").read_bytes()
SMALL: dict[str, Any] = {"network": "REDE", "inventory": {"kind": "static", "hosts": []}}
ZABBIX = {"kind": "zabbix", "url": "https://zabbix.example", "token": "example-token"}


def small(**keys: Any) -> bytes:
    return json.dumps({**SMALL, **keys}).encode()


def refused(raw: bytes, *, strict: bool = True) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read_document(raw, strict=strict)
    assert caught.value.problems
    return caught.value


# --- a good one ---


@pytest.mark.parametrize("strict", [True, False])
def test_a_complete_document_reads_without_a_note(strict: bool) -> None:
    read = read_document(COMPLETE, strict=strict)
    assert (read.generation, read.notes) == (2, ())
    assert read.config.network == "MERCADOSUL"


def test_the_complete_document_shows_every_key() -> None:
    assert known_paths() - set(shown_paths(json.loads(COMPLETE))) == {
        # the two kinds of inventory, and of freeze window, exclude each other
        *("inventory.ca_path", "inventory.exclude_templates", "inventory.groups", "inventory.notes_credentials"),
        *("inventory.timeout", "inventory.token", "inventory.url"),
    }


def shown_paths(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths of a document as the schema counts them: positions and map keys left out."""
    if isinstance(node, list):
        for item in node:
            yield from shown_paths(item, prefix)
    elif isinstance(node, dict):
        for key, value in node.items():
            path = f"{prefix}.{key}" if prefix else key
            # a map's key is no part of the path, its value's keys are
            known = path if path in known_paths() else prefix
            yield known
            yield from shown_paths(value, known)


def test_a_small_document_has_defaults() -> None:
    config = read_document(small(), strict=True).config
    assert (config.provider, config.timezone, config.compatibility.mode) == ("arius", "America/Sao_Paulo", "warn")


# --- damaged ---


def test_a_document_cut_anywhere_is_refused() -> None:
    text = small(timezone="America/Bahia", must_understand=["freeze"])
    assert {refused(text[:length], strict=False).reason for length in range(len(text))} == {"not_json"}


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        pytest.param(b"", "not_json", "not a complete JSON document", id="empty"),
        pytest.param(b"<html>502</html>", "not_json", "not a complete JSON document", id="an error page"),
        pytest.param(small() + b"{}", "not_json", "not a complete JSON document", id="something after it"),
        pytest.param(small().replace(b"REDE", b"RED\xc9"), "not_json", "not a complete JSON document", id="Latin-1"),
        pytest.param(small().decode().encode("utf-16"), "not_json", "not a complete JSON document", id="UTF-16"),
        pytest.param(b"\0" * 512, "not_json", "not a complete JSON document", id="zeros, as after a power cut"),
        pytest.param(b"[]", "wrong_type", "this is a list", id="a list"),
        pytest.param(b'"REDE"', "wrong_type", "this is a text", id="a text"),
        pytest.param(b"null", "wrong_type", "this is null", id="null"),
        pytest.param(b"2", "wrong_type", "this is a number", id="a number"),
        pytest.param(b"2.5", "wrong_type", "this is a number", id="a number with a point"),
        pytest.param(b"false", "wrong_type", "this is a truth value", id="a truth value"),
        pytest.param(b'{"network": "A", "network": "B"}', "not_json", "key given twice: network", id="a key twice"),
        pytest.param(b'{"a": [{"b": {"c": 1, "c": 1}}]}', "not_json", "key given twice: c", id="a key twice, deep"),
        pytest.param(b'{"network": NaN}', "not_json", "NaN is not a JSON number", id="NaN"),
        pytest.param(b'{"network": 1e999}', "not_json", "network: not a finite number", id="infinity"),
        pytest.param(
            b'{"network": "\\ud800"}', "not_json", r"\ud800 is half of a character", id="half a surrogate pair"
        ),
        pytest.param(b'{"network": ' + b"9" * 5000 + b"}", "not_json", "line 1 column 13", id="an enormous number"),
        pytest.param(b"[" * 100_000, "wrong_type", "40 levels deep, line 1 column 41", id="a tower of brackets"),
        pytest.param(
            b'{"actions":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
            "wrong_type",
            "levels deep",
            id="nested too deep",
        ),
        pytest.param(b" " * (MAX_BYTES + 1), "too_large", f"at most {MAX_BYTES}", id="too large"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_no_document_is_refused_with_its_reason(raw: bytes, reason: str, says: str, strict: bool) -> None:
    error = refused(raw, strict=strict)
    assert error.reason == reason
    assert says in str(error)


@pytest.mark.parametrize(
    ("raw", "path", "text"),
    [
        (b"[]", "", "a JSON object is expected, this is a list"),
        (b'{"a": "\\udc00"}', "", r"\udc00 is half of a character"),
        (b'{"a": [1, {"b": 1e999}]}', "a[1].b", "a[1].b: "),
        (b'{"network": 5}', "network", "network: "),
    ],
)
def test_what_is_wrong_with_a_document_stands_behind_its_place(raw: bytes, path: str, text: str) -> None:
    error = refused(raw)
    assert error.problems[0].path == path
    assert str(error.problems[0]).startswith(text)
    assert str(error).startswith(str(error.problems[0]))


def test_a_byte_order_mark_is_read_over() -> None:
    assert read_document(b"\xef\xbb\xbf" + small(), strict=True) == read_document(small(), strict=True)


# --- wrong ---


@pytest.mark.parametrize(
    ("keys", "path", "says"),
    [
        ({"network": None}, "network", "valid string"),
        ({"network": "../x"}, "network", "pattern"),
        ({"inventory": {"kind": "ldap"}}, "inventory", "'zabbix', 'static'"),
        ({"inventory": {"kind": "zabbix", "url": "https://z"}}, "inventory.token", "is required"),
        ({"inventory": {**ZABBIX, "token": 5}}, "inventory.token", "valid string"),
        ({"inventory": {"kind": "static", "hosts": [{"name": "a"}]}}, "inventory.hosts[0].address", "is required"),
        ({"timezone": "America/Sao_Paul"}, "timezone", "use an IANA name"),
        ({"timezone": "../../etc/passwd"}, "timezone", "use an IANA name"),
        ({"timezone": ""}, "timezone", "use an IANA name"),
        ({"ssh": {"allowed_networks": ["10.0.0.0/33"]}}, "ssh.allowed_networks[0]", "10.0.0.0/33"),
        ({"rollout": {"arius": {"percent": 101}}}, "rollout.arius.percent", "less than or equal to 100"),
        ({"rollout": {"Arius": {"percent": 1}}}, "rollout.Arius", "pattern"),
        (
            {"schedule": [{"id": "a", "action": "b", "cron": "0 25 * * *"}]},
            "schedule[0].cron",
            "hour: 25 is outside 0-23",
        ),
        ({"schedule": [{"id": "a", "action": "b", "cron": "@reboot"}]}, "schedule[0].cron", "not known here"),
        (
            {"schedule": [{"id": "a", "action": "b", "cron": "@daily", "not_after": 23}]},
            "schedule[0].not_after",
            "for example 23:50",
        ),
        ({"freeze": [{"id": "a", "from_time": "08:00"}]}, "freeze[0]", "give either start and end"),
        (
            {"freeze": [{"id": "a", "start": "2026-12-24T10:00Z", "end": "2026-12-25T10:00Z"}]},
            "freeze[0].start",
            "offset",
        ),
        ({"credentials": [{"id": "a", "user": "root"}]}, "credentials[0]", "needs a password or a private_key"),
        ({"credentials": [{"id": "a", "user": "root", "password": 5}]}, "credentials[0].password", "valid string"),
        ({"must_understand": "freeze"}, "must_understand", "valid tuple"),
        ({"must_understand": ["freeze", 5]}, "must_understand[1]", "valid string"),
        ({"must_understand": [["freeze"]]}, "must_understand[0]", "valid string"),
        ({"schema_version": 1}, "schema_version", "should be 2"),
        ({"schema_version": "3"}, "schema_version", "should be 2"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_wrong_value_is_named_by_its_path(keys: dict[str, Any], path: str, says: str, strict: bool) -> None:
    error = refused(small(**keys), strict=strict)
    assert error.reason == "invalid"
    found = {problem.path: problem.message for problem in error.problems}
    assert says in found.get(path, str(found))
    assert path in found


@pytest.mark.parametrize("keys", [{"image": {"reference": "Not An Image"}}, {"timezone": "posixrules"}])
def test_what_only_some_machines_read_is_refused_where_a_person_writes_it(keys: dict[str, Any]) -> None:
    refused(small(**keys), strict=True)
    assert read_document(small(**keys), strict=False).notes == ()


def test_every_wrong_value_is_named_at_once() -> None:
    error = refused(small(network=1, provider="No", refresh_interval=1))
    assert [problem.path for problem in error.problems] == ["network", "provider", "refresh_interval"]


@pytest.mark.parametrize(
    ("place", "secret"),
    [
        ({"inventory": {**ZABBIX, "token": ["hunter2-token"]}}, "hunter2-token"),
        ({"credentials": [{"id": "a", "user": "root", "password": {"is": "hunter2-word"}}]}, "hunter2-word"),
        ({"delivery": {"business_api": {"url": "https://b", "token": ["hunter2-bi"]}}}, "hunter2-bi"),
    ],
)
def test_a_refusal_does_not_repeat_a_secret(place: dict[str, Any], secret: str) -> None:
    error = refused(small(**place))
    assert secret not in f"{error!r}{error}{error.problems!r}"


def test_a_gateway_outside_the_allowed_networks_is_refused() -> None:
    error = refused(small(stores={"7": {"gateway": "203.0.113.1"}}))
    assert "stores.7.gateway: 203.0.113.1 is outside ssh.allowed_networks" in error.problems[0].message


# --- strangers ---


STRANGERS = [
    ({"refresh": 5}, "refresh"),
    ({"[key]": 5}, "[key]"),
    ({"ssh": {"ports": 22}}, "ssh.ports"),
    ({"inventory": {**SMALL["inventory"], "static": {"a": 1}}}, "inventory.static"),
    ({"inventory": {**ZABBIX, "zabbix": 1}}, "inventory.zabbix"),
    (
        {"inventory": {"kind": "static", "hosts": [{"name": "a", "address": "10.0.0.1", "mac": "x"}]}},
        "inventory.hosts[0].mac",
    ),
    ({"rollout": {"arius": {"percent": 1, "[key]": 1}}}, "rollout.arius.[key]"),
    ({"schedule": [{"id": "a", "action": "b", "cron": "@daily", "when": 1}]}, "schedule[0].when"),
    ({"concentrators": [{"address": "10.0.0.1", "oracle": {"user": "x"}}]}, "concentrators[0].oracle"),
    ({"stores": {"1": {"gatway": "10.0.0.1"}}}, "stores.1.gatway"),
]


@pytest.mark.parametrize(("keys", "path"), STRANGERS, ids=[path for _, path in STRANGERS])
def test_an_unknown_key_is_an_error_where_a_person_writes_it(keys: dict[str, Any], path: str) -> None:
    error = refused(small(**keys))
    assert [(problem.path, problem.message) for problem in error.problems] == [
        (path, "unknown key; is it spelled right?")
    ]


@pytest.mark.parametrize(("keys", "path"), STRANGERS, ids=[path for _, path in STRANGERS])
def test_an_unknown_key_is_ignored_with_a_note_where_a_proxy_reads_it(keys: dict[str, Any], path: str) -> None:
    read = read_document(small(**keys), strict=False)
    assert [(note.level, note.path) for note in read.notes] == [("info", path)]


def test_ignoring_unknown_keys_changes_nothing_else() -> None:
    data = json.loads(COMPLETE)
    with_strangers = json.loads(COMPLETE)
    with_strangers["later"] = with_strangers["ssh"]["later"] = with_strangers["schedule"][0]["later"] = {"a": [1]}
    read = read_document(json.dumps(with_strangers).encode(), strict=False)
    assert read.config == read_document(json.dumps(data).encode(), strict=True).config
    assert len(read.notes) == 3


def test_an_unknown_key_does_not_excuse_a_wrong_value() -> None:
    error = refused(small(later=1, network=1), strict=False)
    assert [problem.path for problem in error.problems] == ["network"]


# --- from the future ---


@pytest.mark.parametrize("strict", [True, False])
def test_a_document_of_a_later_schema_version_is_refused_as_one(strict: bool) -> None:
    error = refused(json.dumps({"schema_version": 3, "sites": []}).encode(), strict=strict)
    assert error.reason == "newer_version"
    assert [problem.path for problem in error.problems] == ["schema_version"]
    assert "update it first" in str(error)


@pytest.mark.parametrize("strict", [True, False])
def test_a_must_understand_key_that_is_unknown_refuses_the_document(strict: bool) -> None:
    error = refused(small(maintenance=[], must_understand=["freeze", "maintenance", "ssh.jump_host"]), strict=strict)
    assert error.reason == "must_understand"
    told = [name for name in ("maintenance", "ssh.jump_host", "freeze") if f'"{name}"' in str(error)]
    assert told == ["maintenance", "ssh.jump_host"]
    assert {problem.path for problem in error.problems} == {"must_understand"}


@pytest.mark.parametrize(
    "path", ["freeze", "freeze.stores", "schedule.selector.agent_status", "inventory.token", "ssh.port"]
)
def test_a_must_understand_key_that_is_known_is_accepted(path: str) -> None:
    assert read_document(small(must_understand=[path]), strict=False).config.must_understand == (path,)


# --- the same content ---


def test_the_same_content_is_known_in_another_form() -> None:
    data = json.loads(COMPLETE)
    shuffled = dict(reversed(list(data.items())))
    for form in (
        json.dumps(data).encode(),
        json.dumps(shuffled, indent=4).encode(),
        json.dumps(data, ensure_ascii=False).encode(),
        b"\xef\xbb\xbf" + json.dumps(data).encode(),
    ):
        assert same_content(COMPLETE if isinstance(COMPLETE, bytes) else COMPLETE.encode(), form)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": "secret1"}', b'{"a": "secret2"}'),
        (b'{"a": 1}', b'{"a": 1.0}'),
        (b'{"a": 1}', b'{"a": true}'),
        (b'{"a": 1}', b'{"a": 1, "b": null}'),
        (b'{"a": [1, 2]}', b'{"a": [2, 1]}'),
        (b'{"a": 1}', b"damaged"),
        (b"damaged", b'{"a": 1}'),
    ],
)
def test_other_content_is_not_the_same(one: bytes, other: bytes) -> None:
    assert same_content(one, other) is False


# --- what is published ---


def test_the_published_documents_are_those_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert documents.main(["--check"]) == 0, capsys.readouterr().err


def test_a_wrong_argument_to_the_generator_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert documents.main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_published_schema_accepts_what_the_code_accepts_and_refuses_unknown_keys() -> None:
    schema = Draft202012Validator(json_schema())
    Draft202012Validator.check_schema(json_schema())
    assert schema.is_valid(json.loads(COMPLETE))
    assert schema.is_valid(SMALL)
    assert not schema.is_valid({**SMALL, "refresh": 5})
    assert not schema.is_valid({"inventory": SMALL["inventory"]})


def test_the_text_form_of_a_configuration_shows_no_secret() -> None:
    config = read_document(COMPLETE, strict=True).config
    assert isinstance(config, NetworkConfig)
    assert "example-" not in f"{config!r}{config.model_dump_json()}"


def test_a_job_with_a_filter_that_an_older_proxy_does_not_know_is_disabled_there() -> None:
    jobs = [
        {"id": "south", "action": "x", "cron": "0 2 * * *", "selector": {"regions": ["south"], "all": True}},
        {"id": "all", "action": "x", "cron": "0 2 * * *", "priority": 5},
    ]
    document = read_document(json.dumps({**SMALL, "schedule": jobs}).encode(), strict=False)
    assert [(job.id, job.enabled) for job in document.config.schedule] == [("south", False), ("all", True)]
    assert [(note.level, note.path) for note in document.notes] == [
        ("danger", "schedule[0].selector.regions"),
        ("info", "schedule[1].priority"),
    ]


# --- work in proportion to length ---


class Counted(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_names_given_twice_among_very_many_are_counted_and_not_compared_with_each_other() -> None:
    number = 20_000
    Counted.compared = 0
    names = [Counted(f"host{place}") for place in range(number)]
    assert config._given_twice([*names, Counted("host7"), Counted("host9")]) == "host7, host9"
    assert Counted.compared < 10 * number


def test_of_very_many_duplicate_names_only_the_first_are_listed() -> None:
    assert config._given_twice(2 * [f"{place:05}" for place in range(20_000)]).endswith("00019 and 19980 more")


def test_a_valid_document_is_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    validated = []
    validate = NetworkConfig.model_validate

    def counted(data: Any, **options: Any) -> NetworkConfig:
        validated.append(data)
        return validate(data, **options)

    monkeypatch.setattr(NetworkConfig, "model_validate", counted)
    for strict in (True, False):
        validated.clear()
        read_document(COMPLETE, strict=strict)
        assert len(validated) == 1
