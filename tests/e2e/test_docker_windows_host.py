"""install.ps1 and the commands for Windows in PowerShell for Windows, on a real engine: collected only where there is one.

Windows itself is Wine, and Docker Desktop a stand-in in front of the engine; image, registry, control plane and Zabbix are real.
"""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import customer as customers
from tests.e2e.customer import RUNTIME, Customer
from tests.harness.zabbix import Zabbix

NETWORK = "WINHOST"
# In place of the host's stand-in for icacls, which at times loses its exit code: it closes before it has read all.
_ICACLS = b"""
#include <windows.h>
#include <stdio.h>
int main(void) {
    FILE *calls = fopen("C:\\\\icacls.txt", "a");
    fprintf(calls, "%s\\n", GetCommandLineA());
    return fclose(calls);
}
"""


# Docker, as the host's stand-in for it calls it; that translates the paths of mounts, and not the one that --cidfile names.
_DOCKER = r"""#!/bin/sh
for word; do
    shift
    case $word in ('C:\'*.id) word="DRIVE/$(printf '%s' "${word#???}" | tr '\\' /)" ;; esac
    set -- "$@" "$word"
done
exec DOCKER "$@"
"""


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

    def fetch(self) -> str:
        """A fresh script of the control plane as C:\\install.ps1: its token, which works once."""
        plane = self.customer.plane
        token = plane.token("--network", NETWORK, "--scope", "bootstrap")
        url = f"{plane.url}/api/bootstrap/install.ps1?rede={NETWORK}"
        script = subprocess.run(
            ["curl", "-qsS", "--fail", "--cacert", str(self.customer.ca), "-H", f"X-Bot-Token: {token}", url],
            capture_output=True,
            check=True,
        ).stdout
        (self.drive / "install.ps1").write_bytes(script)
        shutil.copy(self.customer.ca, self.drive / "ca.pem")
        return token

    def run_installer(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("C:\\install.ps1", "-Ca", "C:\\ca.pem", "-DockerNetwork", "host", *words)

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        self.fetch()
        return self.run_installer(*words)

    def left(self) -> tuple[list[str], list[str], list[str]]:
        """Runtimes, volumes and containers."""
        docker = self.customer.host.must
        return (
            sorted(path.name for path in self.base.iterdir()) if self.base.exists() else [],
            sorted(docker("docker", "volume", "ls", "-q").split()),
            sorted(docker("docker", "ps", "-a", "--format", "{{.Names}}").split()),
        )

    def command(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(f"C:\\ProgramData\\FlageeMonitor\\{RUNTIME}\\bin\\{RUNTIME}-{name}.ps1", *words)

    def calls(self) -> list[list[str]]:
        """The words of every call of docker and curl."""
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def host(zabbix_running: Zabbix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsHost]:
    folder = tmp_path_factory.mktemp("windows")
    with customers.running(folder, zabbix_running, NETWORK) as customer, contextlib.ExitStack() as stack:
        prefix = folder / "prefix"
        subprocess.run(["windows-host", "new", str(prefix)], check=True, capture_output=True)
        icacls = prefix / "drive_c/windows/system32/icacls.exe"
        subprocess.run(["x86_64-w64-mingw32-gcc", "-x", "c", "-", "-o", icacls], input=_ICACLS, check=True)
        docker = customer.host.must("sh", "-c", "command -v docker").strip()
        client = folder / "docker"
        client.write_text(_DOCKER.replace("DRIVE", str(prefix / "drive_c")).replace("DOCKER", docker))
        client.chmod(0o755)
        words = ["windows-host", "serve", str(prefix), "--namespace", str(customer.host.pid), "--docker", str(client)]
        relay = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        stack.callback(relay.terminate)
        assert relay.stdout
        assert relay.stdout.readline() == "serving\n"
        yield WindowsHost(customer, prefix)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_proxy_is_installed_used_repaired_and_removed(host: WindowsHost) -> None:
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
    rights = (host.drive / "icacls.txt").read_text().splitlines()
    for path in (host.base, host.base / RUNTIME, host.base / RUNTIME / "config", host.base / RUNTIME / "bin"):
        windows = str(path.relative_to(host.drive)).replace("/", "\\")
        assert [line for line in rights if f" C:\\{windows} /inheritance:r /grant:r " in line], rights

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

    refused = host.command("uninstall", "--nonsense")
    assert (refused.returncode, "nonsense" in refused.stderr) == (2, True)
    removed = host.command("uninstall", "--yes", "--delete-data")
    assert removed.returncode == 0, removed
    assert not (host.base / RUNTIME).exists()
    assert not list((host.drive / "tasks").rglob("*repair*"))
    assert host.customer.host.must("docker", "ps", "-aq").split() == []
    assert host.customer.host.must("docker", "volume", "ls", "-q").split() == []


def test_an_image_that_cannot_be_pulled_leaves_nothing(host: WindowsHost) -> None:
    before = host.left()
    done = host.install("-RuntimeName", "fails", "-Image", f"{host.customer.registry.address}/absent:1")
    assert (done.returncode, "cannot be pulled" in done.stderr) == (1, True), done
    assert host.left() == before


def test_a_first_installation_that_fails_in_the_middle_leaves_nothing(host: WindowsHost) -> None:
    before = host.left()
    host.customer.plane.command("token", "revoke", host.fetch())
    done = host.run_installer("-RuntimeName", "fails")
    assert (done.returncode, "was revoked" in done.stdout) == (1, True), done
    assert host.left() == before, done
    assert not list((host.drive / "tasks").rglob("*fails*"))
