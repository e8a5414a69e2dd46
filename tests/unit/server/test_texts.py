"""Small grammars of the control plane: tokens, durations, names."""

import datetime as dt

import click
import pytest

from server.cli.durations import Duration
from server.services.networks import is_network_code
from server.services.tokens.access import parse

SECRET = "a" * 43


def test_a_token_has_a_public_id_and_a_secret() -> None:
    assert parse(f"fm1.0123456789ab.{SECRET}") == ("0123456789ab", SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fm1",
        f"fm2.0123456789ab.{SECRET}",
        f"fm1.0123456789AB.{SECRET}",
        f"fm1.0123456789a.{SECRET}",
        f"fm1.0123456789ab.{SECRET[1:]}",
        f"fm1.0123456789ab.{SECRET}a",
        f"fm1.0123456789ab.{SECRET}\n",
        f" fm1.0123456789ab.{SECRET}",
        f"fm1.0123456789ab.{SECRET[1:]}ç",
        f"fm1.0123456789ab.{SECRET},fm1.0123456789ab.{SECRET}",
        "fm1." + "0" * 100_000,
    ],
)
def test_anything_else_is_no_token(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90d", dt.timedelta(days=90)),
        ("12h", dt.timedelta(hours=12)),
        ("30m", dt.timedelta(minutes=30)),
        ("2w", dt.timedelta(weeks=2)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, span: dt.timedelta) -> None:
    assert Duration().convert(text, None, None) == span


@pytest.mark.parametrize("text", ["", "0d", "-1d", "90", "d", "1.5d", "1y", "1٣d", "999999d", "1d "])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="for example 90d"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize("text", ["SOL", "a.b_c-1", "a" * 64])
def test_a_network_code_is_what_a_document_takes(text: str) -> None:
    assert is_network_code(text)


@pytest.mark.parametrize("text", ["", "-a", "a b", "a\n", "a\0", "é", "a" * 65])
def test_a_network_code_is_nothing_else(text: str) -> None:
    assert not is_network_code(text)
