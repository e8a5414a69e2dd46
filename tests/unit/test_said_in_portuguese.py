"""Sentences that are put together from others keep their translation: from an adapter, through the engine, to the reader."""

from pathlib import Path

import pytest

from contracts.languages import LANGUAGES, catalogue_of
from contracts.text import in_language, say
from runtime.adapters import intermediary
from runtime.adapters.control_plane.transport import RequestRefused
from runtime.adapters.ssh import failures
from runtime.adapters.ssh.client import Client
from runtime.adapters.zabbix.transport import intercepted, too_slow
from runtime.domain.action import Stage
from runtime.domain.model import Host, StepRecord
from runtime.domain.ports import PinnedKey
from runtime.engine import sentences
from runtime.engine.attempts import ordinal

FOLDER = Path(__file__).parents[2] / "locale" / LANGUAGES["pt-BR"].folder
PORTUGUESE = catalogue_of("pt-BR", [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.po"))])
HOST = Host(id="1", name="till", network="n", address="10.0.0.1")
STAGE = Stage("zone", ())
PAGE = b"<html><title>Wi-Fi</title><input type=password></html>"


def client() -> Client:
    return Client(None, trust_new=True, password="secret", keys=())


def told(text: str) -> str:
    return in_language(text, PORTUGUESE)


def test_a_host_that_refuses_connections_is_told_with_its_port() -> None:
    error = failures.failure(HOST, client(), "root", ConnectionRefusedError())
    assert (error.message, told(error.message)) == (
        "10.0.0.1 port 22 refuses connections",
        "10.0.0.1 porta 22 recusa conexões",
    )


def test_a_silent_host_is_told_with_the_time_that_was_waited() -> None:
    error = failures.timed_out(HOST, client(), "root", 60)
    assert told(error.message) == (
        "10.0.0.1 porta 22 não responde (espera de 20 s, a parte da primeira conexão em ssh.connect_timeout, 60 s)"
    )


@pytest.mark.parametrize(
    ("refuse", "end"),
    [(True, "; ssh.legacy_algorithms é refuse"), (False, "")],
    ids=["legacy refused", "legacy allowed"],
)
def test_an_old_server_is_told_with_its_algorithms(refuse: bool, end: str) -> None:
    error = failures.no_common_algorithm(HOST, ("cipher: rc4",), legacy_refused=refuse)
    assert error.detail == "cipher: rc4"
    assert told(error.message) == f"nenhum algoritmo em comum com till, que oferece cipher: rc4{end}"


def test_a_changed_host_key_is_told_with_the_command_that_accepts_it() -> None:
    error = failures.changed_key(HOST, PinnedKey("ssh-rsa AAAA"), PinnedKey("ssh-rsa BBBB"))
    assert told(error.message).startswith("a chave SSH de till mudou: registrada ")
    assert told(error.message).endswith("flageemonitor-run hosts rekey till")


def test_a_page_that_answers_instead_of_zabbix_is_told_with_its_title() -> None:
    page = intermediary.page(200, "text/html", PAGE)
    assert page is not None
    error = intercepted("https://zabbix", page.what)
    assert told(error.message) == (
        "Algo entre este servidor e Zabbix respondeu por https://zabbix: "
        'uma página de login com o título "Wi-Fi" (HTTP 200, text/html). Nada foi alterado.'
    )
    assert told(error.advice).startswith("libere este servidor: ")
    assert told(error.advice).endswith("; ou inventory.url indica um servidor que não é o Zabbix")


def test_a_slow_zabbix_is_told_with_its_advice() -> None:
    error = too_slow("https://zabbix", 300)
    assert told(error.message) == "https://zabbix não respondeu em 300 s"
    assert told(error.advice).startswith("verifique a carga do frontend")


def test_a_refusal_keeps_the_control_planes_own_words() -> None:
    assert told(RequestRefused(401, "no such token").text) == "recusado (401): no such token"


@pytest.mark.parametrize(("number", "english"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (5, "5th")])
def test_the_number_of_an_attempt_has_the_ending_of_its_language(number: int, english: str) -> None:
    assert (ordinal(number), told(ordinal(number))) == (english, f"{number}ª")


def test_what_failed_before_a_late_connection_is_translated_too() -> None:
    failure = say("{place} does not answer", place=say("{address} port {port}", address="10.0.0.1", port=22))
    assert told(sentences.connected_late(2, failure)) == (
        "conectado na 2ª tentativa; antes: 10.0.0.1 porta 22 não responde"
    )


@pytest.mark.parametrize(
    ("step", "done", "portuguese"),
    [
        (StepRecord("write", "failed", 2, ""), (), "zone: write falhou com código 2: sem saída"),
        (
            StepRecord("write", "failed", 2, "one\ntwo\n"),
            ("read",),
            "zone: write falhou com código 2: two; feito antes: read",
        ),
        (
            StepRecord("rows", "failed", None, say("{sink} took nothing: {why}", sink="api", why="HTTP 503")),
            (),
            "zone: rows falhou: api não aceitou nada: HTTP 503",
        ),
    ],
    ids=["without output", "with the last line of its output", "with a sentence"],
)
def test_a_failed_step_is_told_with_what_it_said(step: StepRecord, done: tuple[str, ...], portuguese: str) -> None:
    assert told(sentences.step_failed(STAGE, step, done)) == portuguese


@pytest.mark.parametrize(
    ("stages", "portuguese"), [(1, "depois de 1 etapa (o máximo)"), (4, "depois de 4 etapas (o máximo)")]
)
def test_a_stage_that_does_not_converge_is_told_with_the_number_of_stages(stages: int, portuguese: str) -> None:
    assert told(sentences.not_converged(STAGE, stages)).endswith(portuguese)


def test_a_stage_without_effect_is_told_with_its_reason() -> None:
    why = say("{file} does not exist", file="/etc/localtime")
    stage = Stage("zone", (), why=why)
    assert told(sentences.without_effect(stage, "terminal")) == (
        f"a etapa zone foi aplicada sem erro, mas o PDV ainda não está como deveria: {told(why)}"
    )
