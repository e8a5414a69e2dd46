"""What checks of a document tell people keeps how it was made, so that it is shown in their language."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticKnownError

from contracts.bounded import Unreadable, read_json
from contracts.changes import changes
from contracts.document import DocumentError, read_document
from contracts.in_words import ACTIONS_DO
from contracts.languages import catalogue_of
from contracts.pydantic_messages import sentence_of
from contracts.text import Text, all_of, in_language, one_of
from server.services.configurations import actions

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "locale" / "pt_BR").glob("*.po"))
PORTUGUESE = catalogue_of("pt-BR", [file.read_text(encoding="utf-8") for file in FILES])
VALID: dict[str, Any] = {"schema_version": 2, "network": "SOL", "inventory": {"kind": "static"}}


def shown(text: str) -> str:
    assert isinstance(text, Text), f"{text} is plain English text"
    return in_language(text, PORTUGUESE)


def document(**keys: Any) -> bytes:
    return json.dumps({**VALID, **keys}).encode()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"extra": 1}, "extra: chave desconhecida; está escrita corretamente?"),
        ({"network": None}, "network: deve ser um texto"),
        ({"ssh": {"port": 0}}, "ssh.port: deve ser maior ou igual a 1"),
        ({"ssh": {"port": "x"}}, "ssh.port: deve ser um número inteiro"),
        ({"ssh": {"first_use": "x"}}, "ssh.first_use: deve ser 'pin' ou 'refuse'"),
        ({"ssh": {"allowed_networks": []}}, "ssh.allowed_networks: a lista deve ter pelo menos 1 item, não 0"),
        ({"ssh": {"allowed_networks": ["x"]}}, "ssh.allowed_networks[0]: 'x' não é uma rede IPv4 ou IPv6"),
        ({"credentials": [{"id": "a", "user": "b"}]}, "credentials[0]: precisa de password ou de private_key"),
        ({"must_understand": ["x"]}, 'must_understand: "x" não é conhecido por esta versão; atualize-a primeiro'),
        ({"schema_version": 3}, "schema_version: é 3; esta versão lê até 2: atualize-a primeiro"),
    ],
)
def test_a_problem_of_a_document_is_told_in_the_readers_language(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(document(**keys), strict=True)
    assert shown(str(caught.value.problems[0])) == message
    assert shown(str(caught.value)) == "; ".join(map(shown, map(str, caught.value.problems)))


def test_a_problem_of_a_first_generation_document_names_the_key_that_it_was_converted_from() -> None:
    raw = json.dumps({"PARAM_REDE": "SOL", "PARAM_ZABBIX_SERVER": "z", "PARAM_TOKEN": "t", "PARAM_ZABBIX_PORT": "x"})
    with pytest.raises(DocumentError) as caught:
        read_document(raw.encode(), strict=True)
    assert shown(str(caught.value)) == "agent.port: deve ser um número inteiro (convertido de PARAM_ZABBIX_PORT)"


def test_what_is_no_json_is_told_with_its_place() -> None:
    with pytest.raises(Unreadable) as caught:
        read_json('{"a": 1,\n}')
    assert shown(str(caught.value)) == (
        "não é um documento JSON completo, linha 2 coluna 1: falta um nome entre aspas duplas"
    )


@pytest.mark.parametrize(
    ("kind", "context", "message"),
    [
        (
            "too_long",
            {"field_type": "List", "max_length": 2, "actual_length": 3},
            "a lista deve ter no máximo 2 itens, não 3",
        ),
        ("string_too_short", {"min_length": 1}, "o texto não pode ser vazio"),
        ("string_too_long", {"max_length": 255}, "o texto deve ter no máximo 255 caracteres"),
        ("time_parsing", {"error": "input is too short"}, "deve ser uma hora: texto curto demais"),
        ("decimal_max_places", {"decimal_places": 2}, "deve ter no máximo 2 casas decimais"),
        ("literal_error", {"expected": "'a', 'b' or 'c'"}, "deve ser 'a', 'b' ou 'c'"),
        (
            "union_tag_invalid",
            {"discriminator": "'kind'", "tag": "x", "expected_tags": "'zabbix', 'static'"},
            "'x' em 'kind' não é um dos valores esperados: 'zabbix', 'static'",
        ),
        ("bool_parsing", {}, "deve ser true ou false"),
        ("int_from_float", {}, "deve ser um número inteiro, sem parte decimal"),
    ],
)
def test_pydantics_own_messages_are_recognised(kind: Any, context: dict[str, Any], message: str) -> None:
    error = PydanticKnownError(kind, context)
    text = sentence_of({"type": kind, "loc": (), "msg": error.message(), "input": None, "ctx": context})
    assert text == error.message()
    assert shown(text) == message


def test_a_message_that_nobody_translated_stays_as_pydantic_words_it() -> None:
    assert sentence_of({"type": "callable_type", "loc": (), "msg": "Input should be callable", "input": None}) == (
        "Input should be callable"
    )


def test_a_changed_job_is_told_in_the_readers_language() -> None:
    job = {"id": "night", "action": "shutdown_endpoint", "cron": "50 23 * * *", "selector": {"all": True}}
    before, after = (
        read_document(document(schedule=[job | {"cron": cron}]), strict=True).config
        for cron in ("50 23 * * *", "0 22 * * 1")
    )
    (change,) = changes(before, after, actions.catalogue())
    assert shown(str(change)) == (
        "alterado: desliga até 0 PDV da rede em segunda-feira às 22:00 (fuso horário da rede, America/Sao_Paulo), "
        "janela 22:00-06:00, sem exceptions (agendamento night); antes: desliga até 0 PDV da rede diariamente às 23:50 "
        "(fuso horário da rede, America/Sao_Paulo), janela 22:00-06:00, sem exceptions (agendamento night)"
    )


def test_what_an_action_does_by_its_own_words_can_be_translated() -> None:
    declared = {entry.does for entry in actions.catalogue().actions.values() if entry.does}
    assert declared <= {str(text) for text in ACTIONS_DO}


@pytest.mark.parametrize("number", [2, 3, 5])
def test_lists_have_their_word_between_all_parts(number: int) -> None:
    parts = [str(part) for part in range(number)]
    assert all_of(parts) == " and ".join(parts)
    assert one_of(parts) == " or ".join(parts)
    assert shown(all_of(parts)) == " e ".join(parts)
    assert shown(one_of(parts)) == " ou ".join(parts)


@pytest.mark.parametrize("parts", [(), ("one",)])
def test_a_list_of_one_or_none_is_that_text(parts: tuple[str, ...]) -> None:
    assert all_of(parts) == one_of(parts) == "".join(parts)


def test_a_very_long_list_can_be_translated() -> None:
    assert shown(one_of([str(number) for number in range(5000)])).count(" ou ") == 4999
