"""`flagee-server` speaks to people in their language."""

import io

import pytest
from click.testing import CliRunner

from commandline.language import choose_language, shown
from contracts.text import say
from server.cli import output
from server.cli.configurations import is_yes
from server.cli.root import cli
from server.reasons import table
from server.reasons.refusal import Refusal
from server.settings import SettingsError, read_settings


def test_remarks_and_refused_command_lines_are_in_the_language_of_the_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    choose_language([], {"LANG": "pt_BR.UTF-8"})
    try:
        refused = CliRunner().invoke(cli, ["a\udcff"])
        output.remark(say("{word} is not text in the encoding of this terminal; nothing was done", word="x"))
    finally:
        choose_language([], {})
    assert (refused.exit_code, "não é texto na codificação deste terminal; nada foi feito" in refused.output) == (
        2,
        True,
    )
    assert capsys.readouterr().err == "x não é texto na codificação deste terminal; nada foi feito\n"


def _in_portuguese(*words: str) -> tuple[int, str]:
    choose_language(["--lang", "pt-BR"], {})
    try:
        done = CliRunner().invoke(cli, [*words], terminal_width=110)
    finally:
        choose_language([], {})
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--lang", "pt-BR", "-h"],
            "Comandos:\n  agents           Agentes: os proxies cadastrados, e como estão",
        ),
        (["token", "issue", "-h"], "Cria um token para CLIENT."),
        (["token", "issue", "-h"], "Exemplos:\n    flagee-server token issue"),
        (["token", "issue", "-h"], "[padrão: "),
    ],
)
def test_help_is_in_the_language_that_is_asked_for(words: list[str], said: str) -> None:
    code, output = _in_portuguese(*words)
    assert (code, said in output) == (0, True), output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tokn"], "Erro: O comando 'tokn' não existe. Seria 'token'?"),
        (["token", "revoke"], "Erro: Falta o argumento 'ID'."),
        (
            ["token", "issue", "Sol", "--expires", "9x"],
            "Erro: Valor inválido para '--expires': \"9x\": informe um número",
        ),
        (
            ["config", "validate", "/"],
            "Erro: Valor inválido para FILE: /: é uma pasta, não um arquivo; informe um arquivo",
        ),
        (["config", "validate", "-", "--client", "Sol"], "Erro: --client e --network andam juntos"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_refused_in_the_language_that_is_asked_for(
    words: list[str], said: str
) -> None:
    code, output = _in_portuguese(*words)
    assert (code, said in output) == (2, True), output


@pytest.mark.parametrize(
    ("answer", "taken"),
    [("s\n", True), ("SIM\n", True), ("y\n", True), ("\n", False), ("não\n", False), ("x\nsim\n", True)],
)
def test_a_question_takes_the_words_of_the_reader(monkeypatch: pytest.MonkeyPatch, answer: str, taken: bool) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    choose_language([], {"LANG": "pt_BR.UTF-8"})
    try:
        assert is_yes("Armazenar?") is taken
    finally:
        choose_language([], {})


def test_a_refusal_is_in_english_for_programs_and_in_the_language_of_a_reader() -> None:
    refusal = Refusal(
        table.NETWORK_UNKNOWN, client='"Sol"', network='"A"', near="", command="flagee-server network add"
    )
    choose_language([], {"LANG": "pt_BR.UTF-8"})
    try:
        read = shown(refusal.message)
    finally:
        choose_language([], {})
    assert refusal.message == 'client "Sol" has no network "A"; add it with: flagee-server network add'
    assert read == 'o cliente "Sol" não tem a rede "A"; adicione com: flagee-server network add'


def test_a_wrong_setting_is_told_in_the_language_of_a_reader() -> None:
    with pytest.raises(SettingsError) as wrong:
        read_settings({"FLAGEE_BIND": "127.0.0.1:1", "FLAGEE_BIND_FILE": "/bind"})
    assert str(wrong.value) == "FLAGEE_BIND and FLAGEE_BIND_FILE are both set; keep one of them"
    choose_language([], {"LANG": "pt_BR.UTF-8"})
    try:
        read = shown(str(wrong.value))
    finally:
        choose_language([], {})
    assert read == "FLAGEE_BIND e FLAGEE_BIND_FILE estão ambas definidas; mantenha só uma"
