"""Strangers who try to stop the control plane: every attack at once on the real arrangement, and what others get meanwhile."""

import contextlib
import http.client
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import authority
from tests.harness.authority import Issued
from tests.harness.control_plane import ControlPlane, prepared
from tests.harness.need import need_program
from tests.harness.ports import LOOPBACK
from tests.harness.process import Child, wait_until

BYSTANDER = "127.0.0.200"
GENEROUS_S = (
    30.0  # the aim is one second, what was seen is printed; who is kept out waits for as long as the attack goes on
)
AT_WORK_S = 6.0
KINDS = ("nginx", "nginx with TLS", "nothing in front")


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder = tmp_path_factory.mktemp("authority")
    return authority.new(folder).issue(folder, LOOPBACK)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> ControlPlane:
    return prepared(tmp_path_factory.mktemp("plane"))


@contextlib.contextmanager
def serving(plane: ControlPlane, kind: str, folder: Path, issued: Issued) -> Iterator[tuple[int, Child]]:
    changes = {
        "nginx": {},
        "nginx with TLS": {"TLS_CERTIFICATE": str(issued.certificate), "TLS_KEY": str(issued.key)},
        "nothing in front": {"NGINX": "none"},
    }[kind]
    with replace(plane, folder=folder).serving(WORKERS="2", **changes) as (url, child):
        yield int(url.rpartition(":")[2]), child


@contextlib.contextmanager
def attacked(port: int, *, tls: bool, token: str) -> Iterator[None]:
    """Meanwhile everything that there is at `tests.integration.attackers` goes on."""
    command = [sys.executable, "-m", "tests.integration.attackers", str(port), "tls" if tls else "plain", token]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attackers:
        assert attackers.stdout
        try:
            assert b"attackers" in attackers.stdout.readline()
            yield
        finally:
            attackers.kill()


def ask(port: int, tls: bool, path: str = "/health", headers: dict[str, str] | None = None) -> tuple[int, float]:
    """Status, and seconds on a new connection from an address without an attack."""
    begun = time.monotonic()
    source = (BYSTANDER, 0)
    if tls:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            LOOPBACK, port, timeout=60, source_address=source, context=trusting
        )
    else:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60, source_address=source)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - begun


def assert_no_renegotiation(port: int) -> None:
    """Each would cost the server ten times what it costs the caller, on one connection."""
    asked = subprocess.run(
        [need_program("openssl", "openssl"), "s_client", "-connect", f"{LOOPBACK}:{port}", "-tls1_2"],
        input=b"R\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    said = asked.stdout + asked.stderr
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said
    assert ask(port, tls=True)[0] == 200


@pytest.mark.parametrize("kind", KINDS)
def test_others_are_answered_while_everything_attacks_and_all_is_normal_afterwards(
    plane: ControlPlane, tmp_path: Path, issued: Issued, kind: str
) -> None:
    tls = "TLS" in kind
    with serving(plane, kind, tmp_path, issued) as (port, child):
        token = plane.token("--network", "SOL")
        assert ask(port, tls)[0] == 200
        with attacked(port, tls=tls, token=plane.token("--scope", "bootstrap")):
            until, answers = time.monotonic() + AT_WORK_S, []
            while time.monotonic() < until:
                answers.append(ask(port, tls))
                time.sleep(0.3)
            poll = ask(port, tls, "/api/ingest/bot/config", {"X-Bot-Token": token})
        ended = time.monotonic()
        wait_until(lambda: ask(port, tls)[1] < 1, within=30, what="answers as before")
        normal = time.monotonic() - ended
        slowest = max(seconds for _, seconds in answers)
        sys.stdout.write(
            f"{kind}: {len(answers)} health answers, slowest {slowest:.2f} s, configuration {poll[1]:.2f} s; "
            f"normal {normal:.2f} s after the end\n"
        )
        assert {status for status, _ in answers} == {200}
        assert poll[0] == 200
        assert slowest < GENEROUS_S
        if tls:
            assert_no_renegotiation(port)
        log = [json.loads(line) for line in child.log.read_text().splitlines()]
    events = " ".join(line["event"] for line in log)
    assert len(re.findall("Booting worker", events)) == 2, "no worker had to be replaced"
    assert "part_ended" not in events
    assert "unexpected_error" not in events
