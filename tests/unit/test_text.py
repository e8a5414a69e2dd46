"""Sentences for people: English text that can be shown in another language."""

import copy
import json
import pickle
from dataclasses import asdict, dataclass, replace

import pytest

from contracts.languages import LANGUAGES
from contracts.text import Catalogue, Text, all_of, in_language, joined, one_of, plural, say, some_of
from runtime.domain.errors import RunError

PORTUGUESE = Catalogue(
    "pt-BR",
    {
        "{host} does not answer after {seconds} s": ("{host} não responde depois de {seconds} s",),
        "{n} host": ("{n} host encontrado", "{n} hosts encontrados"),
        "frozen": ("congelado",),
        "{host} was skipped: {why}": ("{host} foi ignorado: {why}",),
        "{some} and {n} more": ("{some} e mais {n}",),
        "{some} and {last}": ("{some} e {last}",),
        "{some} or {last}": ("{some} ou {last}",),
        "broken {name}": ("{nome} quebrado",),
        "unclosed {name}": ("{name",),
    },
    LANGUAGES["pt-BR"].form,
)


def pt(text: str) -> str:
    return in_language(text, PORTUGUESE)


def test_a_sentence_is_its_english_text() -> None:
    text = say("{host} does not answer after {seconds} s", host="PDV1", seconds=5)
    assert text == "PDV1 does not answer after 5 s"
    assert hash(text) == hash("PDV1 does not answer after 5 s")
    assert json.dumps({"message": text}) == '{"message": "PDV1 does not answer after 5 s"}'
    assert f"{text}." == "PDV1 does not answer after 5 s."


def test_a_sentence_is_shown_in_another_language_with_its_values() -> None:
    assert (
        pt(say("{host} does not answer after {seconds} s", host="PDV1", seconds=5)) == "PDV1 não responde depois de 5 s"
    )


def test_a_plain_text_is_shown_as_it_is() -> None:
    assert pt("frozen") == "frozen"


def test_a_sentence_inside_a_sentence_is_translated_too() -> None:
    outer = say("{host} was skipped: {why}", host="PDV1", why=say("frozen"))
    assert (outer, pt(outer)) == ("PDV1 was skipped: frozen", "PDV1 foi ignorado: congelado")


@pytest.mark.parametrize(
    ("number", "english", "portuguese"),
    [(0, "0 hosts", "0 host encontrado"), (1, "1 host", "1 host encontrado"), (2, "2 hosts", "2 hosts encontrados")],
)
def test_each_language_has_its_own_rule_for_the_plural(number: int, english: str, portuguese: str) -> None:
    text = plural("{n} host", "{n} hosts", number)
    assert (text, pt(text)) == (english, portuguese)


def test_a_sentence_without_a_translation_stays_english_around_translated_values() -> None:
    assert (
        pt(say("{host} has no translation: {why}", host="PDV1", why=say("frozen")))
        == "PDV1 has no translation: congelado"
    )
    assert pt(plural("{n} error", "{n} errors", 2)) == "2 errors"
    assert pt(plural("{n} error", "{n} errors", 1)) == "1 error"


@pytest.mark.parametrize("template", ["broken {name}", "unclosed {name}"])
def test_a_translation_that_does_not_fit_leaves_the_english_sentence(template: str) -> None:
    assert pt(say(template, name="PDV1")) == template.format(name="PDV1")


def test_braces_in_values_and_in_a_sentence_without_values_are_plain_characters() -> None:
    text = say("{host} was skipped: {why}", host="{why}", why='{"a": 1}')
    assert (text, pt(text)) == ('{why} was skipped: {"a": 1}', '{why} foi ignorado: {"a": 1}')
    assert say('{"a": {}}') == pt(say('{"a": {}}')) == '{"a": {}}'


def test_values_become_text_at_once() -> None:
    error = OSError("disk")
    text = say("{error} {ratio} {given}", error=error, ratio=0.5, given=True)
    assert (text, dict(text.values)) == ("disk 0.5 True", {"error": "disk", "ratio": "0.5", "given": "True"})


def test_the_message_of_an_error_keeps_its_template() -> None:
    error = RunError("frozen", say("frozen"))
    assert pt(error.message) == pt(str(error)) == "congelado"
    assert pt(say("{host} was skipped: {why}", host="PDV1", why=error)) == "PDV1 foi ignorado: congelado"


def test_joined_and_counted_parts_are_translated_one_by_one() -> None:
    assert joined(("a", "b")) == "a, b"
    assert not isinstance(joined(("a", "b")), Text)
    text = joined((say("frozen"), "{b}"), separator=" {} ")
    assert (text, pt(text)) == ("frozen {} {b}", "congelado {} {b}")
    assert some_of(("A", "B"), 2) == "A, B"
    more = some_of(("A", "B", "C", "D"), 2)
    assert (more, pt(more)) == ("A, B and 2 more", "A, B e mais 2")
    assert (all_of(()), all_of(("A",))) == ("", "A")
    assert pt(all_of(("A", say("frozen"), "C"))) == "A e congelado e C"
    assert (one_of(["A", "B", "C"]), pt(one_of(["A", "B"]))) == ("A or B or C", "A ou B")


@dataclass(frozen=True)
class Result:
    message: str
    code: str = ""


def pickled(one: Result) -> object:
    return pickle.loads(pickle.dumps(one))  # noqa: S301 (its own)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, pickled, lambda one: replace(one, code="x")],
    ids=["copy", "deepcopy", "pickle", "replace"],
)
def test_copies_can_still_be_translated(copied: object) -> None:
    assert callable(copied)
    result = copied(Result(say("{host} was skipped: {why}", host="PDV1", why=say("frozen"))))
    assert (result.message, pt(result.message)) == ("PDV1 was skipped: frozen", "PDV1 foi ignorado: congelado")
    assert pt(asdict(result)["message"]) == "PDV1 foi ignorado: congelado"


@pytest.mark.parametrize("made", [str.upper, lambda text: text[:3], lambda text: text + "!", lambda text: f"({text})"])
def test_what_is_made_of_a_sentence_is_plain_english(made: object) -> None:
    assert callable(made)
    text = made(say("frozen"))
    assert not isinstance(text, Text)
    assert pt(text) == text
