"""What the installer refuses, before it changes anything, and what it says to do about it."""

import subprocess
import time
from email.utils import formatdate

import pytest

from tests.unit.shell.host import VALUES, Host, render


def refused(host: Host, *arguments: str) -> str:
    """What a refused installation says; nothing may have changed."""
    before = host.tree()
    done = host.install(*arguments)
    assert done.returncode == 1, done.stdout
    assert "nothing was changed" in done.stderr
    assert host.tree() == before
    assert not [call for call in host.calls() if call[0] in ("pull", "run", "rm", "stop")]
    return done.stderr


def test_all_problems_are_reported_at_once(host: Host) -> None:
    (host.programs / "docker").unlink()
    host.answer("health-fails", "7 Failed to connect to control.example port 443")
    (host.etc / "flageemonitor").write_text("")
    host.answer("date", "nonsense")
    host.installer.write_bytes(render({**VALUES, "SERVER_TIME": "1000000000", "IMAGE": "--privileged"}))
    said = refused(host, "--ca", "/nonexistent")
    texts = (
        *("no usable name of an image", "is not a folder", "Docker is not installed", "--ca: /nonexistent"),
        *("cannot be reached", "seconds apart"),
    )
    for number, text in enumerate(texts, start=1):
        assert text in said.split(f"  {number}. ")[1].split(f"  {number + 1}. ")[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"message":"Get \\"https://registry.example/v2/\\": no such host"}\nstatus 500', "no such host"),
        ('{"message":"Get \\"https://r/v2/\\": x509: certificate signed by unknown authority"}\nstatus 500', "certs.d"),
    ],
)
def test_a_registry_that_the_engine_cannot_use_is_reported_before_anything_changes(
    a_host: Host, answer: str, said: str
) -> None:
    a_host.answer("registry-fails", answer)
    assert said in refused(a_host)
    assert said in refused(a_host, "--dry-run")


@pytest.mark.parametrize(
    "answer",
    [
        '{"message":"unauthorized"}\nstatus 401',
        '{"message":"Head \\"https://r/v2/x\\": no basic auth credentials"}\nstatus 500',
        '{"message":"Head \\"https://r/v2/x\\": denied"}\nstatus 500',
        '{"message":"manifest unknown: manifest unknown"}\nstatus 404',
        '{"message":"page not found"}\nstatus 404',
        "",
    ],
)
def test_a_problem_that_only_a_pull_shows_is_left_to_the_pull(a_host: Host, answer: str) -> None:
    a_host.answer("registry-fails", answer)
    assert a_host.install().returncode == 0


def test_root_is_required(host: Host) -> None:
    host.installer.chmod(0o644)
    for record in ("curl", "curl-stdin", "docker", "docker-hosts"):
        (host.stand_in / record).touch()
        (host.stand_in / record).chmod(0o666)
    done = host.run(host.installer, user="nobody")
    assert (done.returncode, "sudo" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("answer", "text", "said"),
    [
        ("down", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "systemctl start docker"),
        ("version", "19.03.15 1.40", "20.10 with API 1.41 is the oldest"),
        ("version", "unknown unknown", "Upgrade Docker"),
        ("info", "windows|C:\\ProgramData|[]", "Linux containers"),
        ("info", 'linux|/var/lib/docker|["name=seccomp,profile=default","name=rootless"]', "maps users"),
        ("info", 'linux|/var/lib/docker|["name=userns"]', "maps users"),
        ("info", 'linux|/var/lib/docker|["name=seccomp,profile=default","name=selinux"]', "selinux-enabled"),
        ("containers/flageemonitor", "running|1|", "container flageemonitor is there that is not ours"),
        ("containers/flageemonitor", "exited|1|other", "container flageemonitor is there that is not ours"),
        (
            "containers/flageemonitor-watchtower",
            "running|1|",
            "container flageemonitor-watchtower is there that is not ours",
        ),
        ("containers/flageemonitor", "running|1|", "--runtime-name NAME --replace-legacy"),
        ("containers/ariusmonitor", "exited|1|", "--replace-legacy"),
        ("health-fails", "6 Could not resolve host: control.example", "DNS"),
        ("health-fails", "7 Failed to connect", "firewall"),
        ("health-fails", "28 Operation timed out", "firewall"),
        ("health-fails", "60 SSL certificate problem: unable to get local issuer certificate", "--ca FILE"),
        ("health-code", "503", "it is not well (HTTP 503)"),
        (
            "health-body",
            "<!DOCTYPE html>\n<html><head><TITLE>Guest\nnetwork\x1b[2J</TITLE></head>",
            'a web page titled "Guest network[2J" (HTTP 200)',
        ),
        ("health-body", "<html>x</html>", "the firewall or sign-in portal"),
        ("health-body", "It works!", "answered: no JSON (HTTP 200)"),
        ("health-body", " ", "answered: no JSON (HTTP 200)"),
    ],
)
def test_each_refusal_says_what_to_do(a_host: Host, answer: str, text: str, said: str) -> None:
    a_host.answer(answer, text)
    assert said in refused(a_host)


@pytest.mark.parametrize("version", ["20.10.0 1.41", "28.2.2 1.50", "24.0.7 2.0"])
def test_newer_engines_are_accepted(a_host: Host, version: str) -> None:
    a_host.answer("version", version)
    assert a_host.install("--dry-run").returncode == 0


def test_a_remote_engine_is_refused(host: Host) -> None:
    remote = {"tcp://10.0.0.1:2375": "must run on this host", "ssh://x": "must run", "unix:///a:b": "cannot be mounted"}
    for address, said in remote.items():
        done = host.run(host.installer, with_={"DOCKER_HOST": address})
        assert (done.returncode, said in done.stderr) == (1, True)


def test_curl_is_required(host: Host) -> None:
    (host.programs / "curl").unlink()
    assert "curl is not installed" in refused(host)


def stand_in(host: Host, name: str, script: str) -> None:
    (host.programs / name).unlink()
    (host.programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (host.programs / name).chmod(0o755)


def test_other_architectures_need_an_explicit_image(host: Host) -> None:
    stand_in(host, "uname", "case $1 in (-m) echo aarch64 ;; (*) echo till ;; esac")
    assert "This machine is aarch64" in refused(host)
    assert host.install("--dry-run", "--image", "registry.example/arm:1").returncode == 0


def test_space_is_required_in_both_places(host: Host) -> None:
    stand_in(
        host, "df", "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; echo '/dev/a b 9 9 409600 9% /'"
    )
    stand_in(host, "df", "echo Filesystem; echo '/dev/sda1 900000 500000 409600 56% /'")
    said = refused(host)
    assert "Only 400 MB are free in /var/lib for images; 2000 MB are wanted." in said
    assert "Only 400 MB are free in /var/lib for the proxy's data; 500 MB are wanted." in said
    assert "docker system prune" in said


@pytest.mark.parametrize("off", [-100000, -400, 400, 100000])
def test_a_clock_that_is_off_is_refused(a_host: Host, off: int) -> None:
    a_host.answer("date", formatdate(time.time() + off, usegmt=True))
    assert "seconds apart" in refused(a_host)


@pytest.mark.parametrize("month", range(1, 13))
def test_the_servers_date_is_understood(a_host: Host, month: int) -> None:
    then = f"2028-{month:02}-29 23:59:58" if month != 2 else "2028-02-29 00:00:01"
    epoch = int(subprocess.run(["date", "-u", "-d", then, "+%s"], capture_output=True, check=True, text=True).stdout)
    stand_in(a_host, "date", f"echo {epoch + 7}")
    a_host.answer("date", formatdate(epoch, usegmt=True))
    a_host.installer.write_bytes(render({**VALUES, "SERVER_TIME": "1"}))  # rendered long ago: the server's date counts
    assert "clock 7 s apart" in a_host.install("--dry-run").stdout


def test_without_a_date_the_time_of_rendering_counts(host: Host) -> None:
    host.answer("date", "")
    host.installer.write_bytes(render({**VALUES, "SERVER_TIME": str(int(time.time()) - 250)}))
    assert host.install("--dry-run").returncode == 0
    host.installer.write_bytes(render({**VALUES, "SERVER_TIME": str(int(time.time()) - 400)}))
    assert "get a new one" in refused(host)


@pytest.mark.parametrize("name", ["ssh", "cron.d", "docker"])
def test_a_folder_that_belongs_to_something_else_is_not_taken_over(host: Host, name: str) -> None:
    for top in (host.etc, host.lib):
        (top / name).mkdir(exist_ok=True)
        (top / name / "precious").write_text("x")
        said = refused(host, "--runtime-name", name)
        assert "--runtime-name" in said
        before = host.tree()
        done = host.install("--runtime-name", name, "--uninstall", "--yes", "--delete-data")
        assert done.returncode == 1
        assert host.tree() == before
        (top / name / "precious").unlink()


def test_links_in_place_of_folders_are_refused(host: Host) -> None:
    (host.etc / "flageemonitor").symlink_to("/etc/cron.d")
    assert "is not a folder" in refused(host)
    assert host.install("--uninstall", "--yes").returncode == 1


def test_a_command_of_that_name_that_is_not_ours_is_not_overwritten(host: Host) -> None:
    (host.bin / "flageemonitor-run").write_text("#!/bin/sh\necho mine\n")
    assert "/usr/local/bin/flageemonitor-run is there and is not ours" in refused(host)


def test_a_runtime_of_another_network_is_not_taken_over(host: Host) -> None:
    host.environment_file("FLAGEEMONITOR_REDE=OTHER\n")
    said = refused(host)
    assert "serves network OTHER; this script is for network ACME" in said


def test_the_first_generation_is_recognised_by_its_folder_and_stays_with_the_option(a_host: Host) -> None:
    (a_host.etc / "ariusmonitor").mkdir()
    assert "--beside-legacy" in refused(a_host)
    assert a_host.install("--beside-legacy").returncode == 0
    assert not [call for call in a_host.calls() if call[0] in ("stop", "update")]


@pytest.mark.parametrize("state", ["running", "exited"])
def test_the_first_generation_is_recognised_under_our_name_too(a_host: Host, state: str) -> None:
    a_host.container("flageemonitor", state)
    said = refused(a_host, "--runtime-name", "fm2")
    assert "first generation is on this host (the container flageemonitor)" in said
    assert "--replace-legacy" in said
    assert "--beside-legacy" in said
    assert a_host.install("--runtime-name", "fm2", "--beside-legacy").returncode == 0
    assert not [call for call in a_host.calls() if call[0] in ("stop", "update")]


def test_installing_over_the_first_generation_is_refused_with_the_way_to_do_it(host: Host) -> None:
    host.environment_file("FLAGEEMONITOR_REDE=ACME\n")
    host.container("flageemonitor")
    host.container("flageemonitor-watchtower")
    for options in ((), ("--replace-legacy",), ("--dry-run",)):
        said = refused(host, *options)
        assert "A container flageemonitor is there that is not ours." in said
        assert said.count("Install beside it with --runtime-name NAME --replace-legacy") == 2
    host.container("flageemonitor", label="another")
    assert "--replace-legacy" not in refused(host)


FOREIGN = {
    "by its label": '/theirs|registry.example/updater:3|true\t["PATH=/bin"]\t["--cleanup"]null',
    "by its image": '/theirs|containrrr/watchtower:latest|\tnull\t[]["--interval","30"]',
    "with an empty scope": '/theirs|containrrr/watchtower|true\t["WATCHTOWER_SCOPE="]\t[]null',
    "with names in its arguments": '/theirs|nickfedor/watchtower|true\t[]\t["something","else"]null',
}
SCOPED = {
    "in its environment": '/theirs|containrrr/watchtower|true\t["WATCHTOWER_SCOPE=shop-2","PATH=/"]\t[]null',
    "in its arguments": '/theirs|containrrr/watchtower|true\t["PATH=/"]\t["--scope","x"]null',
    "in one argument": '/theirs|containrrr/watchtower|true\t["PATH=/"]\t["--scope=x"]null',
    "not a Watchtower": '/theirs|nginx|\t["A=watchtower"]\t["nginx"]null',
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_watchtower_that_would_interfere_is_refused(a_host: Host, kind: str) -> None:
    a_host.answer("neighbours", "/db|postgres:16|\tnull\t[]null\n" + FOREIGN[kind])
    assert "The container theirs is a Watchtower without scope" in refused(a_host)
    assert a_host.install("--dry-run", "--allow-foreign-watchtower").returncode == 0


@pytest.mark.parametrize("kind", SCOPED)
def test_a_watchtower_with_its_own_scope_is_accepted(a_host: Host, kind: str) -> None:
    a_host.answer("neighbours", SCOPED[kind])
    assert a_host.install("--dry-run").returncode == 0


def test_a_docker_network_must_be_there(host: Host) -> None:
    assert "docker network create shops" in refused(host, "--docker-network", "shops")


@pytest.mark.parametrize(
    ("text", "said"),
    [("nothing", "is not a readable file with a certificate"), ("BEGIN CERTIFICATE\nBEGIN PRIVATE KEY", "private key")],
)
def test_a_file_that_is_no_authority_is_refused(host: Host, text: str, said: str) -> None:
    (host.folder / "ca").write_text(text)
    assert said in refused(host, "--ca", str(host.folder / "ca"))


def test_the_bare_template_is_refused(host: Host) -> None:
    host.installer.write_bytes(render({}))
    assert "bare template" in refused(host)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"], ["token"], ["--runtime-name"], ["--runtime-name", ""], ["--runtime-name="], ["--runtime-name", "A"],
        ["--runtime-name", "../x"], ["--runtime-name", "x-deploy"], ["--runtime-name", "x" * 41], ["--runtime-name", "a b"],
        ["--image", "--privileged"], ["--image", "a b"], ["--watchtower-interval", "29"], ["--watchtower-interval", "5m"],
        ["--watchtower-interval", "604801"],
        ["--docker-network", "none"], ["--replace-legacy", "--beside-legacy"], ["--uninstall", "--keep-data", "--delete-data"],
        ["--delete-data"], ["--registry-token-file", "/x"], ["--registry-user", "a:b"], ["--dry-run=yes"],
    ],
)  # fmt: skip
def test_an_unknown_option_is_a_usage_error(a_host: Host, arguments: list[str]) -> None:
    before = a_host.tree()
    done = a_host.install(*arguments)
    assert (done.returncode, "--help" in done.stderr) == (2, True)
    assert a_host.tree() == before
    assert a_host.calls() == []


def test_help_needs_nothing(host: Host) -> None:
    done = host.install("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--runtime-name", "--ca", "--dry-run", "--uninstall", "--allow-foreign-watchtower"):
        assert option in done.stdout
