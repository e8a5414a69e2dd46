"""What an operator sees: every view in a pipe, as JSON, as NDJSON and on a terminal; and what hostile text cannot do to it."""

import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.actions.registry import ACTIONS
from tests.integration.proxy import LONG_S, NETWORK, PROGRAM, WAITS, Proxy, Said, Shop, program, shop, till, verdict

TIMEZONE = "update_endpoint_timezone"
# A window's title, a colour, a cursor that goes home, a bell, C1's way to say the same, letters that run backwards, and what
# takes no room: a zero-width space, a line separator, a byte order mark.
EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[H\x9b2J\u202eev\u200b\u2028\ufeffil\u2066\r"
EVIL_IN_PRINTF = (
    r"printf '\033]0;owned\007\033[31mred\033[H\302\2332J\342\200\256ev"
    r"\342\200\213\342\200\250\357\273\277il\342\201\246\r\n'; exit 3"
)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PROGRESS = re.compile(
    r"\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r"
)  # hide and show the cursor, clear the line, go up, go left


@dataclass(frozen=True, slots=True)
class Place:
    shop: Shop
    proxy: Proxy
    run_id: str

    def __call__(self, *arguments: str) -> Said:
        return self.proxy.run(*arguments)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A proxy that has run once, on a till that is right, one that is off, and one that prints what it should not."""
    tills = (
        till("right", zone="America/Sao_Paulo"),
        till("off", behaviour="off"),
        till("evil", files=program("/usr/local/bin/mv", EVIL_IN_PRINTF)),
        *(till(name, files=WAITS) for name in ("first", "second")),
    )
    with shop(tmp_path_factory.mktemp("shop"), *tills) as running:
        document = running.document(
            "right",
            "off",
            hosts=[running.host("evil", display_name=f"till {EVIL}", tags={f"tag{EVIL}": EVIL})],
            client="Jos\xe9",
            rollout={"zanthus": {"percent": 5, "pilot": ["SHOP-LOJA009-PDV1"]}},
            schedule=[
                {"id": "zone", "action": TIMEZONE, "cron": "30 * * * *", "selector": {"stores": [1]}},
                {
                    "id": "night",
                    "action": "shutdown_endpoint",
                    "cron": "0 1 * * *",
                    "selector": {"all": True},
                    "enabled": False,
                },
                {"id": "coupons", "action": "collect_coupons", "cron": "0 3 * * *"},
            ],
        )
        proxy = Proxy(tmp_path_factory.mktemp("proxy"), document)
        proxy.run(TIMEZONE, "--all")
        (run,) = proxy.run("runs", "--output", "json").json
        yield Place(running, proxy, run["run_id"])


def views(place: Place) -> dict[str, tuple[tuple[str, ...], int]]:
    """Every view: its command and exit code."""
    return {
        "actions": (("actions",), 0),
        "explain": (("explain", "pdv_update_timezone"), 0),
        "explain one": (("explain", "terminal_shutdown", "--provider", "zanthus"), 0),
        "why": (("why", place.shop.name("evil")), 0),
        "why by address": (("why", place.shop.host("off")["address"]), 0),
        "runs": (("runs",), 0),
        "one run": (("runs", place.run_id), 0),
        "cancel": (("cancel", place.run_id), 0),
        "hosts": (("hosts",), 0),
        "config check": (("config", "check"), 0),
        "schedule": (("schedule", "--next", "3h"), 0),
        "doctor": (("doctor",), 1),
    }


def shown(place: Place, *form: str, only: Collection[str] = ()) -> dict[str, Said]:
    """Views in this form; each ends with the exit code that it should."""
    commands = {name: view for name, view in views(place).items() if not only or name in only}
    said = place.proxy.run_each((*command, *form) for command, _ in commands.values())
    ended = dict(zip(commands, said, strict=True))
    assert {name: said.code for name, said in ended.items()} == {name: code for name, (_, code) in commands.items()}
    assert not [name for name, said in ended.items() if "Traceback" in said.stderr]
    return ended


def test_a_pipe_gets_plain_lines_with_the_same_columns_and_nothing_else(place: Place) -> None:
    said = shown(place)
    assert not {name: one for name, one in said.items() if FORBIDDEN.search(one.stdout + one.stderr)}
    columns = {name: {line.count("\t") + 1 for line in one.stdout.splitlines()} for name, one in said.items()}
    assert {name: columns[name] for name in ("actions", "why", "runs", "one run", "hosts", "schedule")} == {
        "actions": {6},
        "why": {9},
        "runs": {7},
        "one run": {5},
        "hosts": {6},
        "schedule": {5},
    }
    assert said["hosts"].stdout.count("\n") == 3


def test_json_is_one_document_and_ndjson_one_a_line_and_both_say_the_same(place: Place) -> None:
    lists = ("actions", "explain", "why", "runs", "hosts")
    whole, lines = shown(place, "--output", "json"), shown(place, "--output", "ndjson", only=(*lists, "one run"))
    for name, said in (*whole.items(), *lines.items()):
        assert not FORBIDDEN.search(said.stdout), name
    for name in lists:
        assert lines[name].events == whole[name].json, name
    assert lines["one run"].events == [whole["one run"].json]
    # What comes next is another list from half past on.
    before, between, after = (
        place("schedule", "--next", "3h", "--output", form) for form in ("json", "ndjson", "json")
    )
    assert between.events in (before.json, after.json)
    assert not FORBIDDEN.search(between.stdout)
    assert {one["name"] for one in whole["actions"].json} == {action.name for action in ACTIONS}
    assert [check["status"] for check in whole["doctor"].json if check["name"] == "control plane"] == ["bad"]
    assert whole["config check"].json["errors"] == 0


def test_a_run_is_shown_host_by_host_and_then_as_a_whole(place: Place) -> None:
    asked = (TIMEZONE, "--all", "--dry-run")
    lines, whole, events = (place(*asked, *form) for form in ((), ("--output", "json"), ("--output", "ndjson")))
    assert [said.code for said in (lines, whole, events)] == [1, 1, 1]
    assert not [said for said in (lines, whole, events) if FORBIDDEN.search(said.stdout + said.stderr)]
    assert {line.count("\t") for line in lines.stdout.splitlines()} == {4}
    assert f"{place.shop.name('evil')}\t{place.shop.host('evil')['address']}\twould_change\tdry_run\t" in lines.stdout
    *hosts, run = events.events
    assert {host["host"]["name"]: verdict(host) for host in hosts} == whole.outcomes
    assert (run["type"], run["summary"], run["exit_code"]) == ("run", whole.json["summary"], 1)


def test_a_terminals_output_is_stored_unchanged_and_cannot_control_the_operators_terminal(place: Place) -> None:
    name = place.shop.name("evil")
    listed = next(host for host in place("hosts", "--output", "json").json if host["name"] == name)
    assert (listed["display_name"], listed["tags"]) == (f"till {EVIL}", {f"tag{EVIL}": EVIL})
    assert EVIL.strip() in told_of_evil(place)["result"]["steps"][0]["output"] + "\r"
    for command in (("hosts",), ("why", name), ("runs", place.run_id), (TIMEZONE, "--host", name)):
        seen = place.proxy.on_terminal(*command, columns=100)
        assert not FORBIDDEN.search(PROGRESS.sub("", COLOUR.sub("", seen.stdout)).replace("\r\n", "\n")), command


def told_of_evil(place: Place) -> Any:
    """What `why` says of the first run."""
    told = place("why", place.shop.name("evil"), "--output", "json", "--last", "100").json
    return next(record for record in told if record["run_id"] == place.run_id)


def test_on_a_terminal_text_to_copy_is_never_wrapped(place: Place) -> None:
    words: dict[tuple[int, str], tuple[str, ...]] = {
        (80, "runs"): (place.run_id, TIMEZONE),
        (160, "runs"): (place.run_id, TIMEZONE),
        (80, f"runs {place.run_id}"): (place.shop.name("evil"), "step_failed", "refused_connection"),
        (80, "hosts"): (place.shop.name("right"), "checkout"),
        (80, "actions"): (TIMEZONE, "update_payment_client_config"),
        (80, "schedule --next 2h"): (TIMEZONE, "stores=1"),
        (80, f"{TIMEZONE} --all --dry-run"): (place.shop.name("off"), "refused_connection", "Exit code 1"),
        (160, f"{TIMEZONE} --all --dry-run"): (place.shop.name("off"), "refused_connection", "Exit code 1"),
    }
    for asked, wanted in words.items():  # one after the other: two runs at once may find a host locked
        seen = place.proxy.on_terminal(*asked[1].split(), columns=asked[0])
        text = COLOUR.sub("", seen.stdout)
        assert [word for word in wanted if word not in text] == [], (asked, text)
        assert text != seen.stdout, asked  # in colours


def test_a_run_on_a_terminal_shows_its_progress_and_in_a_pipe_it_does_not(place: Place) -> None:
    seen = place.proxy.on_terminal("diagnose_env", "--all", columns=120).stdout
    assert "\x1b[?25l" in seen
    assert "3/3" in COLOUR.sub("", seen)
    off = place.shop.name("off")
    assert f"{off}: unreachable refused_connection: " in COLOUR.sub("", seen)  # as it came
    assert COLOUR.sub("", seen).rstrip().splitlines()[-4:-1] == [
        "Needs attention: 1 of 3 hosts",
        f"  unreachable refused_connection: {off}",
        f"  why: flageemonitor-run why {off}",
    ]
    piped = place("diagnose_env", "--all")
    assert (piped.stderr.splitlines()[0], piped.stdout.count("\n")) == ("Needs attention: 1 of 3 hosts", 3)
    quiet = place("diagnose_env", "--host", place.shop.name("right"))
    assert (quiet.stderr, quiet.stdout.count("\n")) == ("", 1)


def test_an_ascii_terminal_shows_everything(place: Place) -> None:
    ascii_only: dict[str, Any] = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    views = (("hosts",), ("why", place.shop.name("evil")), ("runs", place.run_id), ("doctor",), ("config", "check"))
    commands = [(*view, *form) for view in views for form in ((), ("--output", "table"), ("--output", "json"))]
    for command, said in zip(commands, place.proxy.run_each(commands, **ascii_only), strict=True):
        assert "Traceback" not in said.stderr
        assert said.stdout.isascii()
        assert not FORBIDDEN.search(COLOUR.sub("", said.stdout + said.stderr)), command
    told = place.proxy.run("hosts", "--output", "json", **ascii_only).json
    assert told == place("hosts", "--output", "json").json


def test_a_name_that_is_no_text_is_refused_by_its_bytes_and_not_by_a_traceback(place: Place) -> None:
    for command in (("why",), (TIMEZONE, "--dry-run", "--host"), ("runs",), ("explain",), (TIMEZONE, "--loja")):
        said = place(*command, "PDV\udcff\u202e\x1b[2J")
        assert said.code != 0
        assert "Traceback" not in said.stderr
        assert not FORBIDDEN.search(said.stdout + said.stderr)
        assert "PDV" in said.stderr


def test_why_shows_the_gates_and_the_step_that_failed(place: Place) -> None:
    told = told_of_evil(place)
    assert [gate["gate"] for gate in told["result"]["gates"]][:5] == ["role", "rollout", "freeze", "time", "lock"]
    first_login = [gate["text"] for gate in told["result"]["gates"] if gate["gate"] == "host_key"]
    (listed,) = (host for host in place("hosts", "--output", "json").json if host["name"] == place.shop.name("evil"))
    assert listed["host_key"].startswith("SHA256:")
    assert first_login == [f"seen for the first time, pinned: {listed['host_key']}"]
    assert (told["outcome"], told["reason"], told["result"]["steps"][0]["status"]) == (
        "failed",
        "step_failed",
        "failed",
    )
    never = place("why", f"{NETWORK}-LOJA009-PDV9", "--output", "json")
    assert (never.code, never.json["error"]["reason"]) == (5, "never_considered")


def test_explain_sets_the_providers_side_by_side(place: Place) -> None:
    arius, zanthus = place("explain", TIMEZONE, "--output", "json").json
    assert (arius["provider"], zanthus["provider"]) == ("arius", "zanthus")
    assert (arius["rollout_percent"], zanthus["rollout_percent"]) == ("100", "5")
    assert (zanthus["own_names"], zanthus["pilot"]) == (["sync_terminal_timezone"], ["SHOP-LOJA009-PDV1"])
    assert "/etc/localtime" in arius["observe"]
    assert place("explain", TIMEZONE).stdout.startswith("provider\tarius\tzanthus\n")


def test_the_schedule_lists_planned_runs_and_jobs_that_are_not_started(place: Place) -> None:
    said = place("schedule", "--next", "3h", "--output", "json")
    assert {(entry["job"], entry["action"]) for entry in said.json} == {("zone", TIMEZONE)}
    assert len(said.json) == 3
    assert "switched off: night" in said.stderr
    assert "coupons: collect_coupons is not available" in said.stderr


def test_config_check_finds_what_the_document_alone_does_not_show(place: Place, tmp_path: Path) -> None:
    document = place.shop.document(
        "right",
        actions={"dance": {}, "pdv_shutdown": {"params": {"windows": []}}},
        overrides={"arius": {"waltz": "diagnose_env"}},
        schedule=[
            {"id": "a", "action": "dance", "cron": "0 1 * * *"},
            {"id": "b", "action": "shutdown_endpoint", "cron": "0 1 * * *"},
            {"id": "c", "action": TIMEZONE, "cron": "0 1 * * *", "params": {"colour": "red"}},
        ],
        teleport=True,
    )
    proxy = Proxy(tmp_path, document)
    found = proxy.run("config", "check", "--output", "json")
    assert found.code == 3
    assert {(finding["level"], finding["path"]) for finding in found.json["findings"]} == {
        ("error", "actions.dance"),
        ("error", "actions.pdv_shutdown.params.windows"),
        ("error", "overrides.arius.waltz"),
        ("error", "schedule.a"),
        ("error", "schedule.b"),
        ("error", "schedule.c"),  # a change that names no target
        ("error", "schedule.c.params.colour"),
        ("info", "teleport"),
    }
    strict = proxy.run("config", "check", str(proxy.config / "config_bot.json"))
    assert (strict.code, "teleport: unknown key" in strict.stderr) == (3, True)


def test_doctor_names_entries_that_protect_no_host_and_entries_that_share_a_machine(
    place: Place, tmp_path: Path
) -> None:
    right = place.shop.host("right")
    hub = {**right, "name": f"{NETWORK}-LOJA001-CONCENTRADOR"}
    actions = {"shutdown_endpoint": {"params": {"exceptions": ["192.0.2.0/24", right["address"]]}}}
    rollout = {"arius": {"percent": 100, "never": ["Caixa 999", right["name"]]}}
    document = place.shop.document(hosts=[right, hub], actions=actions, rollout=rollout)
    proxy = Proxy(tmp_path, document)
    checks = proxy.run("doctor", "--output", "json").json
    told = [
        check["text"] for check in checks if check["status"] == "warning" and check["name"] in ("lists", "machines")
    ]
    assert [text.split(", ")[0] for text in told] == [
        f"{right['name']} is the same machine as {hub['name']} (both have the address {right['address']})",
        "rollout.arius.never: Caixa 999 is no host of the inventory",
        "actions.shutdown_endpoint.params.exceptions: 192.0.2.0/24 is no host of the inventory",
    ]
    listed = proxy.run("hosts", "--output", "json").json
    assert {host["name"]: host["same_machine"] for host in listed} == {
        right["name"]: [hub["name"]],
        hub["name"]: [right["name"]],
    }
    assert f"{right['address']} (also {hub['name']})" in proxy.run("hosts").stdout


def test_doctor_finds_the_faults_of_the_document_too(place: Place, tmp_path: Path) -> None:
    document = place.shop.document("right", actions={"pdv_shutdwn": {"enabled": False}})
    checks = Proxy(tmp_path, document).run("doctor", "--output", "json").json
    assert [check["status"] for check in checks if check["name"] == "actions.pdv_shutdwn"] == ["bad"]


def test_cancelling_a_finished_run_reports_it(place: Place) -> None:
    assert place("cancel", place.run_id, "--output", "json").json["result"] == "not_running"


@pytest.mark.parametrize("key", ["", "%", "SHA256:", "SHA256:none", "sha256:"])
@pytest.mark.parametrize("undo", [(), ("--undo",)])
def test_settle_refuses_a_key_that_no_host_has(key: str, undo: tuple[str, ...], place: Place) -> None:
    said = place("hosts", "settle", "--key", key, *undo, "--output", "json")
    assert (said.code, said.json["error"]["reason"]) == (5, "no_pinned_key")
    assert "doctor" in said.json["error"]["advice"]


def test_settle_of_a_key_that_only_one_host_has_accepts_its_machine_and_no_image(place: Place) -> None:
    name = place.shop.name("right")
    [host] = [host for host in place("hosts", "--output", "json").json if host["name"] == name]
    said = place("hosts", "settle", "--key", host["host_key"].removeprefix("SHA256:")[:20], "--output", "json")
    assert (said.code, said.json["hosts"], said.json["settled"]) == (0, [name.lower()], None)
    assert host["hostname"] == name.lower()
    assert place.proxy.rows("SELECT count(*) FROM settled_keys") == [(0,)]
    [now] = [host for host in place("hosts", "--output", "json").json if host["name"] == name]
    assert said.json["accepted"] == now["identity_accepted"]
    assert now["identity_accepted"]["by"]
    undone = place("hosts", "settle", "--undo", "--key", host["host_key"], "--output", "json")
    assert (undone.code, undone.json["before"]["at"]) == (0, said.json["accepted"]["at"])
    [after] = [host for host in place("hosts", "--output", "json").json if host["name"] == name]
    assert after["identity_accepted"] is None


def test_rekey_forgets_one_key_and_says_which(place: Place) -> None:
    name = place.shop.name("right")
    (retired,) = place("hosts", "rekey", name.lower(), "--output", "json").json
    assert retired["retired"].startswith("SHA256:")
    again = place("hosts", "rekey", name, "--output", "json")
    assert (again.code, again.json["error"]["reason"]) == (5, "no_pinned_key")
    assert place("test_endpoint_connection", "--host", name).code == 0


# -- readers that go away


@pytest.mark.parametrize(
    "command",
    ["actions", "actions --output json", f"explain {TIMEZONE} --output table", "hosts --output ndjson", "--help"],
)
def test_a_reader_that_closes_the_pipe_causes_no_error(place: Place, command: str) -> None:
    shell = ["sh", "-c", '{ "$@"; echo "ended with $?" >&3; } 3>&2 2>&1 | head -c 1', "sh", str(PROGRAM)]
    argv = [*shell, *command.split()]
    done = subprocess.run(argv, env=place.proxy.environment, capture_output=True, check=False, text=True)
    assert len(done.stdout) == 1
    assert done.stderr in ("ended with 0\n", "ended with 1\n"), command  # the parser of options has its own way


def test_a_run_whose_reader_closes_the_pipe_finishes(place: Place, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, place.shop.document("off", "first", "second", ssh={"parallel": 1}))
    with subprocess.Popen(
        [PROGRAM, TIMEZONE, "--all"], env=proxy.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline().startswith(place.shop.name("off").encode())
        run.stdout.close()
        for name in ("first", "second"):
            place.shop.wait_reached(name)
            place.shop.let_go(name)
        assert run.wait(LONG_S) == 1
        assert run.stderr.read().startswith(b"Needs attention: 1 of 3 hosts\n")
    (told,) = proxy.run("runs", "--output", "json").json
    assert (told["state"], told["outcomes"]) == ("finished", {"changed": 2, "unreachable": 1})


# -- help

COMMANDS = (
    *("", "run", "actions", "explain", "why", "runs", "cancel", "hosts", "hosts rekey", "config", "config check"),
    *("config refresh", "schedule", "doctor"),
)


def test_help_of_every_command_works_and_explains(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    texts = dict(zip(COMMANDS, proxy.run_each([*command.split(), "--help"] for command in COMMANDS), strict=True))
    for command, said in texts.items():
        assert said.code == 0, command
        assert said.stdout.startswith(f"Usage: flageemonitor-run {command}".rstrip()), command
        assert len(said.stdout.split("\n\n")[1]) > 40, command  # a sentence of what it does
        assert "..." not in said.stdout.replace("]...", ""), command  # no help that is cut short
        listed = said.stdout.split("Options:\n")[1].split("\nCommands:\n")[0]
        options = re.findall(r"^  -.*?(?=^  -|\Z)", listed, re.DOTALL | re.MULTILINE)
        assert not [option for option in options if len(option.split()) < 4], command
    assert "Exit codes: 0" in texts[""].stdout
    first_generation = ("--dtini", "--autoregister", "--job", "--planned")
    assert not [word for word in first_generation if word in texts["run"].stdout]
