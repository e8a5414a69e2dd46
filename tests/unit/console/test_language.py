"""People read what `flageemonitor-run` prints in their language; programs read the same as ever."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commandline.language import choose_language, looked_up, shown
from contracts.text import plural, say
from runtime.cli.output import Out
from runtime.domain.errors import UsageFault

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def portuguese() -> Iterator[None]:
    choose_language([], {"LANG": "pt_BR.UTF-8"})
    yield
    choose_language([], {})


def command(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    search = f"{REPOSITORY}:{REPOSITORY / 'client_image'}"
    return subprocess.run(
        [sys.executable, "-m", "runtime.main", *words],
        env={"PYTHONPATH": search, "PATH": "/usr/bin:/bin", "COLUMNS": "110", **environ},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_english_is_shown_where_no_language_is_chosen() -> None:
    assert shown(plural("{n} host", "{n} hosts", 2)) == "2 hosts"
    assert looked_up("Stop a run.") == "Stop a run."


@pytest.mark.usefixtures("portuguese")
def test_a_remark_a_table_and_an_error_are_in_the_chosen_language() -> None:
    out = Out("table", io.StringIO(), io.StringIO())
    out.say(say("switched off: {jobs}", jobs="night"))
    out.warn(say("dry-run: nothing is changed"))
    out.table((say("host"), say("outcome")), [("PDV1", say("yes"))], [], whole=(say("outcome"),))
    out.error(UsageFault("bad_param", say("{option} is given without a value", option="--loja"), say("leave it out")))
    assert isinstance(out.stdout, io.StringIO)
    assert isinstance(out.stderr, io.StringIO)
    assert [line.split() for line in out.stdout.getvalue().splitlines()] == [["host", "resultado"], ["PDV1", "sim"]]
    assert out.stderr.getvalue().splitlines() == [
        "desativados: night",
        "aviso: simulação: nada é alterado",
        "erro: --loja foi informado sem valor [bad_param]",
        "  o que fazer: retire a opção",
    ]


@pytest.mark.usefixtures("portuguese")
def test_json_is_the_same_in_every_language() -> None:
    out = Out("json", io.StringIO(), io.StringIO())
    out.error(UsageFault("bad_param", say("{option} is given without a value", option="--loja"), say("leave it out")))
    assert isinstance(out.stdout, io.StringIO)
    error = {"reason": "bad_param", "message": "--loja is given without a value", "advice": "leave it out"}
    assert json.loads(out.stdout.getvalue()) == {"error": error, "exit_code": 2}


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (("hosts", "--help"), {"LANG": "pt_BR.UTF-8"}),
        (("--lang", "pt-BR", "hosts", "--help"), {}),
        (("hosts", "--help", "--lang=pt_BR"), {"LANG": "en_US.UTF-8"}),
    ],
)
def test_help_is_in_the_language_of_the_environment_or_of_the_option(
    words: tuple[str, ...], environ: dict[str, str]
) -> None:
    done = command(*words, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Uso: flageemonitor-run hosts [OPTIONS]")
    for part in (
        "Lista os hosts da rede",
        "Opções:",
        "Loja: 1, 001 ou LOJA001.",
        "Comandos:",
        "Mostra esta ajuda e sai.",
    ):
        assert part in done.stdout
    assert "Usage" not in done.stdout


def test_a_command_line_that_cannot_be_read_is_explained_in_the_chosen_language() -> None:
    done = command("why", "--last", "0", "PDV1", "--lang", "pt-BR")
    assert done.returncode == 2
    assert "Erro: Valor inválido para '--last': 0 está fora do intervalo 1<=x<=100." in done.stderr
    assert "Ajuda: 'flageemonitor-run why --help'" in done.stderr


def test_without_words_the_help_page_is_shown() -> None:
    done = command(LANG="pt_BR.UTF-8")
    assert (done.returncode, done.stdout, done.stderr.count("flageemonitor-run [OPTIONS]")) == (2, "", 1)
    assert done.stderr.startswith("Uso: flageemonitor-run")


def test_an_unknown_language_is_refused_by_name() -> None:
    done = command("doctor", "--lang", "de")
    assert done.returncode == 2
    assert "Error: Invalid value for '--lang': 'de' is not one of 'en', 'pt-br'." in done.stderr


def test_a_usage_error_in_json_is_english_whatever_the_language() -> None:
    words = ("why", "--last", "0", "PDV1", "--output", "json")
    english, portuguese = command(*words), command(*words, LANG="pt_BR.UTF-8")
    assert english.stdout == portuguese.stdout
    assert (
        json.loads(english.stdout)["error"]["message"] == "Invalid value for '--last': 0 is not in the range 1<=x<=100."
    )
    assert portuguese.stderr.startswith("erro: Valor inválido")
