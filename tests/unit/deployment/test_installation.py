"""`deploy install`: what a first installation leaves, what a second one keeps, and what every failure takes back."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.text import say
from runtime.deployment.environment_lines import parse, set_aside
from runtime.deployment.interruptions import Stopped
from runtime.deployment.names import Names
from runtime.deployment.neighbours import folder_problems
from runtime.deployment.request import read_request
from runtime.deployment.results import DeployError
from tests.unit.deployment.install_parts import AUTHORITY, CREDENTIALS, TOKEN, Site, make_site, request
from tests.unit.deployment.support import RUNTIME, TAG, Killed


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
def installed(site: Site) -> Site:
    result, _ = site.install()
    assert result.exit_code == 0, result
    return site


def test_a_first_installation_leaves_a_proxy_its_commands_and_a_timer(site: Site) -> None:
    result, report = site.install(timer="systemd")
    assert (result.reason, result.exit_code) == ("installed", 0)
    assert site.host.status() == {"": "running", "-watchtower": "running"}
    assert site.environment() | {"FLAGEEMONITOR_AGENT_ID": ""} == {
        "FLAGEEMONITOR_REDE": "ACME",
        "FLAGEEMONITOR_API_BASE": "https://control.example/api/ingest",
        "FLAGEEMONITOR_AGENT_ID": "",
        "FLAGEEMONITOR_RUNTIME_NAME": RUNTIME,
        "FLAGEEMONITOR_IMAGE": "registry.example/proxy:stable",
        "FLAGEEMONITOR_WATCHTOWER_IMAGE": "containrrr/watchtower:1.7.1",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "300",
        "FLAGEEMONITOR_DOCKER_NETWORK": "bridge",
        "RUN_MODE": "daemon",
        "TZ": "America/Sao_Paulo",
    }
    assert (site.etc / "flageemonitor.env").stat().st_mode & 0o777 == 0o600
    written = {"bin/proxy-run", "bin/proxy-update-image", "timer/proxy-repair.service", "timer/proxy-repair.timer"}
    assert written <= site.files()
    assert not [name for name in site.files() if ".seen" in name or ".next" in name or name.endswith(".flageemonitor")]
    assert any("proxy-run" in line for line in report["summary"])
    assert not [line for line in report["summary"] if "five minutes" in line]


def test_without_a_timer_the_summary_says_what_must_be_called(site: Site) -> None:
    _, report = site.install(timer="none")
    [line] = [line for line in report["summary"] if "every five minutes" in line]
    assert line.endswith("proxy-update-image --repair")


def test_the_enrolments_container_is_the_runtime_without_effect(installed: Site) -> None:
    """Its user, folders, network and environment: what it can reach, the runtime can. The token is in none of its settings."""
    [body] = installed.bodies
    runtime = installed.host.engine._known(RUNTIME).body
    assert body["Entrypoint"] == ["python", "-m", "runtime.enrol"]
    for key in ("ReadonlyRootfs", "CapDrop", "SecurityOpt", "Mounts", "NetworkMode", "Tmpfs"):
        assert body["HostConfig"][key] == runtime["HostConfig"][key]
    assert body["User"] == runtime["User"] == "10001:10001"
    assert {line for line in body["Env"] if "RUN_MODE" not in line} == {
        line for line in runtime["Env"] if "RUN_MODE" not in line
    }
    assert TOKEN not in str(body)
    [order] = installed.orders
    assert (order["token"], order["hostname"]) == (TOKEN, "store-7")
    assert order["agent_id"] == installed.environment()["FLAGEEMONITOR_AGENT_ID"]


def test_a_first_installation_starts_one_container_for_the_enrolment_and_no_candidate(installed: Site) -> None:
    made = [line for line in installed.host.engine.log if line.startswith("create")]
    assert made == ["create proxy-candidate", "create proxy", "create proxy-watchtower"]
    assert "candidate_started" not in [step for step, _ in installed.host.steps]


def test_a_second_run_keeps_agent_container_and_what_was_written_by_hand(installed: Site) -> None:
    path = installed.etc / "flageemonitor.env"
    path.write_text(path.read_text() + "# mine\nFLAGEEMONITOR_LOG_FORMAT=json\n")
    installed.install()
    before, container = path.read_text(), installed.host.engine._known(RUNTIME).id
    installed.enrolment = {"stage": "done", "enrolled": False}
    result, _ = installed.install(request(WATCHTOWER_INTERVAL="900"))
    assert result.exit_code == 0
    assert path.read_text() == before
    assert installed.host.engine._known(RUNTIME).id == container
    assert any("900" in note for note in result.notes), "the difference is told"


def test_options_replace_what_is_in_the_environment_file(installed: Site) -> None:
    installed.install(watchtower_interval="60", docker_network="host")
    found = installed.environment()
    assert (found["FLAGEEMONITOR_WATCHTOWER_INTERVAL"], found["FLAGEEMONITOR_DOCKER_NETWORK"]) == ("60", "host")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_environment_file_with_a_byte_order_mark_gets_no_second_key(installed: Site, end: str) -> None:
    path = installed.etc / "flageemonitor.env"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + path.read_text().replace("# F", "FLAGEEMONITOR_LOG_FORMAT=json\n# F", 1).replace("\n", end).encode()
    )
    result, _ = installed.install()
    assert result.exit_code == 0, result
    found = parse(path.read_bytes())
    assert found.problems == ()
    assert found.values["FLAGEEMONITOR_LOG_FORMAT"] == "json"


def test_a_pinned_host_keeps_its_pin_and_gets_the_rest(installed: Site) -> None:
    host = installed.host
    host.engine.clock.sleep(900)
    host.run("repair")
    host.engine.publish("good", "2.0")
    host.update()
    host.run("rollback")
    result, _ = installed.install(watchtower_interval="60")
    assert result.exit_code == 0
    assert host.runs() == "1.0"
    assert any("--resume" in note for note in result.notes)
    assert installed.environment()["FLAGEEMONITOR_WATCHTOWER_INTERVAL"] == "60"


# -- failures --

FAILURES: dict[str, Any] = {
    "folders": {"stage": "folders", "enrolled": False, "message": say("cannot be written")},
    "control_plane": {"stage": "control_plane", "enrolled": False, "message": say("not reached")},
    "enrolment": {"stage": "enrolment", "enrolled": False, "message": say("refused")},
    "configuration": {"stage": "configuration", "enrolled": True, "message": say("could not be fetched")},
    "no answer": None,
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_first_installation_that_is_not_enrolled_leaves_nothing(site: Site, kind: str) -> None:
    before, site.enrolment = site.files(), FAILURES[kind]
    result, _ = site.install(request(CA=AUTHORITY, CREDENTIALS=CREDENTIALS))
    assert (result.reason, result.exit_code) == ("not_enrolled", 1)
    assert (site.files(), site.host.status()) == (before, {})
    assert any("Agent" in note for note in result.notes) == (kind == "configuration"), "whose token nobody has now"
    assert TOKEN not in str(result)


@pytest.mark.parametrize("kind", FAILURES)
def test_an_existing_installation_is_as_before_when_the_next_one_is_not_enrolled(installed: Site, kind: str) -> None:
    before, installed.enrolment = contents(installed), FAILURES[kind]
    result, _ = installed.install(
        request(CA=AUTHORITY, CREDENTIALS=CREDENTIALS), watchtower_interval="60", docker_network="host"
    )
    assert result.exit_code == 1
    assert contents(installed) == before
    installed.host.assert_settled()


@pytest.mark.parametrize("kind", ["unhealthy", "crash", "late"])
def test_an_image_that_does_not_become_healthy_is_taken_back(site: Site, kind: str) -> None:
    before = site.files()
    site.host.engine.publish(kind, "0.9")
    site.host.engine.fetch()
    result, _ = site.install()
    assert (result.reason, result.exit_code) == ("failed", 1)
    assert "last words" in result.log
    assert (site.files(), site.host.status()) == (before, {})


@pytest.mark.parametrize("kind", ["unhealthy", "crash", "late"])
def test_an_upgrade_that_fails_leaves_version_and_environment_file_together(installed: Site, kind: str) -> None:
    engine = installed.host.engine
    before = contents(installed)
    engine.publish(kind, "2.0", "registry.example/proxy:next")
    engine.fetch("registry.example/proxy:next")
    result, _ = installed.install(image="registry.example/proxy:next")
    assert result.exit_code in (10, 11)
    assert installed.host.runs() == "1.0"
    assert contents(installed)["etc/flageemonitor.env"] == before["etc/flageemonitor.env"]


@pytest.mark.parametrize("before", ["http://user:word@proxy.old:3128", "http://proxy.old:3128"])
def test_an_upgrade_that_fails_leaves_the_logins_of_http_proxies_as_they_were(site: Site, before: str) -> None:
    site.environ = {"HTTPS_PROXY": before}
    assert site.install()[0].exit_code == 0
    there = contents(site)
    file = site.etc / "flageemonitor.env"
    file.write_text(
        file.read_text().replace(f"HTTPS_PROXY={before}", "HTTPS_PROXY=http://user:password@proxy.new:3128")
    )
    site.enrolment = {"stage": "configuration", "enrolled": False, "message": say("no answer")}
    result, _ = site.install()
    assert result.exit_code == 1
    now = contents(site)
    assert now.get("etc/config/proxy_logins.json") == there.get("etc/config/proxy_logins.json")
    if "login" in before:
        assert stat.S_IMODE((site.etc / "config/proxy_logins.json").stat().st_mode) == 0o400


def test_a_watchtower_that_does_not_run_takes_nothing_back(site: Site) -> None:
    del site.host.engine.registry["containrrr/watchtower:1.7.1"]
    result, _ = site.install(timer="cron")
    assert (result.reason, result.exit_code) == ("watchtower_unavailable", 1)
    assert site.host.status() == {"": "running"}
    assert "timer/proxy-repair" in site.files(), "the repair will try again"


def test_a_stop_before_anything_runs_takes_back_what_was_made(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before, program = site.files(), site.host.engine.program

    def stopped(body: Any, stdin: bytes) -> Any:
        program(body, stdin)
        raise Stopped("failed", "stopped by SIGINT before anything was changed")

    site.host.engine.program = stopped
    result, _ = site.install()
    assert result.exit_code == 1
    assert (site.files(), site.host.status()) == (before, {})


def test_an_engine_that_goes_away_is_not_an_engine_without_containers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may still run keeps its settings."""
    site.host.engine.publish("unhealthy", "0.9")
    site.host.engine.fetch()
    real, gone = site.host.engine.stop, []

    def stop(name: str, seconds: int) -> None:
        gone.append(name)
        raise DeployError("engine_error", "the engine does not answer")

    monkeypatch.setattr(site.host.engine, "stop", stop)
    result, _ = site.install()
    assert result.exit_code == 12, "it may run, and is not healthy"
    assert gone
    assert site.host.status() == {"": "running"}
    assert (site.etc / ".flageemonitor").is_file()
    monkeypatch.setattr(site.host.engine, "stop", real)
    assert site.uninstall(delete_data=True).reason == "removed"
    assert (site.host.status(), list(site.etc.iterdir())) == ({}, [])


def test_what_a_removal_keeps_is_named_with_the_way_to_delete_it(site: Site) -> None:
    assert site.install()[0].exit_code == 0
    agent = site.environment()["FLAGEEMONITOR_AGENT_ID"]
    removed = site.uninstall()
    assert removed.reason == "removed"
    kept = removed.notes[0]
    # The command itself is removed: it cannot be the advice.
    assert kept.endswith(f"To delete both: rm -r /etc/{RUNTIME} /var/lib/{RUNTIME}")
    assert [path.name for path in site.etc.iterdir()] == ["flageemonitor.env"]
    assert site.environment()["FLAGEEMONITOR_AGENT_ID"] == agent


# Every call that changes something at the engine: the enrolment's container (made, run), the runtime's (made, started),
# Watchtower's image and container (pulled, made, started).
CALLS = range(1, 8)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_a_killed_first_installation_is_completed_by_the_next_one(site: Site, call: int, after: bool) -> None:
    engine = site.host.engine
    engine.die_at, engine.die_after = call, after
    with pytest.raises(Killed):
        site.install(timer="cron")
    engine.die_at = None
    agents = {order["agent_id"] for order in site.orders}
    result, _ = site.install(timer="cron")
    assert result.exit_code == 0, result
    site.host.assert_settled()
    assert not (site.etc / ".flageemonitor").exists()
    assert {order["agent_id"] for order in site.orders} >= agents
    assert len({order["agent_id"] for order in site.orders}) == 1, "the same agent again"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_a_killed_first_installation_can_be_removed(site: Site, call: int, after: bool) -> None:
    before, engine = site.files(), site.host.engine
    engine.die_at, engine.die_after = call, after
    with pytest.raises(Killed):
        site.install(timer="cron")
    engine.die_at = None
    assert site.uninstall(delete_data=True).reason in ("removed", "unchanged")
    assert (site.files(), site.host.status(), engine.volumes) == (before, {}, {})


# -- beside others --


@pytest.mark.parametrize("name", ["proxy", "proxy-watchtower", "proxy-candidate", "proxy-previous"])
def test_a_container_of_somebody_else_is_not_taken_over(site: Site, name: str) -> None:
    before = site.files()
    site.foreign(name)
    refused(site, f"A container {name} exists", before)


@pytest.mark.parametrize(("folder", "said"), [("etc", "was not made by this installer"), ("data", "something else")])
def test_a_folder_with_somebody_else_s_files_is_refused(site: Site, folder: str, said: str) -> None:
    (site.host.folder / folder / ".seen-word").mkdir()
    folders, names = site.host.deployment().folders, Names(RUNTIME)
    assert list(folder_problems(folders, names, "linux")) == [], "the installer's own folder is nobody's file"
    (site.host.folder / folder / "file").write_text("mine")
    [problem] = folder_problems(folders, names, "linux")
    assert said in problem.text
    assert "--runtime-name" in problem.advice


def test_a_command_of_somebody_else_is_not_overwritten(site: Site) -> None:
    (site.host.folder / "bin/proxy-run").write_text("#!/bin/sh\necho mine\n")
    refused(site, "A command proxy-run exists", site.files())


def test_a_link_in_place_of_a_command_is_not_followed(site: Site) -> None:
    target = site.host.folder / "precious"
    target.write_text("mine")
    (site.host.folder / "bin/proxy-run").symlink_to(target)
    refused(site, "A command proxy-run exists", site.files())
    assert target.read_text() == "mine"


def test_a_runtime_of_another_network_is_not_taken_over(installed: Site) -> None:
    refused(installed, "serves network ACME", installed.files(), request(NETWORK="OTHER"))


def test_a_docker_network_must_be_there(site: Site) -> None:
    refused(site, "There is no Docker network shops", site.files(), docker_network="shops")
    site.host.engine.networks.add("shops")
    assert site.install(docker_network="shops")[0].exit_code == 0


def test_all_problems_are_reported_at_once(site: Site) -> None:
    site.foreign("proxy")
    site.foreign("watchtower", image="containrrr/watchtower:latest")
    _, report = site.install(docker_network="shops")
    assert len(report["problems"]) == 3
    assert all(one["text"] and one["advice"] for one in report["problems"])


@pytest.mark.parametrize("kind", ["by image", "by label"])
def test_a_watchtower_without_a_scope_is_refused_unless_it_is_accepted(site: Site, kind: str) -> None:
    if kind == "by image":
        site.foreign("tower", image="containrrr/watchtower:latest")
    else:
        site.foreign("tower", labels={"com.centurylinklabs.watchtower": "true"})
    refused(site, "tower is a Watchtower without a scope", site.files())
    assert site.install(foreign_watchtower=True)[0].exit_code == 0


def test_a_watchtower_with_a_scope_of_its_own_is_accepted(site: Site) -> None:
    site.foreign("tower", image="containrrr/watchtower:latest")
    site.host.engine._known("tower").body["Env"] = ["WATCHTOWER_SCOPE=other"]
    assert site.install()[0].exit_code == 0


def test_the_first_generation_must_be_decided_about(site: Site) -> None:
    site.foreign("flageemonitor")
    refused(site, "first generation", site.files())
    assert site.install(legacy="beside")[0].exit_code == 0
    assert site.host.engine._known("flageemonitor").status == "running"


def test_the_first_generation_stops_permanently_once_this_one_runs(site: Site) -> None:
    site.foreign("ariusmonitor")
    site.foreign("ariusmonitor-watchtower", image="containrrr/watchtower")
    assert site.install(legacy="replace")[0].exit_code == 0
    for name in ("ariusmonitor", "ariusmonitor-watchtower"):
        stored = site.host.engine._known(name)
        assert (stored.status, stored.body["HostConfig"]["RestartPolicy"]) == ("exited", {"Name": "no"})


def test_the_first_generation_keeps_running_when_this_one_does_not_start(site: Site) -> None:
    site.foreign("ariusmonitor")
    site.host.engine.publish("unhealthy", "0.9")
    site.host.engine.fetch()
    assert site.install(legacy="replace")[0].exit_code == 1
    assert site.host.engine._known("ariusmonitor").status == "running"


def test_a_folder_of_the_first_generation_is_a_sign_of_it(site: Site) -> None:
    refused(site, "/etc/ariusmonitor", site.files(), request(LEGACY_FOLDER="/etc/ariusmonitor"))


def test_a_dry_run_shows_the_plan_and_changes_nothing(site: Site) -> None:
    before = site.files()
    result, report = site.install(dry_run=True, timer="systemd", legacy="")
    assert (result.reason, result.exit_code) == ("planned", 0)
    assert any("  write /etc/systemd/system/proxy-repair.timer: " in line for line in report["plan"])
    assert (site.files(), site.host.status(), site.orders) == (before, {}, [])


# -- the request --


def test_an_authority_and_credentials_are_for_root_and_for_the_proxy(site: Site) -> None:
    assert site.install(request(CA=AUTHORITY, CREDENTIALS=CREDENTIALS))[0].exit_code == 0
    assert (site.etc / "ca.pem").read_text() == (site.etc / "config/ca.pem").read_text() == AUTHORITY
    assert (site.etc / "docker/config.json").read_text() == CREDENTIALS
    assert (site.etc / "docker/config.json").stat().st_mode & 0o777 == 0o600
    assert site.environment()["FLAGEEMONITOR_CA_PATH"] == "/flageemonitor/config/ca.pem"


def test_a_link_in_the_proxys_folder_is_not_followed(site: Site) -> None:
    site.install(request(CA=AUTHORITY))
    precious = site.host.folder / "precious"
    precious.write_text("mine")
    (site.etc / "config/ca.pem").unlink()
    (site.etc / "config/ca.pem").symlink_to(precious)
    site.install(request(CA=AUTHORITY))
    assert precious.read_text() == "mine"
    assert not (site.etc / "config/ca.pem").is_symlink()


@pytest.mark.parametrize("missing", ["API_BASE", "ENROLL_URL", "HEALTH_URL", "NETWORK", "BOOTSTRAP_TOKEN", "HOSTNAME"])
def test_an_incomplete_request_is_refused(missing: str) -> None:
    with pytest.raises(DeployError) as refusal:
        read_request(request(**{missing: ""}))
    assert refusal.value.exit_code == 2
    assert missing in refusal.value.message


@pytest.mark.parametrize("text", ["hello\n", AUTHORITY + "-----BEGIN {} KEY-----\nMIIB\n".format("PRIVATE")])
def test_an_authority_is_certificates_alone(text: str) -> None:
    with pytest.raises(DeployError) as refusal:
        read_request(request(CA=text))
    assert refusal.value.exit_code == 2
    assert "--ca" in refusal.value.message
    assert "MIIB" not in str(refusal.value)


def test_a_request_may_have_a_byte_order_mark_and_any_line_end() -> None:
    found = read_request(b"\xef\xbb\xbf" + request(CA=AUTHORITY).replace(b"\n", b"\r\n"))
    assert (found.get("NETWORK"), found.ca, found.token.reveal()) == ("ACME", AUTHORITY, TOKEN)


def refused(site: Site, said: str, before: set[str], raw: bytes | None = None, **options: Any) -> None:
    """The checks refuse it, and nothing is changed."""
    containers, orders = dict(site.host.engine.containers), len(site.orders)
    result, report = site.install(raw, **options)
    assert (result.reason, result.exit_code) == ("checks_failed", 1)
    assert said in str(report["problems"])
    assert (site.files(), site.host.engine.containers, len(site.orders)) == (before, containers, orders)


def contents(site: Site) -> dict[str, str]:
    """Of every file but the records and the report, which every call brings up to date."""
    own = ("etc/deploy.json", "data/deployment.json", "etc/healthy_image")
    names = (name for name in site.files() if name not in own and (site.host.folder / name).is_file())
    return {name: (site.host.folder / name).read_text() for name in names}


def test_an_http_proxy_of_the_caller_reaches_enrolment_runtime_and_watchtower_and_is_kept(site: Site) -> None:
    site.environ = {"https_proxy": "http://user:hunter2@proxy.corp:3128", "no_proxy": ".corp"}
    result, _ = site.install()
    assert result.exit_code == 0, result
    assert site.environment()["FLAGEEMONITOR_HTTPS_PROXY"] == "http://user:hunter2@proxy.corp:3128"
    assert site.environment()["FLAGEEMONITOR_NO_PROXY"] == ".corp"
    bodies = [*site.bodies, *(stored.body for stored in site.host.engine.containers.values())]
    assert len(bodies) == 3
    for body in bodies:
        assert "HTTPS_PROXY=http://proxy.corp:3128" in body["Env"]
        assert "hunter2" not in str(body)
    logins = site.etc / "config/proxy_logins.json"
    assert json.loads(logins.read_text()) == {"proxy.corp:3128": "user:hunter2"}
    before = site.environment()
    site.environ = {}
    assert site.install()[0].exit_code == 0
    assert site.environment() == before  # the timer, and whoever comes next, need not know it


def test_an_http_proxy_of_the_engine_whose_login_it_hides_refuses_the_installation(site: Site) -> None:
    site.host.facts = replace(site.host.facts, https_proxy="http://xxxxx:xxxxx@proxy.engine:3128")
    result, report = site.install()
    assert result.reason == "checks_failed"
    [problem] = report["problems"]
    assert "needs a login, which the engine does not tell" in problem["text"]
    assert "HTTPS_PROXY=http://user:password@host:port" in problem["advice"]
    assert site.orders == []  # the one-time token is not spent
    site.environ = {"HTTPS_PROXY": "http://user:word@proxy.engine:3128"}
    assert site.install()[0].exit_code == 0


def test_a_digest_an_update_window_and_no_watchtower_are_chosen_at_the_installation(site: Site) -> None:
    image = site.host.engine.registry[TAG]
    site.host.engine.images[image.id] = image
    result, _ = site.install(image=image.digests[0], auto_update=False, update_window="02:00-05:00")
    assert result.exit_code == 0, result
    written = site.environment()
    assert written["FLAGEEMONITOR_IMAGE"] == image.digests[0]
    assert (written["FLAGEEMONITOR_AUTO_UPDATE"], written["FLAGEEMONITOR_UPDATE_WINDOW"]) == ("no", "02:00-05:00")
    assert site.host.status() == {"": "running"}


def test_a_later_installation_brings_keys_back_that_a_rollback_set_aside(installed: Site) -> None:
    file = installed.etc / "flageemonitor.env"
    raw, keys = set_aside(file.read_bytes() + b"FLAGEEMONITOR_UPDATE_WINDOW=02:00-05:00\n")
    assert keys == ("FLAGEEMONITOR_UPDATE_WINDOW",)
    file.write_bytes(raw)
    assert installed.install(update_window="03:00-06:00")[0].exit_code == 0
    assert installed.environment()["FLAGEEMONITOR_UPDATE_WINDOW"] == "03:00-06:00"
    assert "#newer-image#" not in file.read_text()
