"""Host names: parsed as numbers, bound to a network, with a role that protects when in doubt."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Role
from runtime.domain.errors import UsageFault
from runtime.domain.model import NamedTerminal
from runtime.domain.names import HostName, belongs, carries, host_key, parse_name, parse_store, parse_terminal, role_of

PARSED = yaml.safe_load((Path(__file__).parents[1] / "cases/names/parsed.yaml").read_text(encoding="utf-8"))
CODES = st.from_regex(r"[A-Z][A-Z0-9]{0,8}(-[A-Z0-9]{1,6}){0,2}", fullmatch=True)
NUMBERS = st.integers(min_value=0, max_value=999_999)


@pytest.mark.parametrize("name", PARSED)
def test_a_host_name_has_network_store_terminal_and_role(name: str) -> None:
    assert parse_name(name) == HostName(*PARSED[name])


@given(network=CODES, store=NUMBERS, terminal=NUMBERS, padding=st.integers(1, 6))
def test_technical_and_visible_form_say_the_same_whatever_the_padding(
    network: str, store: int, terminal: int, padding: int
) -> None:
    said = HostName(network, store, terminal, "checkout")
    technical = f"{network}-LOJA{store:0{padding}}-PDV{terminal:0{padding}}"
    visible = f"{network} (LOJA{store:03}) PDV{terminal}"

    assert parse_name(technical) == parse_name(visible) == said
    assert host_key(technical.lower()) == host_key(visible)
    assert belongs(visible, network.lower())


@given(st.text())
def test_any_text_is_a_name_without_an_error(text: str) -> None:
    assert parse_name(text).role == role_of(text)
    belongs(text, "ABC")
    host_key(text)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("ABC-LOJA001-PDV201", True),
        ("abc (loja001) pdv201", True),
        ("ABC-PROXY", True),
        ("ABCD-LOJA001-PDV201", False),
        ("AB-LOJA001-PDV201", False),
        ("ABC-SUL-LOJA001-PDV201", False),
        ("ABC-SUL-PROXY", False),
        ("XYZ-LOJA001-PDV201-PRINTER", False),
        ("servidor-antigo", True),
    ],
)
def test_a_name_that_says_another_network_is_not_ours(name: str, ours: bool) -> None:
    assert belongs(name, "ABC") is ours


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ABC-LOJA001-PDV201", "abc (LOJA1) pdv201", True),
        ("Till-7", "till-7", True),
        ("ABC-LOJA001-PDV20", "ABC-LOJA001-PDV201", False),
        ("ABC-LOJA001-PDV201", "XYZ-LOJA001-PDV201", False),
        ("ABC-LOJA001-PDV1", "ABC-LOJA001-SELF1", False),
        ("ABC-LOJA001-TC1", "ABC-LOJA001-TC2", False),
        ("LOJA001-PDV201", "LOJA1-PDV201", False),
        ("ABC-PDV201", "ABC-PDV0201", False),  # no store: two of them may have such a terminal
    ],
)
def test_two_spellings_mean_one_host_only_when_every_number_is_the_same(one: str, other: str, same: bool) -> None:
    assert (host_key(one) == host_key(other)) is same


@pytest.mark.parametrize(
    ("name", "display_name", "tags", "role"),
    [
        ("ABC-LOJA001-PDV201", "", {}, "checkout"),
        ("ABC-LOJA001-PDV201", "", {"role": "price-check"}, "price_check"),
        ("ABC-LOJA001-PDV201", "", {"role": "somebody's own use of the word"}, "checkout"),
        ("ABC-LOJA001-SELF01", "", {"PDV_TIPO": "PDV_PADRAO"}, "self_checkout"),
        ("10084", "", {"PDV_TIPO": "PDV_PADRAO"}, "checkout"),
        ("10084", "", {"TIPO_DISPOSITIVO": "TERMINAL_CONSULTA"}, "price_check"),
        ("10084", "", {"Role": "checkout"}, "checkout"),
        ("10084", "", {"role": " Price check "}, "price_check"),
        ("10084", "", {"floor": "checkout"}, "other"),
        ("10084", "", {"tipo_dispositivo": "somebody's own use of the word"}, "other"),
        ("ABC-LOJA001-PDV201", "", {"ROLE": "price-check"}, "price_check"),
        ("ABC-LOJA001-PDV201", "", {"role": "other"}, "other"),
        ("10084", "ABC (LOJA001) PDV201", {}, "other"),
        # every sign of a concentrator or proxy wins
        ("ABC-LOJA001-PDV201", "ABC (LOJA001) CONCENTRADOR", {}, "concentrator"),
        ("ABC-LOJA001-PDV201", "Antigo CONCENTRADOR loja 1", {}, "concentrator"),
        ("ABC-LOJA001-PDV201", "", {"tipo_dispositivo": "Concentrador"}, "concentrator"),
        ("ABC-LOJA001-CONCENTRADOR", "", {"role": "checkout"}, "concentrator"),
        ("ABC-PROXY", "", {"role": "checkout"}, "proxy"),
        ("ABC-LOJA001-PDV201", "", {"role": "proxy"}, "proxy"),
    ],
)
def test_a_role_comes_from_tag_and_name_and_protection_wins(
    name: str, display_name: str, tags: dict[str, str], role: str
) -> None:
    assert role_of(name, display_name=display_name, tags=tags.items()) == role


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [
        ("ABC-LOJA001-PDV201", "checkout", ["PDV"]),
        ("abc-loja001-self01", "checkout", ["SELF"]),
        ("ABC-LOJA001-PDV201-SELF", "self_checkout", ["PDV", "SELF"]),
        ("ABC-PDV7", "self_checkout", ["PDV"]),
        ("ABC-LOJA001-CX7", "checkout", ["PDV"]),
        ("ABC-LOJA001-CX7", "self_checkout", ["SELF"]),
        ("10084", "self_checkout", ["SELF"]),
    ],
)
def test_a_terminal_is_called_by_the_words_of_its_name_and_else_of_its_role(
    name: str, role: Role, words: list[str]
) -> None:
    assert [word for word in ("PDV", "SELF") if carries(name, word, role)] == words


def test_of_two_equal_tags_the_protecting_one_counts() -> None:
    tags = [("role", "concentrator"), ("role", "checkout")]

    assert role_of("ABC-LOJA001-PDV201", tags=tags) == role_of("ABC-LOJA001-PDV201", tags=tags[::-1]) == "concentrator"


def test_of_several_roles_in_a_name_the_last_one_counts() -> None:
    assert role_of("ABC-LOJA001-PDV201", tags=[("role", "other"), ("role", "checkout")]) == "checkout"


def test_a_providers_words_add_to_the_fleets_and_never_remove_any() -> None:
    assert parse_name("ABC-LOJA001-CX5", {"checkout": ("CX",)}) == HostName("ABC", 1, 5, "checkout")
    assert parse_name("ABC-LOJA001-CX5", {"checkout": ("cx",)}) == HostName("ABC", 1, 5, "checkout")
    assert role_of("ABC-LOJA001-HUB", extra={"concentrator": ("HUB",)}) == "concentrator"
    assert role_of("ABC-LOJA001-MINIHUB2", extra={"concentrator": ("HUB",)}) == "concentrator"
    assert role_of("ABC-LOJA001-CONCENTRADOR", extra={"checkout": ("CONCENTRADOR",)}) == "concentrator"


@pytest.mark.parametrize(
    ("text", "number"), [("LOJA001", 1), ("loja12", 12), ("(LOJA003)", 3), ("001", 1), (" 7 ", 7), ("LOJA-9", 9)]
)
def test_a_store_is_a_number(text: str, number: int) -> None:
    assert parse_store(text) == number


@pytest.mark.parametrize(
    ("text", "terminal"),
    [
        ("PDV201", NamedTerminal("PDV", 201)),
        ("pdv 0201", NamedTerminal("PDV", 201)),
        ("201", 201),
        ("SELF01", NamedTerminal("SELF", 1)),
    ],
)
def test_a_terminal_is_a_number_with_an_optional_kind(text: str, terminal: int | NamedTerminal) -> None:
    assert parse_terminal(text) == terminal


@pytest.mark.parametrize(
    "text", ["", "LOJA", "PDV201", "LOJA1;reboot", "1.5", "-1", "\u0661", "LOJA001-PDV201", "9" * 5000]
)
def test_what_is_no_store_is_refused_with_advice(text: str) -> None:
    with pytest.raises(UsageFault) as fault:
        parse_store(text)
    assert (fault.value.reason, fault.value.exit_code) == ("bad_store", 2)
    assert "LOJA001" in fault.value.advice


@pytest.mark.parametrize("text", ["", "PDV", "LOJA001", "PDV201-PDV202", "PDV20%", "TC1"])
def test_what_is_no_terminal_is_refused_with_advice(text: str) -> None:
    with pytest.raises(UsageFault) as fault:
        parse_terminal(text)
    assert fault.value.reason == "bad_terminal"
    assert "PDV201" in fault.value.advice
