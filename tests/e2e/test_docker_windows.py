"""What a host with Windows asks of the image, on a real engine: the one-shot container as update-image.ps1 starts it.

Everything but Windows and its PowerShell is real. The folder stands for the one in %ProgramData%; the state is in a volume.
"""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e import customer as customers
from tests.e2e.customer import RUNTIME, Customer
from tests.harness.docker_host import Said
from tests.harness.process import wait_until
from tests.harness.zabbix import Zabbix
from tests.unit.windows.scripts import TOOLS, deploy_command

NETWORK = "WINDOWS"
OTHER = "win"
FOLDER = "/var/lib/windows-host"


@pytest.fixture(scope="module")
def customer(zabbix_running: Zabbix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    with customers.running(tmp_path_factory.mktemp("windows"), zabbix_running, NETWORK) as running:
        assert running.install().code == 0
        # What the installer for Windows leaves: the same files, in one folder, with no owner that means anything.
        prepare = f"""
            mkdir -p {FOLDER}/bin
            cp -r /etc/{RUNTIME}/config {FOLDER}/config
            chmod -R 777 {FOLDER}
            sed 's/^\\(FLAGEEMONITOR_RUNTIME_NAME\\)=.*/\\1={OTHER}/' /etc/{RUNTIME}/flageemonitor.env >{FOLDER}/flageemonitor.env
            docker volume create --label flageemonitor.runtime={OTHER} {OTHER}-data
        """
        running.host.must("sh", "-ec", prepare)
        yield running


def deploy(customer: Customer, verb: str) -> tuple[Said, dict[str, object]]:
    # Docker writes a file for the wrapper, and wants it to be new.
    given = {"folder": FOLDER, "runtime": OTHER, "image": customer.image, "verb": verb, "made": f"/run/{uuid4()}.id"}
    said = customer.host.run("docker", *deploy_command(given), "--output", "json", timeout=600)
    return said, json.loads(said.out)


def test_a_windows_host_is_installed_unchanged_and_repaired(customer: Customer) -> None:
    said, answer = deploy(customer, "apply")
    assert (said.code, answer["reason"]) == (0, "installed"), said
    mounts = {(one["Type"], one["Source"], one["Target"]) for one in customer.inspect(OTHER)["HostConfig"]["Mounts"]}
    assert mounts == {
        ("bind", f"{FOLDER}/config", "/flageemonitor/config"),
        ("volume", f"{OTHER}-data", "/flageemonitor/data"),
    }
    written = customer.host.must("ls", f"{FOLDER}/bin").split()
    assert written == sorted(f"{OTHER}-{tool}.ps1" for tool in TOOLS)
    assert "else { 'win' }" in customer.host.must("cat", f"{FOLDER}/bin/{OTHER}-run.ps1")
    # No owner and no mode of the folder was touched.
    assert customer.host.must("stat", "-c", "%a", f"{FOLDER}/config").strip() == "777"

    customer.host.must("sh", "-c", f"chmod 777 {FOLDER}/bin/*")
    # The engine itself calls it healthy only at its next check, half a minute later.
    wait_until(
        lambda: customer.inspect(OTHER)["State"]["Health"]["Status"] == "healthy",
        within=300,
        what="win healthy",
        every=1,
    )
    _, answer = deploy(customer, "status")
    report = answer["report"]
    assert isinstance(report, dict)
    assert report["drift"] == []
    for verb in ("apply", "repair"):
        said, answer = deploy(customer, verb)
        assert (said.code, answer["reason"]) == (0, "unchanged"), said.err + said.out

    customer.host.must("docker", "rm", "-f", OTHER)
    customer.host.must("rm", f"{FOLDER}/bin/{OTHER}-logs.ps1")
    said, answer = deploy(customer, "repair")
    assert (said.code, answer["reason"]) == (0, "repaired"), said
    customer.wait_healthy(OTHER)
    assert len(customer.host.must("ls", f"{FOLDER}/bin").split()) == len(TOOLS)

    # Beside it, the host's own runtime is as it was.
    assert customer.healthy()


def test_the_first_configuration_and_the_probe_work_in_a_new_volume(customer: Customer) -> None:
    """The image's own folder lends its owner to a new volume, so that the proxy's user can write there."""
    words = [
        "run",
        "--rm",
        "--user",
        "10001:10001",
        "--network",
        "host",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--cap-drop",
        "ALL",
    ]
    words += ["-e", "FLAGEEMONITOR_RUNTIME_NAME=new", "-v", f"{FOLDER}/config:/flageemonitor/config"]
    words += [
        "--env-file",
        "/tmp/container.env",
        "-v",
        "new-data:/flageemonitor/data",
        customer.image,
        "config",
        "refresh",
    ]
    environment = customer.environment()
    keys = ("REDE", "API_BASE", "AGENT_ID", "CA_PATH")
    lines = "".join(f"FLAGEEMONITOR_{key}={environment[f'FLAGEEMONITOR_{key}']}\n" for key in keys)
    customer.host.must("sh", "-c", "cat >/tmp/container.env", stdin=lines.encode())
    customer.host.must("docker", *words)
    probe = "cd /probe && { [ ! -e docker ] || cat docker/config.json >/dev/null; }"
    probe += " && cat config/.given >config/.taken && cat config/.taken"
    customer.host.must("sh", "-c", f"echo word >{FOLDER}/config/.given")
    said = customer.host.must(
        "docker", "run", "--rm", "--user", "10001:10001", "--network", "none", "--read-only", "--cap-drop", "ALL",
        "-v", f"{FOLDER}:/probe", "--entrypoint", "/bin/sh", customer.image, "-c", probe,
    )  # fmt: skip
    assert said == "word\n"
