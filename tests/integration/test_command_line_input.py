"""Bad input, one piece at a time: what is not understood is refused by name, and touches nothing."""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import weird
from tests.harness.need import need, need_program
from tests.harness.process import wait_until
from tests.integration.proxy import LONG_S, NETWORK, PROGRAM, Going, Proxy, Shop, shop, till, verdict

TIMEZONE = "update_endpoint_timezone"


@dataclass(frozen=True, slots=True)
class Place:
    """One proxy with its till, for every command that must not get as far as it."""

    shop: Shop
    proxy: Proxy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    tills = (till("plain"), till("second"), till("hung", behaviour="hangs"), till("flood", behaviour="flood"))
    with shop(tmp_path_factory.mktemp("shop"), *tills) as running:
        document = running.document("plain", actions={"test_endpoint_privilege": {"enabled": False}})
        proxy = Proxy(tmp_path_factory.mktemp("proxy"), document)
        proxy.run("runs")  # makes the state
        yield Place(running, proxy)


CLOSED_PORT = 1  # nothing listens there
AWAY = {"kind": "zabbix", "url": f"http://127.0.0.1:{CLOSED_PORT}", "token": "0" * 64}

# command → the reason it is refused with, and what the message must name
REFUSED: dict[tuple[str, ...], tuple[str, str]] = {
    ("dance",): ("unknown_action", "dance"),
    ("update_endpoint_timezon",): ("unknown_action", TIMEZONE),
    ("collect_coupons",): ("not_available", "collect_coupons"),
    ("pdv_install",): ("not_available", "install_endpoint_agent"),
    ("pdv_test_sudo",): ("action_disabled", "test_endpoint_privilege"),
    ("diagnose_env", "--pdv", "twenty"): ("bad_terminal", "twenty"),
    ("diagnose_env", "--pdv", ""): ("empty_filter", "--pdv"),
    ("diagnose_env", "--loja", "1", "--pdv", " , "): ("empty_filter", "--pdv"),
    ("diagnose_env", "--loja", "LOJA"): ("bad_store", "LOJA"),
    ("diagnose_env", "--host", ""): ("empty_filter", "--host"),
    ("diagnose_env", "--provider", ""): ("empty_filter", "--provider"),
    ("diagnose_env", "--provider", "nobody"): ("unknown_provider", "nobody"),
    ("hosts", "--provider", "nobody"): ("unknown_provider", "nobody"),
    ("diagnose_env", "--rede", "OTHER"): ("other_network", "OTHER"),
    ("hosts", "--rede", "OTHER"): ("other_network", "OTHER"),
    ("diagnose_env", "--ip", "10.0.0"): ("bad_address", "10.0.0"),
    ("diagnose_env", "--tag", "colour"): ("bad_tag", "colour"),
    ("diagnose_env", "--tag", "a=1", "--tag", "a=2"): ("bad_tag", "a"),
    ("diagnose_env", "--trigger-id", "7"): ("needs_zabbix", "--trigger-id"),
    ("diagnose_env", "--agent-status", "1"): ("needs_zabbix", "--agent-status"),
    ("diagnose_env", "--compat-mode", "loud"): ("bad_compat_mode", "loud"),
    ("diagnose_env", "--compat-mode", "off"): ("compat_mode_loosened", "enforce"),
    (TIMEZONE, "--param", "colour"): ("bad_param", "--param"),  # not by its text, which may be a secret
    (TIMEZONE, "--param", "colour=red"): ("bad_parameter", "colour"),
    (TIMEZONE, "--param", "timezone=Mars/Olympus"): ("bad_parameter", "timezone"),
    (TIMEZONE, "--param", "timezone=UTC", "--param", "timezone=Etc/UTC"): ("bad_param", "timezone"),
    (TIMEZONE, "--param", "localtime_target=../../etc/passwd"): ("bad_parameter", "localtime_target"),
    (TIMEZONE, "--param", "ntp_server=$(reboot)"): ("bad_parameter", "ntp_server"),
    ("shutdown_endpoint", "--all", "--param", "windows=[{]"): ("bad_parameter", "windows"),
    ("shutdown_endpoint",): ("no_target", "shutdown_endpoint"),
    ("diagnose_env", "--timezone", "UTC"): ("unused_option", "update_endpoint_timezone"),
    ("diagnose_env", "--dtini", "2024-01-01"): ("unused_option", "collect_coupons"),
    ("diagnose_env", "--chave-assinatura", "1"): ("unused_option", "--chave-assinatura"),
    ("diagnose_env", "--autoregister"): ("unused_option", "register_endpoints"),
    ("diagnose_env", "--list-zabbix-only"): ("unused_option", "--list-zabbix-only"),
    ("run", "diagnose_env", "--job", "nightly"): ("unknown_job", "nightly"),
    ("schedule", "--next", "soon"): ("bad_span", "soon"),
    ("runs", "no-such-run"): ("unknown_run", "no-such-run"),
    ("cancel", "no-such-run"): ("unknown_run", "no-such-run"),
    ("hosts", "rekey"): ("no_host", "hosts rekey"),
    ("hosts", "rekey", "SHOP-LOJA001-PDV201", "--all"): ("bad_usage", "--all"),
    ("hosts", "settle"): ("bad_usage", "--key"),
    ("hosts", "--all", "settle", "--key", "SHA256:none"): ("bad_usage", "--all"),
    ("hosts", "--limit", "1", "rekey", "SHOP-LOJA001-PDV201"): ("bad_usage", "--limit"),
    ("hosts", "--agent-status", "0", "rekey", "SHOP-LOJA001-PDV201"): ("bad_usage", "--agent-status"),
    ("hosts", "--host", "", "rekey", "SHOP-LOJA001-PDV201"): ("bad_usage", "--host"),
    ("cancel", "../runs/somebody"): ("unknown_run", "../runs/somebody"),
}

# What the option parser itself refuses: command → what it must name
MISSPELT: dict[tuple[str, ...], str] = {
    ("diagnose_env", "--pvd", "201"): "--pdv",
    ("diagnose_env", "--agent-status", "9"): "--agent-status",
    ("diagnose_env", "--limit", "0"): "--limit",
    ("diagnose_env", "--output", "xml"): "ndjson",
    ("diagnose_env", "test_endpoint_connection"): "test_endpoint_connection",
    ("hosts", "forget"): "forget",
    ("shedule", "--next", "3h"): "did you mean schedule?",
    ("rusn",): "did you mean run or runs?",
    ("config", "chek"): "did you mean check?",
    ("config",): "check",
    ("--loja", "1", "diagnose_env"): "--loja",
}


def test_unknown_input_is_refused_by_name_and_touches_nothing(place: Place) -> None:
    met = place.shop.events("plain")
    commands = [(*command, "--output", "json") for command in REFUSED]
    for (command, (reason, name)), said in zip(REFUSED.items(), place.proxy.run_each(commands), strict=True):
        error = said.json["error"]
        assert (said.code, error["reason"]) == (2, reason), command
        assert name in f"{error['message']} {error['advice']}", command
        assert error["advice"], command
        assert error["message"] in said.stderr, command
    for (command, name), said in zip(MISSPELT.items(), place.proxy.run_each(list(MISSPELT)), strict=True):
        assert (said.code, name in said.stderr) == (2, True), (command, said)
    misspelt = [command for command in MISSPELT if "--output" not in command]
    commands = [(*command, "--output", form) for command in misspelt for form in ("json", "ndjson")]
    for command, said in zip(commands, place.proxy.run_each(commands), strict=True):
        error = said.json["error"]
        assert (said.code, said.json["exit_code"], error["reason"]) == (2, 2, "bad_usage"), command
        assert error["message"] in said.stderr, command
        assert error["advice"].endswith("--help"), command
    assert place.shop.events("plain") == met


def test_names_with_shell_characters_name_nothing_and_run_nothing(place: Place, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    names = (f"$(touch {trap})", f"`touch {trap}`", f"x; touch {trap}", f"x' ; touch {trap} '", "*")
    said = place.proxy.run_each([(TIMEZONE, f"--host={name}", "--output", "json") for name in names])
    assert [(one.code, one.json["error"]["reason"]) for one in said] == [(5, "no_host_matched")] * len(names)
    assert not trap.exists()


def test_a_run_that_never_had_a_host_is_listed_with_its_exit_code_and_why(place: Place, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, place.shop.document("plain"))
    assert proxy.run(TIMEZONE, "--pdv", "20").code == 5
    proxy.configure({**place.shop.document("plain"), "inventory": AWAY})
    assert proxy.run("diagnose_env").code == 4

    away, nobody = proxy.run("runs", "--output", "json").json
    assert (nobody["action"], nobody["exit_code"], nobody["reason"]) == (TIMEZONE, 5, "no_host_matched")
    assert (nobody["state"], nobody["hosts"], nobody["selector"]) == ("finished", 0, {"terminals": [20]})
    assert (away["action"], away["exit_code"], away["state"]) == ("diagnose_env", 4, "finished")
    assert away["reason"]
    assert f"127.0.0.1:{CLOSED_PORT}" in away["message"]
    shown = proxy.run("runs").stdout.splitlines()
    assert [line.split("\t")[3:6] for line in shown] == [["0", away["reason"], "4"], ["0", "no_host_matched", "5"]]
    assert nobody["message"] in proxy.run("runs", nobody["run_id"], "--output", "table").stdout


def damaged(database: Path) -> None:
    database.write_bytes(b"not a database " * 2000)


def replaced_by_a_pipe(database: Path) -> None:
    database.unlink()
    os.mkfifo(database)


STATES: dict[str, tuple[Callable[[Path], None], str, tuple[int, str]]] = {
    "damaged": (damaged, "was damaged (file is not a database); it was moved to", (2, "unknown_run")),
    "unreadable": (replaced_by_a_pipe, "state.db is a pipe, not a database", (3, "state_no_file")),
}


@pytest.mark.parametrize("case", STATES)
def test_a_run_is_stopped_although_the_local_state_cannot_be_read(place: Place, tmp_path: Path, case: str) -> None:
    harm, says, unknown = STATES[case]
    run_id = str(uuid.uuid4())
    with weird.serving(weird.silent) as port:
        zabbix = {"kind": "zabbix", "url": f"http://127.0.0.1:{port}", "token": "0" * 64, "timeout": 300}
        proxy = Proxy(tmp_path, place.shop.document("plain", inventory=zabbix))
        going = proxy.start("diagnose_env", "--all", "--run-id", run_id, "--output", "json")
        lock = proxy.data / "runs" / f"{run_id}.lock"
        wait_until(lambda: lock.exists() and lock.read_text(), within=LONG_S, what="registered")
        for name in ("state.db-wal", "state.db-shm"):
            (proxy.data / name).unlink(missing_ok=True)
        harm(proxy.data / "state.db")

        other = proxy.run("cancel", "0000", "--output", "json")
        assert (other.code, other.json["error"]["reason"]) == unknown
        assert says in other.stderr
        assert going.process.poll() is None

        if case == "damaged":  # the first command after it has replaced it
            harm(proxy.data / "state.db")
        stopped = proxy.run("cancel", run_id[:8], "--output", "json")
        assert (stopped.code, stopped.json) == (0, {"run_id": run_id, "result": "signalled"})
        assert says in stopped.stderr
        assert ("cannot be read" in stopped.stderr) is (case == "unreadable")
        said = going.ended()
    assert (said.code, said.json["error"]["reason"]) == (130, "cancelled")
    assert "cancelled by" in said.json["error"]["message"], "who asked is noted beside the lock"


@pytest.mark.parametrize("how", ["cancel", "SIGINT", "SIGTERM"])
def test_a_run_that_still_reads_its_inventory_stops_at_once(place: Place, tmp_path: Path, how: str) -> None:
    run_id = str(uuid.uuid4())
    with weird.serving(weird.silent) as port:
        zabbix = {"kind": "zabbix", "url": f"http://127.0.0.1:{port}", "token": "0" * 64, "timeout": 300}
        proxy = Proxy(tmp_path, place.shop.document("plain", inventory=zabbix))
        going = proxy.start("diagnose_env", "--run-id", run_id, "--output", "json")
        lock = proxy.data / "runs" / f"{run_id}.lock"
        wait_until(lambda: lock.exists() and lock.read_text(), within=LONG_S, what="registered")
        if how == "cancel":
            assert proxy.run("cancel", run_id, "--output", "json").json["result"] == "signalled"
        else:
            going.signal(signal.Signals[how])
        said = going.ended()
    assert (said.code, said.json["error"]["reason"]) == (130, "cancelled")
    assert "no host was touched" in said.json["error"]["message"]
    assert ("cancelled by" in said.json["error"]["message"]) is (how == "cancel")
    (run,) = proxy.run("runs", "--output", "json").json
    assert (run["run_id"], run["exit_code"], run["reason"]) == (run_id, 130, "cancelled")
    assert list(lock.parent.iterdir()) == []


def test_a_run_id_that_exists_is_refused_and_nothing_is_touched(place: Place, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, place.shop.document("plain"))
    command = ("diagnose_env", "--run-id", str(uuid.uuid4()), "--output", "json")
    assert proxy.run(*command).code == 0
    met = place.shop.events("plain")
    again = proxy.run(*command)
    assert (again.code, again.json["error"]["reason"]) == (2, "run_id_taken")
    assert place.shop.events("plain") == met


def test_the_daemon_refuses_arguments_and_has_help() -> None:
    program = PROGRAM.with_name("flageemonitor-daemon")
    told = subprocess.run([program, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, "Exit codes" in told.stdout) == (0, True)
    refused = subprocess.run([program, "--now"], capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, refused.stdout, "--now" in refused.stderr) == (2, "", True)


def test_a_host_whose_name_holds_shell_characters_is_read_like_any_other(place: Place, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    name = f"{NETWORK}-LOJA001-PDV301 $(touch {trap}); touch {trap} '"
    proxy = Proxy(tmp_path / "proxy", place.shop.document(hosts=[place.shop.host("plain", name=name)]))
    said = proxy.run("diagnose_env", "--host", name, "--output", "json")
    assert (said.code, said.outcomes) == (0, {name: "ok done"})
    assert proxy.run("hosts", "rekey", name).code == 0
    assert not trap.exists()
    assert not (place.shop.tree("plain") / str(trap).lstrip("/")).exists()


def test_terminal_20_is_not_terminal_201(place: Place, tmp_path: Path) -> None:
    hosts = [place.shop.host("plain", name=f"{NETWORK}-LOJA001-PDV{number}") for number in (2, 20, 201, 2001)]
    proxy = Proxy(tmp_path, place.shop.document(hosts=hosts))
    for given, number in (("20", 20), ("PDV0201", 201)):
        run = proxy.run("test_endpoint_connection", "--pdv", given, "--output", "json")
        assert list(run.outcomes) == [f"{NETWORK}-LOJA001-PDV{number}"]
    listed = proxy.run("hosts", "--pdv", "20,2", "--output", "json").json
    assert [host["terminal"] for host in listed] == [2, 20]


# -- the configuration

BAD_DOCUMENTS: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "empty": (lambda _: b"", "not_json"),
    "cut": (lambda good: json.dumps(good).encode()[:-40], "not_json"),
    "not JSON": (lambda _: b"<html>Bad Gateway</html>", "not_json"),
    "not UTF-8": (
        lambda good: json.dumps({**good, "client": "Jos\xe9"}, ensure_ascii=False).encode("latin-1"),
        "not_json",
    ),
    "a list": (lambda good: json.dumps([good]).encode(), "wrong_type"),
    "a wrong type inside": (lambda good: json.dumps({**good, "credentials": "none"}).encode(), "credentials"),
    "a zone nobody knows": (lambda good: json.dumps({**good, "timezone": "Mars/Olympus"}).encode(), "timezone"),
    "from the future": (lambda good: json.dumps({**good, "schema_version": 9}).encode(), "newer_version"),
    "more than is understood": (
        lambda good: json.dumps({**good, "teleport": True, "must_understand": ["teleport"]}).encode(),
        "teleport",
    ),
}


def test_a_configuration_that_cannot_be_used_is_exit_3_with_the_place_that_is_wrong(
    place: Place, tmp_path: Path
) -> None:
    met, good = place.shop.events("plain"), place.shop.document("plain")
    proxies = [Proxy(tmp_path / str(number), spoil(good)) for number, (spoil, _) in enumerate(BAD_DOCUMENTS.values())]
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda proxy: proxy.run("diagnose_env", "--output", "json"), proxies))
    for (kind, (_, named)), said in zip(BAD_DOCUMENTS.items(), ended, strict=True):
        assert (said.code, said.json["error"]["reason"]) == (3, "damaged_configuration"), kind
        assert named in said.json["error"]["message"], kind
    assert place.shop.events("plain") == met


def test_the_last_valid_configuration_stays_in_force_and_a_run_reports_it(place: Place, tmp_path: Path) -> None:
    good = place.shop.document("plain")
    proxy = Proxy(tmp_path, json.dumps(good).encode()[:-40])
    (proxy.config / "config_bot.json.1").write_text(json.dumps(good))
    said = proxy.run("diagnose_env", "--output", "json")
    assert (said.code, list(said.outcomes.values())) == (0, ["ok done"])
    assert f"using {proxy.config / 'config_bot.json.1'} instead" in said.stderr


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"actions": {"pdv_update_timezone": {"enabled": False}}}, "action_disabled"),
        ({"actions": {"pdv_update_timezone": {"enabled": False}, TIMEZONE: {"enabled": True}}}, "contradiction"),
        ({"overrides": {"arius": {"pdv_update_timezone": "nothing"}}}, "bad_override"),
    ],
    ids=["switched off by an alias", "two names that contradict", "override to nowhere by an alias"],
)
def test_a_document_that_names_an_action_by_an_alias_protects_from_it(
    place: Place, tmp_path: Path, parts: dict[str, Any], reason: str
) -> None:
    proxy, met = Proxy(tmp_path, place.shop.document("plain", **parts)), place.shop.events("plain")
    said = proxy.run(TIMEZONE, "--all", "--output", "json")
    assert (said.code, said.json["error"]["reason"]) == (2, reason)
    assert place.shop.events("plain") == met


def test_an_override_by_an_alias_changes_what_runs(place: Place, tmp_path: Path) -> None:
    overrides = {"arius": {"pdv_update_timezone": "pdv_test_connection"}}
    proxy, before = Proxy(tmp_path, place.shop.document("plain", overrides=overrides)), place.shop.events("plain")
    said = proxy.run(TIMEZONE, "--all", "--output", "json")
    assert (said.code, list(said.outcomes.values())) == (0, ["ok done"])
    assert len(place.shop.events("plain")) > len(before)
    (arius,) = proxy.run("explain", TIMEZONE, "--provider", "arius", "--output", "json").json
    assert (arius["name"], arius["overrides"]) == ("test_endpoint_connection", TIMEZONE)


def test_without_a_configuration_every_command_that_needs_one_reports_it(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    commands = (("diagnose_env",), ("hosts",), ("schedule",), ("config", "check"), ("explain", "diagnose_env"))
    said = proxy.run_each([(*command, "--output", "json") for command in commands])
    assert {(one.code, one.json["error"]["reason"]) for one in said} == {(3, "no_configuration")}
    assert all("flageemonitor-update-config" in one.stderr for one in said)
    assert [proxy.run(command).code for command in ("actions", "runs")] == [0, 0]


# -- the local state


def test_an_unwritable_state_is_reported_before_any_terminal_is_touched(place: Place, tmp_path: Path) -> None:
    apart = [need_program("unshare", "util-linux"), "--map-root-user", "--mount"]
    able = subprocess.run([*apart, "true"], check=False, capture_output=True)
    need(able.returncode == 0, "the right to make a mount namespace", "run as root, or allow user namespaces")
    proxy = Proxy(tmp_path, place.shop.document("plain"))
    met = place.shop.events("plain")
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    command = [*apart, "sh", "-c", read_only, str(proxy.data), str(PROGRAM), "diagnose_env", "--output", "json"]
    said = Going(command, proxy.environment, tmp_path).ended()
    assert (said.code, said.json["error"]["reason"]) == (3, "state_read_only"), said
    assert str(proxy.data) in said.json["error"]["advice"]
    proxy.use_data(proxy.config / "config_bot.json")
    said = proxy.run("diagnose_env", "--output", "json")
    assert (said.code, said.json["error"]["reason"]) == (3, "state_read_only")
    assert place.shop.events("plain") == met


# -- terminals that misbehave


def test_a_silent_and_a_flooding_terminal_delay_no_other(place: Place, tmp_path: Path) -> None:
    """While the one hangs, and would for a minute more, everybody else has been done with."""
    proxy = Proxy(tmp_path, place.shop.document("hung", "flood", "plain", "second"))
    going = proxy.start("diagnose_env", "--output", "ndjson")
    wait_until(lambda: len(going.so_far.events) == 3, within=LONG_S, what="three results")
    told = {event["host"]["name"]: verdict(event) for event in going.so_far.events}
    assert told == {
        place.shop.name("flood"): "failed bad_facts:flood",
        place.shop.name("plain"): "ok done",
        place.shop.name("second"): "ok done",
    }
    for _ in range(2):
        going.signal(signal.SIGINT)
        wait_until(lambda: "stopping" in going.so_far.stderr, within=LONG_S, what="the first Ctrl-C is heard")
    last, run = going.ended().events[3:]
    assert (verdict(last), last["host"]["name"]) == ("cancelled operator", place.shop.name("hung"))
    assert run["summary"] == {"failed": 1, "ok": 2, "cancelled": 1}
