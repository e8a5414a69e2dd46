"""Changes on real roots that do not last or cannot be written, as the terminal's own kernel lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness.fixtures import StartTerminal
from tests.harness.terminals import Terminal, TerminalSpec
from tests.integration.proxy import Proxy

NAME = "ACME-LOJA001-PDV201"
ZONE = "America/Sao_Paulo"


@pytest.fixture
def terminal(start_terminal: StartTerminal) -> Terminal:
    return start_terminal(TerminalSpec(hostname="till"))


def run(terminal: Terminal, folder: Path, *options: str) -> dict[str, Any]:
    document = {
        "network": "ACME",
        "timezone": ZONE,
        "inventory": {"kind": "static", "hosts": [{"name": NAME, "address": terminal.address}]},
        "credentials": [{"id": "root", "user": "root", "password": "terminal"}],
    }
    said = Proxy(folder, document).run("update_endpoint_timezone", "--host", NAME, *options, "--output", "json")
    result = said.result(NAME)
    assert isinstance(result, dict)
    return result


def test_a_change_in_a_layer_is_reported_to_last_until_the_next_boot(terminal: Terminal, tmp_path: Path) -> None:
    result = run(terminal, tmp_path)
    assert (result["outcome"], result["facts"]["lasting"], result["facts"]["storage"]) == ("changed", False, "overlay")
    assert "only until the next boot" in result["message"]
    assert [stage["state"] for stage in result["stages"]] == ["confirmed", "confirmed"]


def test_a_root_that_was_remounted_read_only_is_reported_before_any_step(terminal: Terminal, tmp_path: Path) -> None:
    terminal.mount("-o", "remount,ro", "/")
    before = terminal.listing_hash()
    for options in ((), ("--dry-run",)):
        result = run(terminal, tmp_path, *options)
        assert (result["outcome"], result["reason"], result["steps"]) == ("failed", "read_only", [])
        assert "is mounted read-only" in result["message"]
    assert terminal.listing_hash() == before


def test_a_layer_over_the_settings_that_cannot_be_written_is_found_too(terminal: Terminal, tmp_path: Path) -> None:
    terminal.mount("-t", "tmpfs", "tmpfs", "/mnt")
    terminal.mount("-t", "overlay", "-o", "lowerdir=/etc:/mnt", "etc", "/etc")
    result = run(terminal, tmp_path)
    assert (result["outcome"], result["reason"]) == ("failed", "read_only"), "an overlay without an upper layer"
