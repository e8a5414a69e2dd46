"""`make demo-up`, `make try` and `make demo-down` as a developer uses them: real processes, real terminals, real exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from demo.background import read, started_at
from tests.harness.need import need_program

REPOSITORY = Path(__file__).resolve().parents[2]
TILL = ("--host", "DEMO-LOJA001-PDV202")


def demo(home: Path, *arguments: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "demo", "--folder", str(home), *arguments]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def test_the_demo_runs_in_the_background_until_it_is_taken_down(tmp_path: Path) -> None:
    need_program("bwrap", "bubblewrap")
    need_program("busybox", "busybox")
    try:
        code, said = demo(tmp_path, "up")
        assert code == 0, said
        record = read(tmp_path / "up")
        assert record is not None
        assert record.runs
        assert demo(tmp_path, "try", "no_such_action", *TILL)[0] == 2
        assert demo(tmp_path, "try", "update_endpoint_timezone", "--host", "PDV299")[0] == 5
        assert "would_change" in demo(tmp_path, "try", "update_endpoint_timezone", *TILL, "--dry-run")[1]
        assert "changed" in demo(tmp_path, "try", "update_endpoint_timezone", *TILL)[1]
        code, said = demo(tmp_path, "up")
        assert (code, "is running already" in said) == (0, True)
        assert "\tok\t" in demo(tmp_path, "try", "update_endpoint_timezone", *TILL)[1]
    finally:
        code, said = demo(tmp_path, "down")
    assert (code, "The demo is stopped (control-plane, terminals)" in said) == (0, True)
    assert [started_at(pid) for pid, _ in record.processes.values()] == [None, None]
    assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]
