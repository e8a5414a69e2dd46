"""TLS of the server itself, with a private authority: what it serves, what `serve` refuses, renewal, and what strangers send."""

import json
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from contracts.ids import uuid7
from tests.harness import authority
from tests.harness.authority import Authority, Issued
from tests.harness.control_plane import CLIENT, PUBLIC_URL, ControlPlane, prepared
from tests.harness.ports import LOOPBACK
from tests.harness.process import Child, wait_until


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    return authority.new(tmp_path)


@pytest.fixture
def issued(own: Authority, tmp_path: Path) -> Issued:
    return own.issue(tmp_path, LOOPBACK, "localhost")


@pytest.fixture
def served(plane: ControlPlane, issued: Issued) -> Iterator[tuple[str, Child]]:
    with plane.serving(**tls(issued), WORKERS="1") as running:
        yield running


def tls(issued: Issued) -> dict[str, str]:
    """The settings for it, as `serving` takes them."""
    return {"TLS_CERTIFICATE": str(issued.certificate), "TLS_KEY": str(issued.key)}


def address(url: str) -> tuple[str, int]:
    host, port = url.rpartition("/")[2].split(":")
    return host, int(port)


def log_lines(child: Child) -> list[dict[str, Any]]:
    return [json.loads(line) for line in child.log.read_text().splitlines()]


def started(child: Child) -> int:
    """How many workers of gunicorn were started, and how often a part had to be started again."""
    return sum("Booting worker" in line["event"] or line["event"] == "part_ended" for line in log_lines(child))


def test_the_pasted_line_and_what_follows_work_over_tls_with_a_private_authority(
    served: tuple[str, Child], plane: ControlPlane, own: Authority
) -> None:
    url, child = served
    line = plane.must("install-command", CLIENT, "SOL", "--ca", str(own.certificate)).splitlines()[-1]
    # The stand-in for the installer prints its values: it needs no sudo, and takes no --ca.
    fetch = line.rpartition(" | ")[0].replace(PUBLIC_URL, url)
    script = subprocess.run(["sh", "-c", fetch], capture_output=True, check=True).stdout
    printed = subprocess.run(["sh", "-s"], input=script, capture_output=True, check=True).stdout.decode()
    values = dict(value.replace(PUBLIC_URL, url).split("=", 1) for value in printed.splitlines())
    with requests.Session() as session:
        session.verify, session.trust_env = str(own.certificate), False  # else REQUESTS_CA_BUNDLE would win
        enrolled = session.post(
            values["ENROLL_URL"],
            headers={"X-Bot-Token": values["BOOTSTRAP_TOKEN"]},
            json={"agent_id": uuid7(), "hostname": "proxy-1"},
            timeout=60,
        )
        assert enrolled.status_code == 201
        headers = {"X-Bot-Token": enrolled.json()["token"]}
        assert session.get(f"{values['API_BASE']}/bot/config", headers=headers, timeout=60).status_code == 200
        assert session.get(values["HEALTH_URL"], timeout=60).json()["status"] == "ok"
    child.stop()
    assert all(secret not in child.log.read_text() for secret in (headers["X-Bot-Token"], values["BOOTSTRAP_TOKEN"]))


def test_clients_without_the_authority_refuse_the_server_and_old_protocols_are_refused(
    served: tuple[str, Child], own: Authority
) -> None:
    url, child = served
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{url}/health", timeout=60)
    context = ssl.create_default_context(cafile=own.certificate)
    with (
        socket.create_connection(address(url)) as plain,
        context.wrap_socket(plain, server_hostname=LOOPBACK) as secure,
    ):
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
    assert requests.get(f"{url}/health", verify=str(own.certificate), timeout=60).json()["status"] == "ok"
    wait_until(
        lambda: any(line["event"] == "tls_handshake_failed" for line in log_lines(child)),
        within=60,
        what="the refused handshake in the log",
    )


def test_plain_http_on_the_tls_port_gets_tls_required_and_one_line_in_the_log(
    served: tuple[str, Child], own: Authority
) -> None:
    url, child = served
    answer = requests.get(url.replace("https", "http") + "/health", timeout=60)
    assert (answer.status_code, answer.json()["reason"]) == (400, "tls_required")
    assert requests.get(f"{url}/health", verify=str(own.certificate), timeout=60).status_code == 200
    wait_until(
        lambda: [line["address"] for line in log_lines(child) if line.get("reason") == "tls_required"] == [LOOPBACK],
        within=60,
        what="one line in the log",
    )
    assert "Traceback" not in child.log.read_text()


def test_callers_that_vanish_before_the_handshake_do_not_end_the_worker(
    served: tuple[str, Child], own: Authority
) -> None:
    url, child = served
    for said in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00" + b"x" * 200) * 20:
        connection = socket.create_connection(address(url), timeout=60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close is a reset
        connection.sendall(said)
        connection.close()
    for _ in range(5):
        assert requests.get(f"{url}/health", verify=str(own.certificate), timeout=60).status_code == 200
    assert started(child) == 1
    assert "Traceback" not in child.log.read_text()


def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(
    served: tuple[str, Child], issued: Issued, own: Authority, tmp_path: Path
) -> None:
    url, child = served

    def serial() -> str:
        pem = ssl.get_server_certificate(address(url), ca_certs=str(own.certificate))
        return pem.strip()

    def told(event: str) -> int:
        return sum(line["event"] == event for line in log_lines(child))

    first = serial()
    assert first == issued.certificate.read_text().strip()
    issued.certificate.write_text("damaged")
    refused = "certificate_not_taken"
    wait_until(lambda: told(refused) == 1, within=60, what="the damaged certificate in the log")
    assert serial() == first
    own.issue(tmp_path, LOOPBACK)
    wait_until(lambda: serial() == issued.certificate.read_text().strip(), within=60, what="the renewed certificate")
    second = serial()
    assert second != first
    before = told(refused)
    issued.key.unlink()
    wait_until(lambda: told(refused) == before + 1, within=60, what="the missing key in the log")
    assert serial() == second
    assert told("certificate_taken") == 1
    assert started(child) == 1


@pytest.mark.parametrize(
    "wrong", ["certificate gone", "key gone", "not PEM", "key not PEM", "another key", "passphrase", "swapped"]
)
def test_an_unusable_certificate_ends_serve_with_advice(
    plane: ControlPlane, own: Authority, issued: Issued, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "other").mkdir()
    other = own.issue(tmp_path / "other", LOOPBACK, passphrase=b"hunter2" if wrong == "passphrase" else None)
    changes, said = tls(issued), "FLAGEE_TLS_"
    match wrong:
        case "certificate gone":
            changes["TLS_CERTIFICATE"] = said = f"{tmp_path}/none.crt"
        case "key gone":
            changes["TLS_KEY"] = said = f"{tmp_path}/none.key"
        case "not PEM":
            issued.certificate.write_text("damaged")
            said = f"FLAGEE_TLS_CERTIFICATE: {issued.certificate} is not a certificate in PEM; "
        case "key not PEM":
            issued.key.write_bytes(b"damaged \xff\x00")
            said = f"FLAGEE_TLS_KEY: {issued.key} is not a private key in PEM; "
        case "another key":
            changes["TLS_KEY"] = str(other.key)
            said = "is not the key of the certificate"
        case "passphrase":
            changes = tls(other)
            said = "openssl pkey"
        case "swapped":
            changes = {"TLS_CERTIFICATE": str(issued.key), "TLS_KEY": str(issued.certificate)}
            said = f"FLAGEE_TLS_CERTIFICATE: {issued.key} is not a certificate in PEM; "
    result = plane.run("serve", stdin=None, **changes)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert "FLAGEE_TLS_" in result.stderr
    assert "Traceback" not in result.stderr
