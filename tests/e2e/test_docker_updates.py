"""How a proxy stays current and never stays broken: real images, a real registry, the real Watchtower, the host's own repair."""

import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e import customer as customers
from tests.e2e.customer import CRASHES, FIRST, HANGS, INTERVAL_S, REPOSITORY, RUNTIME, SECOND, Customer
from tests.harness import registry
from tests.harness.docker_host import Said
from tests.harness.process import wait_until
from tests.harness.registry import Registry
from tests.harness.terminals import Terminal
from tests.harness.zabbix import Zabbix

NETWORK = "UPDATES"
# Two polls of Watchtower, the stop of the old container and the start of the new one.
SOON_S = 2 * INTERVAL_S + 300


@pytest.fixture(scope="module")
def customer(zabbix_running: Zabbix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    with customers.running(tmp_path_factory.mktemp("updates"), zabbix_running, NETWORK, hurry=True) as running:
        yield running


@pytest.fixture(scope="module")
def tills(customer: Customer) -> Iterator[dict[str, Terminal]]:
    with customers.tills(customer, 1) as running:
        yield running


@pytest.fixture
def installed(customer: Customer, tills: dict[str, Terminal]) -> Customer:
    """A host that runs the first release, healthy and not pinned; Watchtower asleep, so that each test says when updates come."""
    customer.release(customer.first)
    if customer.state() == "absent":
        said = customer.install()
        assert said.code == 0, said
    else:
        said = customer.update("--resume", "--force")
        assert said.code == 0, said
    customer.wait_healthy()
    assert customer.version() == FIRST
    return customer


@contextlib.contextmanager
def watchtower_asleep(customer: Customer) -> Iterator[None]:
    """No automatic update in the meantime."""
    customer.host.must("docker", "pause", f"{RUNTIME}-watchtower")
    try:
        yield
    finally:
        customer.host.run("docker", "unpause", f"{RUNTIME}-watchtower")


def test_an_update_by_hand_brings_the_new_release(installed: Customer) -> None:
    with watchtower_asleep(installed):
        installed.release(installed.derive(SECOND))
        said = installed.update("--output", "json")
    assert (said.code, json.loads(said.out)["reason"]) == (0, "updated"), said
    assert (installed.version(), installed.healthy()) == (SECOND, True)
    assert installed.state(f"{RUNTIME}-previous") == "absent"  # kept only until the new one is healthy
    assert installed.update().code == 0  # nothing to do


def test_watchtower_takes_a_new_release(installed: Customer) -> None:
    installed.release(installed.derive(SECOND))
    wait_until(lambda: version(installed) == SECOND, within=SOON_S, what="Watchtower took the release", every=1)
    installed.wait_healthy()
    assert installed.update("--repair").code == 0
    assert installed.inspect()["HostConfig"]["ReadonlyRootfs"] is True
    assert "ok" in {check["status"] for check in installed.doctor()["daemon"]}


def test_watchtower_waits_for_a_run(installed: Customer) -> None:
    """It comes while a run is registered: the run ends as it would have, and the update comes after it."""
    with customers.silent_till(installed) as name:
        installed.site.publish(
            image={"reference": installed.image, "interval": INTERVAL_S}, ssh={"connect_timeout": 120}
        )
        assert installed.host.run(f"/usr/local/bin/{RUNTIME}-update-config").code == 0
        second = installed.derive(SECOND)  # before the run, which Watchtower must still find at work
        process = installed.start_run("diagnose_env", "--host", name, "--output", "json")
        installed.release(second)
        held = installed.host.path(f"/var/lib/{RUNTIME}/hold.json")
        wait_until(held.exists, within=SOON_S, what="Watchtower was told to wait")
        assert version(installed) == FIRST
        out, _ = process.communicate(timeout=300)
    customers.publish(installed)
    result = json.loads(out)["hosts"][0]
    assert (process.returncode, result["outcome"], result["reason"]) == (1, "unreachable", "timeout")
    wait_until(lambda: version(installed) == SECOND, within=SOON_S, what="Watchtower took the release", every=1)


@pytest.mark.parametrize("broken", [CRASHES, HANGS], ids=["crashes", "hangs"])
def test_a_broken_release_is_refused_by_hand(installed: Customer, broken: str) -> None:
    before = installed.inspect()
    with watchtower_asleep(installed):
        installed.release(installed.derive("0.6.6", broken))
        said = installed.update()
        # Its deploy cannot run either, which is said for it.
        assert (said.code, said.out, "gave no answer" in said.err) == (1, "", True), said
        now = installed.inspect()
        assert (now["Id"], now["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
        assert f"{RUNTIME}-candidate" not in installed.host.containers()
        installed.release(installed.first)


def test_a_broken_release_that_watchtower_took_is_rolled_back_and_pinned(installed: Customer) -> None:
    installed.release(installed.derive("0.6.6", CRASHES))
    wait_until(
        lambda: "false" in entrypoint(installed), within=SOON_S, what="Watchtower took the broken release", every=1
    )
    wait_until(lambda: installed.inspect()["RestartCount"] >= 1, within=300, what="it crash-loops", every=1)
    repair_until(installed, installed.healthy)
    assert installed.version() == FIRST
    status = json.loads(installed.update("--status", "--output", "json").out)
    assert status["report"]["pinned"]
    told = json.dumps(installed.doctor())
    assert "pinned" in told
    # It stays there, although the tag still points to the broken one. That Watchtower leaves a pinned digest alone is seen in
    # tests/integration/test_deploy_engine.py.
    assert "@sha256:" in installed.inspect()["Config"]["Image"]
    assert installed.update("--repair").code == 0
    assert installed.version() == FIRST
    assert installed.update().code == 1  # pinned
    # A good release is out: back to the tag.
    installed.release(installed.derive(SECOND))
    assert installed.update("--resume").code == 0
    assert (installed.version(), installed.healthy()) == (SECOND, True)


def test_a_rollback_stays_until_resume(installed: Customer) -> None:
    installed.release(installed.derive(SECOND))
    assert installed.update().code == 0
    newest = installed.inspect()["Image"]
    said = installed.update("--rollback")
    assert said.code == 0, said
    assert installed.inspect()["Image"] != newest
    assert installed.healthy()
    assert "@sha256:" in installed.inspect()["Config"]["Image"]  # Watchtower leaves that alone
    assert installed.update("--resume").code == 0
    assert (installed.inspect()["Image"], installed.healthy()) == (newest, True)


def test_a_changed_setting_takes_effect_with_the_repair(installed: Customer) -> None:
    file = f"/etc/{RUNTIME}/flageemonitor.env"
    text = installed.host.must("cat", file)
    installed.host.must("sh", "-c", f"sed -i 's#^TZ=.*#TZ=America/Manaus#' {file}")
    try:
        repair_until(installed, lambda: "TZ=America/Manaus" in installed.inspect()["Config"]["Env"])
    finally:
        installed.host.must("sh", "-c", f"cat > {file}", stdin=text.encode())
    repair_until(installed, lambda: "TZ=America/Manaus" not in installed.inspect()["Config"]["Env"])


@pytest.mark.parametrize("name", [RUNTIME, f"{RUNTIME}-watchtower"])
def test_a_removed_container_is_created_again_by_the_repair(installed: Customer, name: str) -> None:
    installed.host.must("docker", "rm", "-f", name)
    repair_until(installed, lambda: installed.state(name) == "running")
    installed.wait_healthy()


def test_an_update_by_hand_waits_for_a_run(installed: Customer) -> None:
    with customers.silent_till(installed) as name, watchtower_asleep(installed):
        installed.release(installed.derive(SECOND))
        process = installed.start_run("diagnose_env", "--host", name, "--output", "json")
        said = installed.update()
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["hosts"][0]["reason"] == "timeout"
    assert (said.code, installed.version()) == (0, SECOND), said


# -- a registry that asks for a login --

PRIVATE = "private"  # a second proxy on this host


@pytest.fixture(scope="module")
def private_registry(customer: Customer) -> Iterator[Registry]:
    with registry.running("pull-only-word") as store:
        customer.host.must("docker", "pull", "-q", customer.first)
        store.push(customer.host, customer.first, f"{REPOSITORY}:stable")
        yield store


def install_private(customer: Customer, store: Registry, password: str) -> Said:
    file = customer.plane.child.log.parent / "registry-password"
    file.write_text(f"{password}\n")
    image = f"{store.address}/{REPOSITORY}:stable"
    customer.host.run("docker", "rmi", image)
    login = ("--registry-user", registry.USER, "--registry-token-file", str(file))
    return customer.install("--runtime-name", PRIVATE, "--image", image, *login)


def test_a_registry_that_refuses_the_login_installs_nothing(customer: Customer, private_registry: Registry) -> None:
    done = install_private(customer, private_registry, "wrong")
    assert (done.code, "does not accept this login" in done.err) == (1, True), done
    assert not [path for path in customer.host.left() if PRIVATE in path]
    assert PRIVATE not in customer.host.containers()


def test_a_registry_with_a_login_serves_installation_update_and_watchtower(
    customer: Customer, private_registry: Registry
) -> None:
    done = install_private(customer, private_registry, "pull-only-word")
    assert done.code == 0, done
    host, store = customer.host, private_registry
    assert host.must("stat", "-c", "%a %u", f"/etc/{PRIVATE}/docker/config.json") == "600 0\n"
    assert "pull-only-word" not in done.out + done.err + json.dumps(customer.inspect(f"{PRIVATE}-watchtower"))
    host.must("docker", "pause", f"{PRIVATE}-watchtower")
    store.push(host, customer.derive(SECOND), f"{REPOSITORY}:stable")
    said = customer.update(runtime=PRIVATE)
    assert (said.code, customer.version(PRIVATE)) == (0, SECOND), said

    # The password changes: nothing is pulled, nothing is lost, and the new one comes with the installer.
    store.ask_for("a-newer-word")
    said = customer.update("--output", "json", runtime=PRIVATE)
    answer = json.loads(said.out)
    assert (said.code, answer["reason"], customer.version(PRIVATE)) == (1, "image_unavailable", SECOND), said
    assert f"/etc/{PRIVATE}/docker/config.json" in answer["advice"]
    done = install_private(customer, private_registry, "pull-only-word")
    assert (done.code, customer.healthy(PRIVATE)) == (1, True), done
    done = install_private(customer, private_registry, "a-newer-word")
    assert done.code == 0, done

    store.push(host, customer.derive("0.3.0"), f"{REPOSITORY}:stable")
    wait_until(lambda: version(customer, PRIVATE) == "0.3.0", within=SOON_S, what="Watchtower pulled it", every=1)
    said = host.run(f"/usr/local/bin/{PRIVATE}-uninstall", "--yes", "--delete-data", timeout=300)
    assert said.code == 0, said
    assert not [path for path in host.left() if PRIVATE in path]


def version(customer: Customer, runtime: str = RUNTIME) -> str:
    """The version that runs, or nothing while it is being replaced."""
    said = customer.host.run("docker", "exec", runtime, "cat", "/flageemonitor/build.json")
    return str(json.loads(said.out)["version"]) if said.code == 0 else ""


def entrypoint(customer: Customer) -> str:
    """What the container starts, or nothing while it is being replaced."""
    return customer.host.run("docker", "container", "inspect", "--format", "{{.Config.Entrypoint}}", RUNTIME).out


def repair_until(customer: Customer, condition: object) -> None:
    """What the host's timer does, sooner."""
    assert callable(condition)
    for _ in range(10):
        said = customer.update("--repair")
        assert said.code in (0, 75), said
        if condition():
            return
        time.sleep(5)
    raise AssertionError(f"not repaired: {said}")
