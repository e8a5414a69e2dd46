"""Sentences that were stored in English can be shown in the language of a later reader."""

import json
from typing import Any

import pytest

from contracts.languages import LANGUAGES
from contracts.stored_text import restored, sentences_of
from contracts.text import Catalogue, Text, in_language, plural, say

PORTUGUESE = Catalogue(
    "pt-BR",
    {
        "{host} was skipped: {why}": ("{host} foi ignorado: {why}",),
        "frozen": ("congelado",),
        "{n} host": ("{n} host só", "{n} hosts ao todo"),
    },
    LANGUAGES["pt-BR"].form,
)
SKIPPED = say("{host} was skipped: {why}", host="PDV1", why=say("frozen"))
DATA = {"template": "{host} was skipped: {why}", "values": {"host": "PDV1", "why": "frozen"}}


def again(*texts: str) -> list[str]:
    """What a later process reads of these texts, in Portuguese."""
    sentences = json.loads(json.dumps(sentences_of(texts)))
    return [in_language(restored(str.__str__(text), sentences), PORTUGUESE) for text in texts]


def test_a_stored_sentence_is_translated_with_what_is_in_it() -> None:
    assert again(SKIPPED, plural("{n} host", "{n} hosts", 2), plural("{n} host", "{n} hosts", 1), "plain {text}") == [
        "PDV1 foi ignorado: congelado",
        "2 hosts ao todo",
        "1 host só",
        "plain {text}",
    ]


def test_a_text_that_is_no_sentence_is_not_stored() -> None:
    assert sentences_of(["frozen", ""]) == {}


def test_every_text_of_a_structure_is_found() -> None:
    stored = {"message": "frozen", "gates": [{"gate": "freeze", "text": "frozen", "allowed": False}], "plan": ["other"]}
    found = restored(stored, sentences_of([say("frozen")]))
    assert found == stored
    assert isinstance(found["message"], Text)
    assert isinstance(found["gates"][0]["text"], Text)
    assert not isinstance(found["gates"][0]["gate"], Text)
    assert not isinstance(found["plan"][0], Text)


DEEP: dict[str, Any] = {"template": "x"}
for _ in range(20):
    DEEP = {"template": "{x}", "values": {"x": DEEP}}


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        "frozen",
        {},
        {**DATA, "template": 5},
        {**DATA, "other": []},
        {**DATA, "values": []},
        {**DATA, "values": {"host": "PDV1"}},
        {**DATA, "values": {"host": "PDV1", "why": None}},
        {**DATA, "values": {"host": "PDV1", "why": 0.5}},
        {**DATA, "values": {"host": "PDV1", "why": {"template": "{x}", "values": {"y": "z"}}}},
        {**DATA, "values": {"host": "PDV2", "why": "frozen"}},
        {**DATA, "template": "{host.name} was skipped: {why}"},
        {**DATA, "template": "{host:>99999999} was skipped: {why}"},
        {**DATA, "template": "{host was skipped: {why}"},
        DEEP,
    ],
    ids=range(16),
)
def test_what_is_damaged_leaves_the_english_text(damaged: object) -> None:
    text = "PDV1 was skipped: frozen"
    found = restored(text, {text: damaged})
    assert (found, type(found)) == (text, str)
