"""From one pasted line to a proxy at work, on a real engine with a real registry, TLS and Zabbix; and what can be wrong."""

import contextlib
import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import customer as customers
from tests.e2e import plane as control_plane
from tests.e2e.customer import RUNTIME, Customer
from tests.harness.docker_host import Said
from tests.harness.process import wait_until
from tests.harness.terminals import Terminal
from tests.harness.zabbix import Zabbix

ROOT = Path(__file__).parents[2]
NETWORK = "DOCKER"
WRAPPERS = ("run", "logs", "update-config", "update-image", "watchtower-logs", "uninstall")


@pytest.fixture(scope="module")
def customer(zabbix_running: Zabbix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """A host on which nothing is installed yet."""
    with customers.running(tmp_path_factory.mktemp("customer"), zabbix_running, NETWORK) as running:
        yield running


@pytest.fixture(scope="module")
def tills(customer: Customer) -> Iterator[dict[str, Terminal]]:
    with customers.tills(customer) as running:
        yield running


@pytest.fixture
def installed(customer: Customer, tills: dict[str, Terminal]) -> Customer:
    """The same host with a proxy on it: installed once, and put right again where a test left it otherwise."""
    if not customer.healthy():
        said = customer.install()
        assert said.code == 0, said
        customer.wait_healthy()
    return customer


# --- what must not install anything


def test_wrong_tokens_install_nothing(customer: Customer) -> None:
    """Unknown, another network's, one without the scope, a revoked one: the line says which and fails. Nothing is left."""
    before = customer.host.left(), customer.host.containers()
    other = "ELSEWHERE"
    customer.plane.add_network(other)
    revoked = customer.plane.token("--network", NETWORK, "--scope", "bootstrap")
    customer.plane.command("token", "revoke", revoked)
    tokens = {
        "token_unknown": "fm1.000000000000." + "A" * 43,
        "network_not_allowed": customer.plane.token("--network", other, "--scope", "bootstrap"),
        "scope_missing": customer.plane.token("--network", NETWORK, "--scope", "config"),
        "token_revoked": revoked,
    }
    good = customer.line()
    for reason, token in tokens.items():
        said = customer.paste(re.sub(r"fm1\.[^\"]+", token, good))
        assert said.code == 1, said
        assert f"Reason: {reason}, " in said.err, said
        assert (customer.host.left(), customer.host.containers()) == before


def test_a_dry_run_of_the_installer_changes_nothing(customer: Customer) -> None:
    before = customer.host.left(), customer.host.containers()
    said = customer.install("--runtime-name", "looking", "--dry-run")
    assert said.code == 0, said
    assert (customer.host.left(), customer.host.containers()) == before


def test_a_registry_that_is_away_installs_nothing(customer: Customer) -> None:
    before = customer.host.left(), customer.host.containers()
    image = f"{customer.registry.address}/absent:stable"
    said = customer.install("--runtime-name", "absent", "--image", image)
    assert said.code == 1, said
    assert "absent:stable" in said.err
    assert (customer.host.left(), customer.host.containers()) == before


# --- installed


def test_one_line_installs_a_proxy_that_works(installed: Customer) -> None:
    assert installed.healthy()
    assert installed.state(f"{RUNTIME}-watchtower") == "running"
    for name in WRAPPERS:
        assert installed.host.path(f"/usr/local/bin/{RUNTIME}-{name}").stat().st_mode & 0o777 == 0o755
    assert installed.version() == customers.FIRST


def test_the_container_has_no_more_than_it_needs(installed: Customer) -> None:
    seen = installed.inspect()
    host = seen["HostConfig"]
    assert (seen["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("10001:10001", True, ["ALL"])
    assert "no-new-privileges" in host["SecurityOpt"][0]
    assert {mount["Destination"] for mount in seen["Mounts"]} == {"/flageemonitor/config", "/flageemonitor/data"}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert installed.host.run("docker", "exec", RUNTIME, "sh", "-c", "echo > /flageemonitor/runtime/x").code != 0


def test_what_root_reads_cannot_be_written_from_inside(installed: Customer) -> None:
    etc = installed.host.path(f"/etc/{RUNTIME}")
    assert (etc.stat().st_mode & 0o777, etc.stat().st_uid) == (0o700, 0)
    config = etc / "config"
    assert (config.stat().st_mode & 0o777, config.stat().st_uid) == (0o700, 10001)
    token = config / "token"
    assert (token.stat().st_mode & 0o777, token.stat().st_uid) == (0o400, 10001)
    assert (etc / "flageemonitor.env").stat().st_mode & 0o777 == 0o600


def test_no_token_is_seen_from_outside(installed: Customer) -> None:
    token = installed.host.path(f"/etc/{RUNTIME}/config/token").read_text().strip()
    assert token.startswith("fm1.")
    seen = json.dumps([installed.inspect(), installed.inspect(f"{RUNTIME}-watchtower")])
    logs = installed.host.run("docker", "logs", RUNTIME)
    env = installed.host.must("cat", f"/etc/{RUNTIME}/flageemonitor.env")
    for text in (seen, logs.out + logs.err, env):
        assert "fm1." not in text
    # Other tests' processes may hold tokens: this control plane's are known by their ids.
    issued = [f"fm1.{one['id']}" for one in json.loads(installed.plane.command("token", "list", "--output", "json"))]
    assert token.rpartition(".")[0] in issued
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            words = path.read_bytes().decode(errors="replace")
            assert not [one for one in issued if one in words]


def test_files_have_the_modes_and_owners_that_the_page_for_administrators_names(installed: Customer) -> None:
    page = (ROOT / "docs/operations/administrators.md").read_text()
    rows = re.findall(r"^\| `([^`]+)`[^|]*\| (0[0-7]{3})(?: (root)|, (10001))", page, re.MULTILINE)
    assert len(rows) >= 6
    present = 0
    for name, mode, *owner in rows:
        path = installed.host.path(name if name.startswith("/") else f"/etc/{RUNTIME}/{name}")
        if path.exists():  # some are there only with a registry's or an HTTP proxy's login
            seen = path.stat()
            expected = (int(mode, 8), {"root": 0, "10001": 10001}["".join(owner)])
            assert (seen.st_mode & 0o7777, seen.st_uid) == expected, name
            present += 1
    assert present >= 5
    state = installed.host.path(f"/var/lib/{RUNTIME}").stat()
    assert (state.st_mode & 0o777, state.st_uid) == (0o700, 10001)


def test_an_action_runs_on_real_terminals_and_pipes_stay_pipes(installed: Customer, tills: dict[str, Terminal]) -> None:
    said = installed.run("diagnose_env", "--loja", "1", "--output", "json")
    assert said.code == 0, said
    assert {result["host"]["name"]: result["outcome"] for result in json.loads(said.out)["hosts"]} == dict.fromkeys(
        tills, "ok"
    )
    line = f"{RUNTIME}-run diagnose_env --loja 1 --output json | jq -r '.summary.ok'"
    assert installed.host.must("bash", "-c", line).strip() == str(len(tills))


def test_a_change_is_made_once(installed: Customer, tills: dict[str, Terminal]) -> None:
    name = sorted(tills)[0]
    words = ("update_endpoint_timezone", "--host", name, "--param", "timezone=America/Sao_Paulo", "--output", "json")
    outcomes = [json.loads(installed.run(*words).out)["hosts"][0]["outcome"] for _ in range(2)]
    assert outcomes == ["changed", "ok"]
    assert tills[name].link("/etc/localtime") == "/usr/share/zoneinfo/America/Sao_Paulo"


def test_a_run_on_a_terminal_gets_a_terminal(installed: Customer) -> None:
    said = installed.host.must(
        "script", "-qec", f"{RUNTIME}-run diagnose_env --loja 1", "/dev/null", TERM="xterm-256color"
    )
    assert "\x1b[" in said


@pytest.mark.parametrize(
    ("words", "code"),
    [(("diagnose_env", "--loja", "77"), 5), (("no_such_action",), 2), (("runs",), 0), (("diagnose_env", "--nope"), 2)],
)
def test_exit_codes_are_the_runs_own(installed: Customer, words: tuple[str, ...], code: int) -> None:
    assert installed.run(*words).code == code


def test_a_run_inside_a_loop_does_not_read_the_loops_input(installed: Customer) -> None:
    loop = f"printf 'a\\nb\\nc\\n' | while read x; do {RUNTIME}-run runs >/dev/null; echo $x; done"
    assert installed.host.must("sh", "-c", loop).split() == ["a", "b", "c"]


def test_a_stopped_container_is_69_and_says_what_to_do(installed: Customer) -> None:
    installed.host.must("docker", "stop", "-t", "150", RUNTIME)
    said = installed.run("runs")
    assert said.code == 69
    assert "update-image --repair" in said.err
    installed.host.must("docker", "start", RUNTIME)
    installed.wait_healthy()


def test_a_wrapper_that_points_at_another_runtime_names_the_ones_that_are_there(installed: Customer) -> None:
    said = installed.host.run(f"/usr/local/bin/{RUNTIME}-run", "runs", RUNTIME_NAME="elsewhere")
    assert said.code == 69
    assert RUNTIME in said.err


def test_a_new_configuration_is_taken_without_a_restart(installed: Customer) -> None:
    before = installed.inspect()["State"]["StartedAt"]
    job = {"id": "nightly", "action": "diagnose_env", "cron": "0 3 * * *", "selector": {"all": True}}
    customers.publish(installed, schedule=[job])
    try:
        said = installed.host.run(f"/usr/local/bin/{RUNTIME}-update-config")
        assert said.code == 0, said
        assert "nightly" in installed.run("schedule", "--next", "24h").out
        assert installed.inspect()["State"]["StartedAt"] == before
    finally:
        customers.publish(installed)  # whatever the hour: no other test has a run beside its own
        installed.host.run(f"/usr/local/bin/{RUNTIME}-update-config")


def test_ctrl_c_in_a_pipe_cancels_the_run_inside(installed: Customer) -> None:
    with customers.silent_till(installed) as name:
        process = installed.start_run("diagnose_env", "--host", name, "--output", "json")
        wait_until(lambda: at_work(installed), within=60, what="the host is at work")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=200)
    # The host at work got its grace and ended by itself, and what became of it was still delivered.
    assert process.returncode == 1, (out, err)
    assert "cancelled by" in err.decode()
    assert [result["reason"] for result in json.loads(out)["hosts"]] == ["timeout"]
    assert installed.live() == []


def at_work(customer: Customer) -> bool:
    """Whether the last run has come to its host; until then a cancel ends it at once."""
    (last,) = json.loads(customer.run("runs", "--last", "1", "--output", "json").out)
    return bool(last["state"] == "running" and last["open"])


def test_a_second_installer_run_changes_nothing_that_works(installed: Customer) -> None:
    before = installed.environment(), installed.inspect()["Id"]
    token = installed.host.path(f"/etc/{RUNTIME}/config/token").read_text()
    said = installed.install()
    assert said.code == 0, said
    assert (installed.environment(), installed.inspect()["Id"]) == before, said
    assert installed.host.path(f"/etc/{RUNTIME}/config/token").read_text() == token


def test_a_line_works_once(installed: Customer) -> None:
    line = installed.line("--docker-network", "host", "--runtime-name", "once")
    assert installed.paste(line).code == 0
    try:
        said = installed.paste(line.replace("once", "twice"))
        assert said.code == 1
        assert "This line was used before" in said.err
        assert "twice" not in " ".join([*installed.host.left(), *installed.host.containers()])
    finally:
        uninstall(installed, "once")


def test_two_runtimes_share_nothing(installed: Customer, tills: dict[str, Terminal]) -> None:
    said = installed.install("--runtime-name", "second")
    assert said.code == 0, said
    installed.wait_healthy("second")
    ids = {installed.environment(runtime)["FLAGEEMONITOR_AGENT_ID"] for runtime in (RUNTIME, "second")}
    assert len(ids) == 2
    run = json.loads(installed.run("diagnose_env", "--loja", "1", "--output", "json", runtime="second").out)["run"][
        "run_id"
    ]
    assert run in installed.run("runs", "--output", "json", runtime="second").out
    assert run not in installed.run("runs", "--output", "json").out
    first = installed.inspect()["Id"]
    uninstall(installed, "second")
    assert installed.inspect()["Id"] == first
    assert not [path for path in installed.host.left() if "second" in path]


def test_a_revoked_token_is_reported_and_the_configuration_stays_in_force(installed: Customer) -> None:
    listed = json.loads(installed.plane.command("token", "list", "--output", "json"))
    agent = installed.environment()["FLAGEEMONITOR_AGENT_ID"]
    for token in listed:
        if token.get("agent") == agent and token["state"] == "active":
            installed.plane.command("token", "revoke", token["id"])
    said = installed.host.run(f"/usr/local/bin/{RUNTIME}-update-config")
    assert (said.code, "403" in said.out + said.err) == (1, True)
    assert installed.doctor()["control plane"][0]["status"] == "bad"
    assert installed.run("diagnose_env", "--loja", "1").code == 0
    assert installed.install().code == 0  # enrols anew
    assert installed.host.run(f"/usr/local/bin/{RUNTIME}-update-config").code == 0
    assert installed.environment()["FLAGEEMONITOR_AGENT_ID"] == agent


def test_a_registry_that_is_away_leaves_everything_as_it_is(installed: Customer) -> None:
    before = installed.inspect()["Id"]
    installed.registry.stop()
    try:
        said = installed.update()
        assert said.code == 1, said
        assert installed.update("--repair").code == 0
    finally:
        installed.registry.start()
    assert (installed.inspect()["Id"], installed.healthy()) == (before, True)


@pytest.mark.parametrize("kill", [False, True])
def test_the_proxy_starts_again_with_the_engine(installed: Customer, kill: bool) -> None:
    installed.host.restart_engine(kill=kill)
    if kill:
        # An engine that was killed stops what it finds at its start and leaves it there: the timer's repair is for that.
        wait_until(lambda: installed.update("--repair").code == 0, within=300, what="repaired", every=2)
    installed.wait_healthy()
    wait_until(lambda: installed.state(f"{RUNTIME}-watchtower") == "running", within=300, what="Watchtower runs")
    assert installed.run("diagnose_env", "--loja", "1").code == 0


def test_a_control_plane_that_is_away_does_not_stop_the_work(installed: Customer) -> None:
    installed.plane.child.popen.send_signal(signal.SIGSTOP)
    try:
        assert installed.run("diagnose_env", "--loja", "1").code == 0
        assert installed.healthy()
    finally:
        installed.plane.child.popen.send_signal(signal.SIGCONT)
    assert installed.host.run(f"/usr/local/bin/{RUNTIME}-update-config").code == 0


def test_of_two_updates_at_once_one_refuses(installed: Customer) -> None:
    said: list[Said] = []
    threads = [threading.Thread(target=lambda: said.append(installed.update())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.code for one in said) in ([0, 6], [0, 0]), said
    assert installed.healthy()


def test_uninstalling_leaves_no_files_and_containers(customer: Customer, tills: dict[str, Terminal]) -> None:
    before = customer.host.left()
    name = "leaving"
    assert customer.install("--runtime-name", name).code == 0
    uninstall(customer, name)
    assert customer.host.left() == before
    assert not [container for container in customer.host.containers() if container.startswith(name)]
    assert name not in customer.host.must("docker", "volume", "ls")


def uninstall(customer: Customer, runtime: str) -> None:
    said = customer.install("--runtime-name", runtime, "--uninstall", "--yes", "--delete-data")
    assert said.code == 0, said


def test_the_plane_knows_the_agent(installed: Customer) -> None:
    listed = json.loads(installed.plane.command("token", "list", "--output", "json"))
    agent = installed.environment()["FLAGEEMONITOR_AGENT_ID"]
    mine = [token for token in listed if token.get("agent") == agent and token["state"] == "active"]
    assert [sorted(token["scopes"]) for token in mine] == [["commands", "config", "ingest"]]
    assert mine[0]["client"] == control_plane.CLIENT
