"""The data that the image carries, against the action registry: everything loads, everything is named, every row is used."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from runtime.actions.registry import ACTIONS, registered
from runtime.adapters.assets import find_root, load
from runtime.domain.compatibility_guard import lookup
from runtime.domain.facts import Facts

ROOT = find_root()
ASSETS = load(ROOT, registered().names)
LEVELS = yaml.safe_load((Path(__file__).parents[1] / "cases/compatibility/levels.yaml").read_text(encoding="utf-8"))
# Provider's name -> canonical name, as the field knows them. Source: domain.md 2.1.
ZANTHUS = {
    "install_terminal_agent": "install_endpoint_agent",
    "remove_terminal_agent": "uninstall_endpoint_agent",
    "sync_terminal_config": "update_endpoint_config",
    "sync_terminal_timezone": "update_endpoint_timezone",
    "terminal_shutdown": "shutdown_endpoint",
    "terminal_ping": "test_endpoint_connection",
    "terminal_privilege_check": "test_endpoint_privilege",
    "terminal_printer_refresh": "refresh_endpoint_printer",
    "terminals_register": "register_endpoints",
}


def facts_of(system: str) -> Facts:
    distro, version, arch = system.split("|")
    return Facts(distro=distro, version=version, arch=arch)


def test_every_action_has_a_level_and_every_level_an_action() -> None:
    assert set(ASSETS.minimums) == {action.name for action in ACTIONS}


def test_only_what_reads_may_need_no_more_than_best_effort() -> None:
    assert {
        action.name for action in ACTIONS if ASSETS.minimums[action.name] == "L3" and action.effect != "read"
    } == set()


@pytest.mark.parametrize("system", LEVELS)
def test_a_system_has_the_level_that_its_source_gives_it(system: str) -> None:
    assert lookup(ASSETS.rows, facts_of(system)) == LEVELS[system]


@pytest.mark.parametrize("row", ASSETS.rows, ids=lambda row: f"{row.distro} {row.versions} {row.arch}")
def test_every_row_of_the_matrix_decides_the_level_of_a_system(row: object) -> None:
    others = [other for other in ASSETS.rows if other is not row]

    assert any(lookup(others, facts_of(system)) != level for system, level in LEVELS.items())


def test_arius_starts_at_100_percent_and_every_other_provider_at_zero() -> None:
    shares = {name: provider.default_rollout for name, provider in ASSETS.providers.items()}

    assert shares.pop("arius") == Decimal(100)
    assert set(shares.values()) == {Decimal(0)}


def test_zanthus_names_mean_the_fields_actions() -> None:
    named = ASSETS.providers["zanthus"].actions
    assert {name: named.get(name) for name in ZANTHUS} == ZANTHUS


def test_data_folders_hold_no_code() -> None:
    assert [path for folder in ("providers", "compat_matrix") for path in (ROOT / folder).rglob("*.py")] == []
