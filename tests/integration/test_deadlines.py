"""Deadlines of a run that hold against what never answers, on the real command line."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.proxy import LONG_S, WAITS, Proxy, shop, till

LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def never_answers() -> Iterator[str]:
    """A server that takes every connection and says nothing; its address."""
    with socket.create_server((LOOPBACK, 0), backlog=50) as server:
        yield f"http://{LOOPBACK}:{server.getsockname()[1]}"


def document(url: str, **ssh: object) -> dict[str, Any]:
    return {
        "network": "SHOP",
        "inventory": {"kind": "zabbix", "url": url, "token": "0" * 64, "timeout": 120},
        "ssh": ssh,
        "credentials": [{"id": "root", "user": "root", "password": "x"}],
    }


def test_an_inventory_that_never_answers_ends_the_run_at_its_deadline_and_is_recorded(tmp_path: Path) -> None:
    with never_answers() as url:
        proxy = Proxy(tmp_path, document(url, run_deadline=3))
        said = proxy.run("diagnose_env", "--all", "--output", "json")
    assert (said.code, said.json["error"]["reason"]) == (4, "deadline")
    assert "ssh.run_deadline" in said.json["error"]["message"]
    assert "no host was touched" in said.json["error"]["message"]
    (run,) = proxy.run("runs", "--output", "json").json
    assert (run["exit_code"], run["reason"], run["hosts"]) == (4, "deadline", 0)


def test_a_job_that_waits_for_its_previous_run_gives_up_at_its_own_deadline(tmp_path: Path) -> None:
    when = {"cron": "0 3 * * *", "overlap": "wait", "missed": "once"}
    job = {"id": "night", "action": "update_endpoint_timezone", "selector": {"all": True}, **when}
    words = ("run", "update_endpoint_timezone", "--job", "night", "--output", "json")
    with shop(tmp_path, till("slow", files=WAITS)) as tills:
        usual = tills.document("slow", schedule=[job])
        proxy = Proxy(tmp_path / "proxy", usual)
        going = proxy.start(*words)
        tills.wait_reached("slow")
        proxy.configure({**usual, "ssh": {**usual.get("ssh", {}), "run_deadline": 2}})
        said = proxy.run(*words)
        assert (said.code, said.json["error"]["reason"]) == (6, "job_still_running")
        assert "no host was touched" in said.json["error"]["message"]
        tills.let_go("slow")
        assert going.ended().code == 0


def hook(proxy: Proxy) -> int:
    program = [sys.executable, "-m", "runtime.container.update_hook"]
    return subprocess.run(program, env=proxy.environment, timeout=LONG_S, check=False).returncode


def test_a_stopped_run_holds_no_update_past_its_deadline_and_is_reaped(tmp_path: Path) -> None:
    with shop(tmp_path, till("slow", files=WAITS)) as tills:
        proxy = Proxy(tmp_path / "proxy", tills.document("slow"))
        going = proxy.start("update_endpoint_timezone", "--host", tills.name("slow"))
        tills.wait_reached("slow")
        going.signal(signal.SIGSTOP)
        assert hook(proxy) == 75
        (lock,) = (proxy.data / "runs").glob("*.lock")
        lock.write_text(json.dumps({**json.loads(lock.read_text()), "ends_by": 0.0}))  # as if its time had gone by
        assert hook(proxy) == 0
        assert going.ended().code == -signal.SIGKILL
        tills.let_go("slow")
        (run,) = proxy.run("runs", "--output", "json").json
        assert run["outcomes"] == {"unknown": 1}


# The product with less patience: a check of doctor may take 35 seconds otherwise.
IMPATIENT_DOCTOR = """\
import functools
from runtime import main
from runtime.cli import doctor
doctor.examined, doctor._LEAST_S = functools.partial(doctor.examined, each=3), 3
main.main()
"""


def test_doctor_ends_when_neither_control_plane_nor_zabbix_answer(tmp_path: Path) -> None:
    with never_answers() as url:
        proxy = Proxy(tmp_path, document(url))
        proxy.environment |= {"FLAGEEMONITOR_API_BASE": url, "FLAGEEMONITOR_TOKEN": "x" * 40}
        said = subprocess.run(
            [sys.executable, "-c", IMPATIENT_DOCTOR, "doctor", "--output", "json"],
            env=proxy.environment, capture_output=True, timeout=LONG_S, check=False,
        )  # fmt: skip
    checks = {check["name"]: check["status"] for check in json.loads(said.stdout)}
    assert said.returncode == 1
    assert checks["control plane"] == "bad"
    assert checks["local state"] == "ok"
