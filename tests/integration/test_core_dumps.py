"""No process of either side leaves its memory in a core dump: read from the system, which decides it."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.e2e import daemon as daemons
from tests.harness.control_plane import prepared
from tests.integration.proxy import Proxy

ABORTS = "import os; from contracts import core_dumps; core_dumps.switch_off({}); {}"


def limits(pid: int) -> tuple[str, str]:
    """Soft and hard limit of core files."""
    found = re.search(r"^Max core file size\s+(\S+)\s+(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert found
    return found[1], found[2]


def memory_of_a_dump(pid: int) -> int:
    """Which kinds of memory a dump of the process would hold, as bits."""
    return int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16)


def with_descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # ended meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process that could leave a core file before it runs this."""
    return subprocess.run(
        ["sh", "-c", 'ulimit -S -c unlimited 2>/dev/null; exec "$0" -c "$1"', sys.executable, code],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_server_workers_and_nginx_leave_no_core_dump(tmp_path: Path) -> None:
    with prepared(tmp_path).serving(WORKERS="2") as (url, child):
        assert requests.get(url + "/health", timeout=60).status_code == 200
        family = with_descendants(child.pid)
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in family}
        assert len(family) >= 5, names
        assert "nginx" in names
        for pid in family:
            assert limits(pid) == ("0", "0"), names
            assert memory_of_a_dump(pid) == 0


def test_daemon_and_runs_leave_no_core_dump(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = {"name": "PDV1", "address": "127.0.0.1", "port": silent.getsockname()[1], "role": "checkout"}
        document = {
            "network": "SOL",
            "inventory": {"kind": "static", "hosts": [host]},
            "ssh": {"allowed_networks": ["127.0.0.0/8"]},
            "credentials": [{"id": "root", "user": "root", "password": "x"}],
        }
        proxy = Proxy(tmp_path, document)
        with daemons.running(proxy) as daemon:
            for pid in with_descendants(daemon.child.pid):
                assert (limits(pid), memory_of_a_dump(pid)) == (("0", "0"), 0)
            going = proxy.start("test_endpoint_connection", "--host", "PDV1")
            try:
                silent.settimeout(60)
                connection, _ = silent.accept()
                with connection:
                    assert (limits(going.process.pid), memory_of_a_dump(going.process.pid)) == (("0", "0"), 0)
            finally:
                proxy.close()


@pytest.mark.parametrize("program", ["runtime.main", "runtime.deploy", "server.cli"])
def test_every_command_disables_core_dumps_first(program: str, tmp_path: Path) -> None:
    code = (
        f"import sys; from {program} import main; sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(open('/proc/self/limits').read(), open('/proc/self/coredump_filter').read())"
    )
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{root}:{root / 'client_image'}", "FLAGEEMONITOR_ROOT": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.search(r"Max core file size\s+0\s+0\s.*\s00000000$", result.stdout.strip(), re.DOTALL), result.stderr


@pytest.mark.parametrize("hidden", ["", "hidden=True"])
def test_a_process_that_aborts_leaves_no_file(hidden: str, tmp_path: Path) -> None:
    ended = run(ABORTS.format(hidden, "os.abort()"), tmp_path)
    assert ended.returncode == -6
    assert list(tmp_path.iterdir()) == []


def test_processes_that_hold_secrets_are_not_dumpable(tmp_path: Path) -> None:
    asked = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    assert run(ABORTS.format("", asked), tmp_path).stdout == "1\n"
    assert run(ABORTS.format("hidden=True", asked), tmp_path).stdout == "0\n"
