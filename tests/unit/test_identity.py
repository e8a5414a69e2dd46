"""Which entries a machine's own words name; who answered is told as stories in tests/cases/identity."""

from __future__ import annotations

import pytest

from runtime.domain.identity import Claim, entry_index, evidence
from runtime.domain.model import Host
from runtime.domain.names import RoleWords, parse_name

WORDS: RoleWords = {"checkout": ("CX",)}
NAMES = (
    "ACME-LOJA001-PDV201",
    "ACME-LOJA001-SELF01",
    "ACME-LOJA001-PDV01",
    "ACME-LOJA001-CONCENTRADOR",
    "ACME-LOJA002-PDV201",
    "ACME-LOJA002-CX05",
    "ACME-PROXY",
    "caixa.frente",
)


def host(name: str) -> Host:
    said = parse_name(name, WORDS)
    return Host(
        name, name, "ACME", f"10.0.0.{NAMES.index(name)}", store=said.store, terminal=said.terminal, role=said.role
    )


AROUND = entry_index(map(host, NAMES))
BOTH = {"acme-loja001-pdv201", "acme-loja002-pdv201"}


@pytest.mark.parametrize(
    ("hostname", "named"),
    [
        ("pdv201", BOTH),
        ("pdv-201", BOTH),
        ("pdv_0201", BOTH),
        ("acme-pdv201", BOTH),
        ("loja001-pdv201", {"acme-loja001-pdv201"}),
        ("loja1pdv201", {"acme-loja001-pdv201"}),
        ("acme-loja002-pdv201", {"acme-loja002-pdv201"}),
        ("acme-loja002-pdv201.example.com", {"acme-loja002-pdv201"}),
        ("pdv201.loja001.example", BOTH),
        ("self1", {"acme-loja001-self01"}),
        ("pdv1", {"acme-loja001-pdv01"}),
        ("cx05", {"acme-loja002-cx05"}),
        ("caixa.frente", {"caixa.frente"}),
        ("acme-loja001-concentrador", {"acme-loja001-concentrador"}),
        ("acme-proxy", {"acme-proxy"}),
        ("caixa", set()),
        ("pdv", set()),
        ("201", set()),
        ("pdv201-printer", set()),
        ("pdv999", set()),
        ("loja003-pdv201", set()),
        ("debian11", set()),
        ("localhost", set()),
        ("", set()),
        (".", set()),
        ("(none)", set()),
        ("\u0661", set()),
    ],
)
def test_a_host_name_names_the_entries_whose_numbers_it_carries(hostname: str, named: set[str]) -> None:
    found = evidence(host(NAMES[0]), Claim(hostname=hostname), AROUND, WORDS)
    assert set().union(*(one.entries for one in found)) == named


@pytest.mark.parametrize(
    ("store", "terminal", "named"),
    [
        (1, 201, {"acme-loja001-pdv201"}),
        (None, 201, BOTH),
        (1, 1, {"acme-loja001-self01", "acme-loja001-pdv01"}),
        (9, 201, set()),
        (1, None, set()),
    ],
)
def test_the_point_of_sale_names_the_entries_with_its_numbers(
    store: int | None, terminal: int | None, named: set[str]
) -> None:
    found = evidence(host(NAMES[0]), Claim(store=store, terminal=terminal), AROUND, WORDS)
    assert set().union(*(one.entries for one in found)) == named
