"""The way of one host from the command line to its driver: as short as the architecture says, function for function.

The real program in a process of its own, with terminals in memory behind the engine's port.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
HOSTS = [
    {"name": f"ACME-LOJA001-PDV20{number}", "address": f"10.0.0.{number}", "role": "checkout"} for number in (1, 2, 3)
]

PROGRAM = """
import asyncio, contextlib, sys
from runtime import main
from runtime.adapters.ssh import remote
from runtime.domain.errors import Transient
from runtime.domain.model import Outcome, Reason
from tests.unit.engine.in_memory import MemorySession, Terminal

def name(code):
    module = code.co_filename.partition("/client_image/runtime/")[2].removesuffix(".py").replace("/", ".")
    return f"{module}.{code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}" if module else ""

def codes_of(coroutine):
    while hasattr(coroutine, "cr_code"):
        yield coroutine.cr_code
        coroutine = coroutine.cr_await

def way():
    "What waits for this call, from the first function of ours: the main task, its worker, then this task."
    frame, stack = sys._getframe(2), []
    while frame is not None:
        stack.insert(0, frame.f_code)
        frame = frame.f_back
    here = asyncio.current_task()
    begun = stack.index(next(iter(codes_of(here.get_coro()))))
    worker = next(task for task in asyncio.all_tasks() if task._fut_waiter is here)
    running = next(task for task in asyncio.all_tasks() if task.get_coro().__name__ == "_run")
    codes = [*stack[:begun], *codes_of(running.get_coro()), *codes_of(worker.get_coro()), *stack[begun:]]
    return [text for code in codes if (text := name(code))]

class Session(MemorySession):
    async def run(self, *args, **options):
        print(*way(), file=sys.stderr)
        return await super().run(*args, **options)

class Remote:
    def __init__(self, *args, **options): ...

    @contextlib.asynccontextmanager
    async def connect(self, host, *, deadline):
        if "SILENT" in sys.argv[0]:
            raise Transient(Outcome.UNREACHABLE, Reason.TIMEOUT, "no answer")
        yield Session(Terminal())

remote.SshRemote = Remote
main.main()
"""


def program(folder: Path, *words: str, silent: bool = False) -> subprocess.CompletedProcess[str]:
    document = {
        "schema_version": 2,
        "network": "ACME",
        "inventory": {"kind": "static", "hosts": HOSTS},
        "ssh": {"parallel": 1},
        "credentials": [{"id": "one", "user": "suporte", "password": "example-password"}],
    }
    (folder / "config").mkdir()
    (folder / "config" / "config_bot.json").write_text(json.dumps(document))
    environment = {
        **os.environ,
        "FLAGEEMONITOR_CONFIG_PATH": str(folder / "config"),
        "FLAGEEMONITOR_DATA_PATH": str(folder / "data"),
    }
    script = folder / ("SILENT.py" if silent else "program.py")
    script.write_text(PROGRAM)
    argv = [sys.executable, str(script), *words]
    environment["PYTHONPATH"] = f"{REPOSITORY}:{environment.get('PYTHONPATH', '')}"
    return subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def documented() -> list[str]:
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    section = page.partition("**The way of one host**")[2].partition("\n\n")[0]
    return re.findall(r"`([a-z_.]+\.[A-Za-z_.]+)`", section)


def test_a_host_passes_the_functions_that_the_architecture_names_and_no_others(tmp_path: Path) -> None:
    said = program(tmp_path, "test_endpoint_connection", "--host", HOSTS[0]["name"])
    assert said.returncode == 0, said.stderr
    way = next(line for line in said.stderr.splitlines() if line.startswith("main.main ")).split()
    assert way == documented()
    assert len(way) <= 10
    named = {re.sub(r"(\.[A-Z]\w*)?\.\w+$", "", one) for one in documented()}
    assert len(named) <= 6


def test_silent_hosts_are_tried_again_only_after_all_others_had_their_turn(tmp_path: Path) -> None:
    said = program(tmp_path, "test_endpoint_connection", "--output", "json", silent=True)
    assert said.returncode == 1, said.stderr
    hosts: list[dict[str, Any]] = json.loads(said.stdout)["hosts"]
    assert [host["attempts"] for host in hosts] == [1, 1, 2]
