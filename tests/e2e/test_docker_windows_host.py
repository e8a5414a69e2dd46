"""install.ps1 and the commands for Windows in PowerShell for Windows, on a real engine: collected only where there is one.

Windows itself is Wine, and Docker Desktop a stand-in in front of the engine; image, registry, control plane and Zabbix are real.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import customer as customers
from tests.e2e import plane as control_plane
from tests.e2e.customer import RUNTIME, Customer
from tests.harness.zabbix import Zabbix

PROGRAMS = [shutil.which(name) for name in ("windows-host", "pwsh-windows", "wine")]
pytestmark = pytest.mark.skipif(None in PROGRAMS, reason="no PowerShell for Windows here")
NETWORK = "WINHOST"


@dataclass(frozen=True, slots=True)
class WindowsHost:
    """``drive`` is its drive C:."""

    customer: Customer
    folder: Path

    @property
    def drive(self) -> Path:
        return self.folder / "drive_c"

    @property
    def base(self) -> Path:
        return self.drive / "ProgramData/FlageeMonitor"

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A script of drive C:, in a PowerShell of its own."""
        return subprocess.run(
            ["pwsh-windows", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File", script, *words],
            # Wine has an icacls.exe of its own, which it prefers to the one that notes what it was told.
            env={**os.environ, "WINEPREFIX": str(self.folder), "WINEDLLOVERRIDES": "icacls.exe=n"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=600,
        )

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        """With a fresh script of the control plane."""
        plane = self.customer.plane
        made = json.loads(
            plane.command("install-command", control_plane.CLIENT, NETWORK, "--windows", "--output", "json")
        )
        token = re.findall(r"fm1\.[\w.-]+", made["command"])[0]
        url = f"{plane.url}/api/bootstrap/install.ps1?rede={NETWORK}"
        script = subprocess.run(
            ["curl", "-qsS", "--fail", "--cacert", str(self.customer.ca), "-H", f"X-Bot-Token: {token}", url],
            capture_output=True,
            check=True,
        ).stdout
        (self.drive / "install.ps1").write_bytes(script)
        shutil.copy(self.customer.ca, self.drive / "ca.pem")
        return self.run("C:\\install.ps1", "-Ca", "C:\\ca.pem", "-DockerNetwork", "host", *words)

    def command(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(f"C:\\ProgramData\\FlageeMonitor\\{RUNTIME}\\bin\\{RUNTIME}-{name}.ps1", *words)

    def calls(self) -> list[list[str]]:
        """The words of every call of docker, curl and icacls."""
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def host(zabbix_running: Zabbix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsHost]:
    folder = tmp_path_factory.mktemp("windows")
    with customers.running(folder, zabbix_running, NETWORK) as customer, contextlib.ExitStack() as stack:
        prefix = folder / "prefix"
        subprocess.run(["windows-host", "new", str(prefix)], check=True, capture_output=True)
        docker = customer.host.must("sh", "-c", "command -v docker").strip()
        words = ["windows-host", "serve", str(prefix), "--namespace", str(customer.host.pid), "--docker", docker]
        relay = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        stack.callback(relay.terminate)
        assert relay.stdout
        assert relay.stdout.readline() == "serving\n"
        yield WindowsHost(customer, prefix)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_proxy_is_installed_used_updated_and_removed(host: WindowsHost) -> None:
    planned = host.install("-DryRun")
    assert planned.returncode == 0, planned
    assert not host.base.exists()
    assert host.customer.host.must("docker", "volume", "ls", "-q").split() == []

    installed = host.install()
    assert installed.returncode == 0, installed
    host.customer.wait_healthy()
    names = {path.name for path in (host.base / RUNTIME / "bin").iterdir()}
    assert names == {
        f"{RUNTIME}-{name}.ps1"
        for name in ("run", "logs", "update-config", "update-image", "watchtower-logs", "uninstall")
    }
    assert (host.drive / "tasks").exists()
    assert not list((host.base / RUNTIME).glob(".seen-*"))
    assert "fm1." not in json.dumps(host.calls()), "no token in an argument"
    icacls = [words for words in host.calls() if words[0] == "icacls"]
    assert any("/reset" in words for words in icacls), icacls

    doctor = host.command("run", "doctor", "--output", "json")
    assert doctor.returncode in (0, 1), doctor
    assert json.loads(doctor.stdout)
    status = host.command("update-image", "--status", "--output", "json")
    assert (status.returncode, answer(status)["reason"]) == (0, "status"), status
    assert host.command("update-config").returncode == 0
    assert host.command("logs", "--tail", "3").stdout.count("\n") >= 3

    again = host.install()
    assert again.returncode == 0, again

    host.customer.host.must("docker", "stop", RUNTIME)
    stopped = host.command("run", "doctor", "--output", "json")
    assert (stopped.returncode, answer(stopped)["reason"]) == (69, "not_running")
    repaired = host.command("update-image", "--repair", "--output", "json")
    assert (repaired.returncode, answer(repaired)["reason"]) == (0, "repaired"), repaired

    refused = host.command("uninstall")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    removed = host.command("uninstall", "--yes", "--delete-data")
    assert removed.returncode == 0, removed
    assert not (host.base / RUNTIME).exists()
    assert not list((host.drive / "tasks").rglob("*repair*"))
    assert host.customer.host.must("docker", "ps", "-aq").split() == []
    assert host.customer.host.must("docker", "volume", "ls", "-q").split() == []


def test_a_first_installation_that_fails_leaves_nothing(host: WindowsHost) -> None:
    done = host.install("-Image", f"{host.customer.registry.address}/absent:1")
    assert done.returncode == 1, done
    assert "cannot be pulled" in done.stderr
    done = host.install("-WatchtowerImage", f"{host.customer.registry.address}/absent:1")
    assert done.returncode == 1, done
    assert not (host.base / RUNTIME).exists()
    assert host.customer.host.must("docker", "volume", "ls", "-q").split() == []
