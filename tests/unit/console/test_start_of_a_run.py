"""What a plain run does not need is not imported by it: the start is a third of a short run, and it is paid by every run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# Rooms of ours, and libraries of theirs.
NOT_NEEDED = (
    "runtime.services",
    "runtime.daemon",
    "runtime.container",
    "runtime.deploy",
    "runtime.deployment",
    "runtime.enrol",
    "runtime.adapters.control_plane",
    "runtime.adapters.zabbix",
    "runtime.adapters.state.outbox.delivery",
    "runtime.adapters.state.outbox.packing",
    "runtime.adapters.state.outbox.limits",
    "runtime.cli.doctor",
    "runtime.cli.history",
    "runtime.cli.inventory",
    "runtime.cli.schedule",
    "runtime.engine.forecast",
    "runtime.engine.concentrator",
    "runtime.engine.network",
    "contracts.action_check",
    "contracts.changes",
    "contracts.envelope",
    "contracts.heartbeat",
    "contracts.promises",
    "apscheduler",
    "alembic",
    "docker",
    "http.server",
    "msgspec",
    "requests",
    "rich",
    "sqlalchemy.orm",
)
PROGRAM = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from runtime.main import main
main()
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The modules of a run that reached its host's door."""
    folder = tmp_path_factory.mktemp("run")
    document = {
        "schema_version": 2,
        "network": "ACME",
        "inventory": {"kind": "static", "hosts": [{"name": "ACME-LOJA001-PDV201", "address": "127.0.0.1", "port": 1}]},
        "ssh": {"allowed_networks": ["127.0.0.0/8"]},
        "credentials": [{"id": "one", "user": "suporte", "password": "example-password"}],
    }
    (folder / "config").mkdir()
    (folder / "config" / "config_bot.json").write_text(json.dumps(document))
    environment = {
        **os.environ,
        "FLAGEEMONITOR_CONFIG_PATH": str(folder / "config"),
        "FLAGEEMONITOR_DATA_PATH": str(folder / "data"),
    }
    argv = [sys.executable, "-c", PROGRAM, "test_endpoint_connection", "--all", "--output", "json"]
    state = [sys.executable, "-c", PROGRAM, "runs"]  # the local state is made once in a proxy's life, by much more
    subprocess.run(state, env=environment, check=True, capture_output=True, timeout=120)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    said = json.loads(done.stdout)
    assert [host["reason"] for host in said["hosts"]] == ["refused_connection"], done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_a_run_imports_no_room_that_it_does_not_need(loaded: list[str]) -> None:
    imported = [module for module in loaded for room in NOT_NEEDED if module == room or module.startswith(f"{room}.")]
    assert "runtime.engine.run" in loaded, "the run took place"
    assert imported == [], "import it where it is needed, inside of the function"
