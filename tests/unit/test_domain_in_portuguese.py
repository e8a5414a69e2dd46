"""Sentences of the domain that are made of others: every part reaches a reader of Portuguese translated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from contracts.config import Job, Rollout
from contracts.languages import catalogue_of
from contracts.text import Text, in_language, say
from contracts.windows import Window
from runtime.actions.registry import registered
from runtime.domain import identity, rollout
from runtime.domain.action import Refused, Stage
from runtime.domain.departure import Departure, Sign, departed
from runtime.domain.errors import UsageFault
from runtime.domain.facts import Storage
from runtime.domain.host_names import names_of
from runtime.domain.machines import grouped
from runtime.domain.model import Change, Deny, Host, Listing, Missing, Outcome, Reason, StageRecord
from runtime.domain.subject_record import Ended, SubjectRecord
from runtime.domain.time import clocks, lateness
from runtime.domain.witnesses import Witness
from tests.harness.action_cases import cases
from tests.unit.engine import in_memory

_FOLDER = Path(__file__).resolve().parents[2] / "locale" / "pt_BR"
PORTUGUESE = catalogue_of("pt-BR", [file.read_text("utf-8") for file in sorted(_FOLDER.glob("*.po"))])
HOST = Host(
    "1", "ACME-LOJA001-PDV201", "ACME", "10.0.0.1", addresses=("10.0.0.1",), store=1, terminal=201, role="checkout"
)
OTHER = replace(HOST, id="2", name="ACME-LOJA001-PDV202", terminal=202)
GATEWAY = Witness(say("the gateway of store {number}", number=1), "10.0.0.254", (443,))
POWER_OFF = Stage(say("power off"), (), confirm="gone")


def the_end_of_a_wait(seen: Departure) -> Callable[[], str]:
    return lambda: departed(seen, HOST, POWER_OFF).message


def half_done() -> str:
    record = SubjectRecord(warning=say("It may be another machine."), writes=True)
    record.stages = [StageRecord("zone", "confirmed"), StageRecord("ntp", "sent")]
    return record.completed(Ended(Outcome.SKIPPED, Reason.FROZEN, say("warning: {message}", message="x"))).message


def not_lasting() -> str:
    why = say("{place} is kept in memory ({kind})", place="/", kind="tmpfs")
    record = SubjectRecord(writes=True, stages=[StageRecord("zone", "confirmed")])
    record.facts = _StoredIn(Storage("/", "tmpfs", "tmpfs", False, False, why))  # type: ignore[assignment]
    return record.completed(Ended(Outcome.FAILED, Reason.STEP_FAILED, say("{stage} failed", stage="ntp"))).message


class _StoredIn:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage


def on_the_never_list_as_another_entry() -> str:
    host = grouped(Listing((HOST, OTHER))).hosts[0]
    verdict = rollout.decide(Rollout(never=(OTHER.name,)), "arius", host)
    assert isinstance(verdict, Deny)
    return verdict.message


def cloned() -> str:
    record = identity.IdentityRecord("SHA256:abc", same_key=("acme-loja001-pdv202", "x", "y", "z"))
    around = identity.entry_index([HOST, OTHER])
    return identity.judge(HOST, identity.Claim("debian", "0123456789"), (), record, around, known=()).text


def changed() -> str:
    before = identity.Claim("old", store=1, terminal=201)
    record = identity.IdentityRecord("SHA256:abc", remembered=before)
    around = identity.entry_index([HOST])
    return identity.judge(HOST, identity.Claim("new", store=2, terminal=201), (), record, around, known=()).text


def a_name_of_two_hosts() -> str:
    try:
        names_of([HOST, replace(OTHER, display_name=HOST.name)]).meant(HOST.name)
    except UsageFault as error:
        return str(error)
    raise AssertionError("one host was found")


def outside_the_window_of_another_store() -> str:
    other = replace(OTHER, store=2)
    host = grouped(Listing((HOST, other))).hosts[0]
    now = dt.datetime(2026, 3, 14, 12, 0, tzinfo=ZoneInfo("UTC"))
    windows = {1: ("00:00", "23:59"), 2: ("01:00", "02:00")}
    found = clocks.inside_for_machine(host, lambda store: [_window(*windows[store or 1])], now, int(now.timestamp()))
    assert isinstance(found, Refused)
    return found.message


def _window(start: str, end: str) -> Window:
    return Window(start=dt.time.fromisoformat(start), end=dt.time.fromisoformat(end))


def too_late_to_disrupt() -> str:
    job = Job.model_validate({"id": "night", "action": "shutdown_endpoint", "cron": "0 23 * * *", "grace": 60})
    planned = dt.datetime(2026, 3, 14, 23, 0, tzinfo=dt.UTC)
    found = lateness.judge(job, "disrupt", planned, planned + dt.timedelta(hours=9))
    assert isinstance(found, lateness.Drop)
    return found.message


SENTENCES: dict[str, tuple[Callable[[], str], str]] = {
    "a machine that went": (
        the_end_of_a_wait(Departure("gone", 15.2, Sign.SILENT, GATEWAY, Sign.ECHO, (GATEWAY,))),
        "desligar: confirmado, sem resposta por 15 s enquanto o gateway da loja 1 (10.0.0.254) responde ao ping",
    ),
    "a store that is silent": (
        the_end_of_a_wait(Departure("store_silent", 40.0, Sign.SILENT, asked=(GATEWAY,))),
        (
            "desligar: enviado, mas não confirmado; nada mais responde no local (loja 1), e uma queda do link teria o mesmo "
            "efeito (consultados: o gateway da loja 1 (10.0.0.254)). Verifique o link da loja (loja 1) e depois execute "
            "test_endpoint_connection em ACME-LOJA001-PDV201"
        ),
    ),
    "a subject that was left half-way": (
        half_done,
        "confirmado: zone; ntp: enviado, mas não concluído: aviso: x. Identidade: Pode ser outra máquina.",
    ),
    "a change that does not last": (
        not_lasting,
        "confirmado: zone (somente até a próxima inicialização: / fica na memória (tmpfs)); ntp: falhou",
    ),
    "protected as another entry": (
        on_the_never_list_as_another_entry,
        (
            "a mesma máquina que ACME-LOJA001-PDV202 (ambos têm o endereço 10.0.0.1), na lista never da liberação gradual de "
            "arius"
        ),
    ),
    "a shared key": (
        cloned,
        (
            "A chave SSH SHA256:abc é também a de ACME-LOJA001-PDV202, x, y e outros. Os dados desta máquina (nome de host "
            "debian, machine-id 01234567…) não combinam com um único host do inventário. Dê a cada PDV uma chave SSH ou um "
            "nome de host próprio. Se foram clonados de uma mesma imagem: flageemonitor-run hosts settle --key SHA256:abc"
        ),
    ),
    "a machine that calls itself another way": (
        changed,
        (
            "Com a mesma chave SSH, o nome de host era old e agora é new e o número da loja no software do PDV era 1 e agora "
            "é 2. Se foi renomeada ou reinstalada de propósito: flageemonitor-run hosts rekey ACME-LOJA001-PDV201"
        ),
    ),
    "a name of two hosts": (
        a_name_of_two_hosts,
        (
            "ACME-LOJA001-PDV201 corresponde a 2 hosts: é o nome técnico de ACME-LOJA001-PDV201 e o nome visível de "
            "ACME-LOJA001-PDV202. Nada foi alterado."
        ),
    ),
    "a window of another store": (
        outside_the_window_of_another_store,
        "como máquina da loja 2: agora é sáb 12:00 UTC, permitido: 01:00-02:00",
    ),
    "a job that is too late": (
        too_late_to_disrupt,
        (
            "previsto para 2026-03-14 23:00:00 UTC, 32400 s de atraso (tolerância 60 s); uma ação que interrompe nunca é "
            "executada com atraso"
        ),
    ),
    "one host that other filters exclude": (
        lambda: str(Missing("--loja", "1", 1)),
        "--loja 1 (corresponde a 1 host, mas não junto com os outros filtros)",
    ),
    "hosts that other filters exclude": (
        lambda: str(Missing("--loja", "1", 3)),
        "--loja 1 (corresponde a 3 hosts, mas não junto com os outros filtros)",
    ),
    "an entry that no run may select": (
        lambda: str(Missing("--host", "a", left_out="disabled")),
        "--host a (desativado no inventário)",
    ),
    "a name that is like others": (lambda: str(Missing("--host", "a", near=("b", "c"))), "--host a (parecidos: b, c)"),
    "a change": (
        lambda: str(Change("/etc/localtime", say("absent"), "/x")),
        "/etc/localtime: ausente -> /x",
    ),
}


@pytest.mark.parametrize(("made", "portuguese"), SENTENCES.values(), ids=SENTENCES)
def test_a_composed_sentence_is_translated_in_all_of_its_parts(made: Callable[[], str], portuguese: str) -> None:
    assert in_language(made(), PORTUGUESE) == portuguese


# An action need not be translated to be used; these are.
TRANSLATED = ("shutdown_endpoint", "update_endpoint_timezone", "test_endpoint_connection", "test_endpoint_privilege")


@pytest.mark.parametrize("name", TRANSLATED)
def test_what_an_action_decides_is_told_in_sentences_that_can_be_translated(name: str) -> None:
    action = registered().by_name[name]
    assert action.decide is not None
    assert all(isinstance(text, Text) for text in (action.summary, action.does) if text)
    for title, case in cases(name).items():
        decision = action.decide(case.seen(), action.params.model_validate(case.params), in_memory.host(**case.host))
        told = [getattr(decision, "message", ""), getattr(decision, "why", ""), *getattr(decision, "summary", ())]
        told += [str(change) for change in getattr(decision, "changes", ())]
        assert all(isinstance(text, Text) for text in told if text), title
