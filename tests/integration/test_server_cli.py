"""`flagee-server` as an operator uses it: what it prints, where, and its exit codes."""

import contextlib
import json
import os
import pty
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.harness.control_plane import CLIENT, COMMAND, ControlPlane, document, empty, new_key, prepared


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    return prepared(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    """On both databases, for commands that write."""
    if request.param == "sqlite":
        return prepared(tmp_path)
    return prepared(tmp_path, request.getfixturevalue("postgres_url"))


def test_clients_and_networks_are_listed_as_they_were_added(either: ControlPlane) -> None:
    either.must("client", "add", "Açougue & Cia. 2")
    clients = json.loads(either.must("client", "list", "--output", "json"))
    assert [(row["name"], row["networks"]) for row in clients] == [("Açougue & Cia. 2", 0), (CLIENT, 2)]
    networks = json.loads(either.must("network", "list", CLIENT, "--output", "json"))
    assert [row["network"] for row in networks] == ["LUA", "SOL"]
    assert len(json.loads(either.must("network", "list", "--output", "json"))) == 2


def test_in_a_pipe_lists_are_plain_lines(plane: ControlPlane) -> None:
    lines = plane.must("network", "list").splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[CLIENT, "LUA"], [CLIENT, "SOL"]]


def test_on_a_terminal_lists_are_tables(plane: ControlPlane) -> None:
    main, other = pty.openpty()
    command = [*COMMAND, "network", "list"]
    subprocess.run(command, stdout=other, check=True, env={**os.environ, **plane.environ, "TERM": "xterm"})
    os.close(other)
    printed = os.read(main, 65536).decode()
    os.close(main)
    assert "client" in printed.splitlines()[0]
    assert "\t" not in printed


def test_a_token_is_alone_on_the_last_line_of_stdout(either: ControlPlane) -> None:
    result = either.run("token", "issue", CLIENT, "--network", "SOL", "--scope", "config", "--expires", "90d")
    assert result.exit_code == 0
    token = result.stdout.strip()
    assert token.startswith("fm1.")
    assert token not in result.stderr
    assert "SOL" in result.stderr
    [row] = json.loads(either.must("token", "list", "--output", "json"))
    assert (row["id"], row["networks"], row["scopes"], row["state"]) == (
        token.split(".")[1],
        ["SOL"],
        ["config"],
        "active",
    )
    assert row["last_used_at"] is None


def test_a_token_has_bootstrap_config_and_all_networks_by_default(plane: ControlPlane) -> None:
    issued = json.loads(plane.must("token", "issue", CLIENT, "--output", "json"))
    assert issued["scopes"] == ["bootstrap", "config"]
    assert (issued["networks"], issued["expires_at"]) == ("all", None)
    assert issued["token"].split(".")[1] == issued["id"]


def test_the_secret_of_a_token_is_stored_nowhere(plane: ControlPlane) -> None:
    secret = plane.token().split(".")[2]
    stored = b"".join(path.read_bytes() for path in plane.folder.iterdir())
    assert secret.encode() not in stored


def test_a_token_can_be_revoked_by_its_id_or_its_text_and_again(either: ControlPlane) -> None:
    first, second = either.token(), either.token()
    assert "revoked" in either.must("token", "revoke", first.split(".")[1])
    assert "revoked" in either.must("token", "revoke", second)
    assert "was revoked before" in either.must("token", "revoke", second)
    states = [row["state"] for row in json.loads(either.must("token", "list", "--output", "json"))]
    assert states == ["revoked", "revoked"]


def test_documents_are_stored_encrypted_and_as_versions(either: ControlPlane) -> None:
    raw = either.publish("LUA", credentials=[{"id": "main", "user": "root", "password": "hunter2"}])
    again = either.run("config", "set", CLIENT, "LUA", "-", "--output", "json", stdin=raw)
    assert (json.loads(again.stdout)["version"], json.loads(again.stdout)["changed"]) == (1, False)
    either.publish("LUA", timezone="America/Manaus")
    shown = json.loads(either.must("config", "show", CLIENT, "LUA", "--output", "json"))
    assert (shown["version"], shown["document"]["timezone"]) == (2, "America/Manaus")


def test_nothing_of_a_document_can_be_read_in_the_database(plane: ControlPlane) -> None:
    raw = plane.publish("LUA", credentials=[{"id": "main", "user": "admin-of-tills", "password": "hunter2"}])
    stored = b"".join(path.read_bytes() for path in plane.folder.iterdir())
    for piece in (b"hunter2", b"admin-of-tills", b'"inventory"'):  # a secret, a value, a key
        assert piece in raw
        assert piece not in stored


def test_a_shown_document_hides_its_secrets_unless_asked(plane: ControlPlane) -> None:
    raw = plane.publish("LUA", credentials=[{"id": "main", "user": "root", "password": "hunter2"}])
    for output in ("text", "json"):
        shown = plane.run("config", "show", CLIENT, "LUA", "--output", output)
        assert "***" in shown.stdout
        assert "hunter2" not in shown.output
    assert plane.run("config", "show", CLIENT, "LUA", "--reveal").stdout_bytes == raw
    revealed = json.loads(plane.must("config", "show", CLIENT, "LUA", "--reveal", "--output", "json"))
    assert revealed["document"]["credentials"][0]["password"] == "hunter2"


def test_a_document_of_the_first_generation_is_kept_as_it_is_with_notes(plane: ControlPlane) -> None:
    legacy = {"PARAM_REDE": "LUA", "PARAM_ZABBIX_SERVER": "zabbix.example", "PARAM_TOKEN": "hunter2"}
    raw = json.dumps(legacy).encode()
    result = plane.run("config", "set", CLIENT, "LUA", "-", stdin=raw)
    assert result.exit_code == 0, result.output
    assert plane.run("config", "show", CLIENT, "LUA", "--reveal").stdout_bytes == raw
    assert "hunter2" not in plane.run("config", "show", CLIENT, "LUA").output


def test_validate_needs_no_database_and_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "config_bot.json"
    path.write_bytes(document("SOL"))
    nowhere = empty(tmp_path, f"sqlite:///{tmp_path}/none/none.db")
    assert "network SOL" in nowhere.must("config", "validate", str(path))
    assert json.loads(nowhere.must("config", "validate", str(path), "--output", "json"))["valid"] is True
    assert nowhere.run("config", "validate", str(path), DATABASE_URL="nonsense").exit_code == 0


def test_a_mistyped_action_is_not_stored_and_a_similar_name_is_suggested(plane: ControlPlane) -> None:
    raw = document("SOL", actions={"shutdown_endpont": {"params": {"exceptions": ["10.0.0.9"]}}})
    for command in (("validate", "-"), ("set", CLIENT, "SOL", "-")):
        said = plane.run("config", *command, stdin=raw)
        assert said.exit_code == 1
        assert "actions.shutdown_endpont: unknown action" in said.stderr
        assert "did you mean shutdown_endpoint" in said.stderr
    assert json.loads(plane.must("config", "show", CLIENT, "SOL", "--output", "json"))["version"] == 1


def test_names_that_only_a_newer_proxy_knows_are_stored_when_that_is_asked_for(plane: ControlPlane) -> None:
    raw = document("SOL", actions={"dance": {}}, schedule=[{"id": "waltz", "action": "dance", "cron": "0 3 * * *"}])
    assert plane.run("config", "set", CLIENT, "SOL", "-", stdin=raw).exit_code == 1
    said = plane.run("config", "set", CLIENT, "SOL", "-", "--allow-unknown-actions", stdin=raw)
    assert said.exit_code == 0
    assert 'warning: actions.dance: unknown action "dance"' in said.stderr
    assert 'warning: schedule.waltz: unknown action "dance"' in said.stderr


@pytest.mark.parametrize("command", [("validate", "-"), ("set", CLIENT, "SOL", "-")])
def test_a_large_part_of_the_internet_is_reported_and_an_unknown_zone_refused(
    plane: ControlPlane, command: tuple[str, ...]
) -> None:
    open_to_all = plane.run("config", *command, stdin=document("SOL", ssh={"allowed_networks": ["0.0.0.0/0"]}))
    assert open_to_all.exit_code == 0
    assert "danger: ssh.allowed_networks: 0.0.0.0/0 allows 4.26 billion public" in open_to_all.stderr
    strange = plane.run("config", *command, stdin=document("SOL", timezone="posix/America/Recife"))
    assert strange.exit_code == 1
    assert 'timezone: unknown time zone "posix/America/Recife": did you mean America/Recife?' in strange.stderr
    window = {"start": "22:00", "end": "06:00", "timezone": "localtime"}
    params = {"shutdown_endpoint": {"params": {"windows": [window]}}}
    inside = plane.run("config", *command, stdin=document("SOL", actions=params))
    assert inside.exit_code == 1
    assert 'windows[0].timezone: unknown time zone "localtime"' in inside.stderr


def test_validate_names_the_path_of_every_wrong_parameter(tmp_path: Path) -> None:
    nowhere = empty(tmp_path, f"sqlite:///{tmp_path}/none/none.db")
    raw = document(
        "SOL",
        actions={"pdv_shutdown": {"params": {"settle": "long", "colour": 1}}},
        schedule=[{"id": "zone", "action": "terminal_ping", "cron": "0 3 * * *", "params": {"speed": 1}}],
    )
    said = json.loads(nowhere.run("config", "validate", "-", "--output", "json", stdin=raw).stdout)
    assert said["valid"] is False
    assert {problem["path"] for problem in said["problems"]} == {
        "actions.pdv_shutdown.params.settle",
        "actions.pdv_shutdown.params.colour",
        "schedule.zone.params.speed",
    }


def test_an_announced_action_is_a_warning(plane: ControlPlane) -> None:
    raw = document("SOL", schedule=[{"id": "agent", "action": "pdv_install", "cron": "0 3 * * *"}])
    said = plane.run("config", "set", CLIENT, "SOL", "-", stdin=raw)
    assert said.exit_code == 0
    assert "warning: schedule.agent: install_endpoint_agent is not available in this version" in said.stderr


def test_a_job_outside_its_window_is_not_stored(plane: ControlPlane) -> None:
    noon = {"id": "off", "action": "shutdown_endpoint", "cron": "0 12 * * *", "selector": {"all": True}}
    said = plane.run("config", "set", CLIENT, "SOL", "-", stdin=document("SOL", schedule=[noon]))
    assert said.exit_code == 1
    assert "schedule.off: can never run" in said.stderr
    assert "outside its window (22:00-06:00)" in said.stderr


TILLS = {"kind": "static", "hosts": [{"name": f"SOL-LOJA001-PDV{n}", "address": f"10.0.0.{n}"} for n in (1, 2, 3)]}
NIGHT = {"id": "night", "action": "pdv_shutdown", "cron": "50 23 * * *", "selector": {"all": True}}


def test_changes_for_tills_are_shown_before_a_document_is_stored(plane: ControlPlane) -> None:
    plane.publish("SOL", inventory=TILLS)
    raw = document("SOL", inventory=TILLS, schedule=[NIGHT])
    said = plane.run("config", "set", CLIENT, "SOL", "-", stdin=raw)
    assert said.exit_code == 0
    assert said.stderr.splitlines()[0] == (
        "DANGER: new: powers off up to 3 tills of the network daily at 23:50 (the network's zone, America/Sao_Paulo), "
        "window 22:00-06:00, no exceptions (job night)"
    )
    again = json.loads(plane.must("config", "set", CLIENT, "SOL", "-", "--output", "json", stdin=raw))
    assert (again["changed"], again["changes"]) == (False, [])


def test_validate_against_a_network_says_what_would_change_and_stores_nothing(plane: ControlPlane) -> None:
    plane.publish("SOL", inventory=TILLS, schedule=[NIGHT])
    raw = document("SOL", inventory=TILLS)
    said = plane.must("config", "validate", "-", "--client", CLIENT, "--network", "SOL", "--output", "json", stdin=raw)
    assert [change["text"].partition(":")[0] for change in json.loads(said)["changes"]] == ["removed"]
    assert json.loads(plane.must("config", "show", CLIENT, "SOL", "--output", "json"))["version"] == 2
    assert plane.run("config", "validate", "-", "--client", CLIENT, stdin=raw).exit_code == 2


@pytest.mark.parametrize(
    ("answer", "options", "version", "asked"), [("n", (), 2, True), ("y", (), 3, True), ("", ("--yes",), 3, False)]
)
def test_on_a_terminal_a_dangerous_change_is_confirmed(
    answer: str, options: tuple[str, ...], version: int, asked: bool, plane: ControlPlane, tmp_path: Path
) -> None:
    plane.publish("SOL", inventory=TILLS)
    path = tmp_path / "new.json"
    path.write_bytes(document("SOL", inventory=TILLS, schedule=[NIGHT]))
    main, other = pty.openpty()
    command = [*COMMAND, "config", "set", CLIENT, "SOL", str(path), *options]
    process = subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, env={**os.environ, **plane.environ, "TERM": "xterm"}
    )
    os.close(other)
    printed = b""
    with os.fdopen(main, "r+b", buffering=0) as screen, contextlib.suppress(OSError):
        while part := screen.read(65536):
            printed += part
            if b"[y/N]" in printed and answer:
                screen.write(answer.encode() + b"\n")
                answer = ""
    assert process.wait(60) == (0 if version == 3 else 1)
    assert (b"Store this" in printed) is asked
    assert (b"Not stored. Version 2 stays in force." in printed) is (version == 2)
    assert printed.index(b"powers off") < printed.index(b"Store this" if asked else b" stored for")
    assert json.loads(plane.must("config", "show", CLIENT, "SOL", "--output", "json"))["version"] == version


def test_validate_warns_of_clear_text(tmp_path: Path) -> None:
    nowhere = empty(tmp_path, f"sqlite:///{tmp_path}/none/none.db")
    zabbix = {"kind": "zabbix", "url": "http://zabbix.example", "token": "hunter2"}
    said = nowhere.run("config", "validate", "-", stdin=document("SOL", inventory=zabbix))
    assert (said.exit_code, "danger: inventory.url: plain http" in said.stderr) == (0, True)
    assert "hunter2" not in said.output


WRONG_DOCUMENTS = [
    (b"", "not a complete JSON document"),
    (document("SOL")[:-8], "not a complete JSON document"),
    (b"[1]", "a JSON object is expected"),
    (b"\xff\xfe", "not a complete JSON document"),
    (document("SOL", timezone="Mars/Base"), "timezone: "),
    (document("SOL", ssh={"port": 0}), "ssh.port: "),
    (document("SOL", ssh={"prot": 22}), "ssh.prot: "),
    (document("SOL", schema_version=3), "schema_version: "),
    (document("SOL", must_understand=["warp.drive"]), "must_understand: "),
    (document("SOL", schema_version="2"), "schema_version: "),
]


@pytest.mark.parametrize(("raw", "said"), WRONG_DOCUMENTS)
def test_a_wrong_document_is_refused_with_the_path_of_the_value(plane: ControlPlane, raw: bytes, said: str) -> None:
    commands = ("config", "validate", "-"), ("config", "set", CLIENT, "SOL", "-")
    for command in commands:
        result = plane.run(*command, stdin=raw)
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr
    refused = [json.loads(plane.run(*command, "--output", "json", stdin=raw).stdout) for command in commands]
    assert refused[0]["problems"] == refused[1]["problems"]
    assert said.rstrip(": ") in json.dumps(refused[0]["problems"])
    assert (refused[1]["changed"], refused[1]["reason"]) == (False, "configuration_invalid")
    assert json.loads(plane.must("config", "show", CLIENT, "SOL", "--output", "json"))["version"] == 1


FAILURES = [
    (("client", "add", CLIENT), "exists already"),
    (("client", "add", "-x"), "client name"),
    (("client", "add", "a\nb"), "client name"),
    (("network", "add", "Nobody", "X"), "flagee-server client add Nobody"),
    (("network", "add", CLIENT, "SOL"), "already"),
    (("network", "add", CLIENT, "two words"), 'network name "two words"'),
    (("network", "list", "No body"), "flagee-server client add 'No body'"),
    (("token", "issue", "Nobody"), "flagee-server client add Nobody"),
    (("token", "issue", CLIENT, "--network", "MAR"), f"flagee-server network add '{CLIENT}' MAR"),
    (("token", "revoke", "0123456789ab"), "flagee-server token list"),
    (("config", "show", CLIENT, "LUA"), "flagee-server config set"),
    (("config", "show", CLIENT, "MAR"), "flagee-server network add"),
]


@pytest.mark.parametrize(("arguments", "said"), FAILURES)
def test_an_impossible_command_ends_with_1_and_advice(
    plane: ControlPlane, arguments: tuple[str, ...], said: str
) -> None:
    *words, last = arguments
    result = plane.run(*words, *(("--", last) if last.startswith("-") else (last,)))
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_a_document_of_another_network_is_refused(plane: ControlPlane) -> None:
    result = plane.run("config", "set", CLIENT, "LUA", "-", stdin=document("SOL"))
    assert result.exit_code == 1
    assert 'network: the document is for "SOL", not for "LUA"' in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("client", "add"),
        ("token", "issue", CLIENT, "--scope", "everything"),
        ("token", "issue", CLIENT, "--expires", "soon"),
        ("config", "set", CLIENT, "SOL", "/no/such/file"),
        ("client", "list", "--output", "xml"),
        ("serve", "--bind", "nowhere"),
        ("serve", "--workers", "none"),
    ],
)
def test_wrong_usage_ends_with_2(plane: ControlPlane, arguments: tuple[str, ...]) -> None:
    result = plane.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--help" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("client", "list"), ("token", "issue", CLIENT), ("config", "show", CLIENT, "SOL"), ("serve",)]
)
def test_before_init_db_every_command_says_to_run_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = empty(tmp_path).run(*arguments)
    assert result.exit_code == 1
    assert "flagee-server init-db" in result.stderr
    assert not list(tmp_path.iterdir()), "no empty database must be left behind"


def test_before_init_db_postgresql_commands_say_to_run_it_too(tmp_path: Path, postgres_url: str) -> None:
    for arguments in (("client", "list"), ("serve",)):
        result = empty(tmp_path, postgres_url).run(*arguments)
        assert result.exit_code == 1
        assert "flagee-server init-db" in result.stderr


def test_without_a_secret_key_nothing_is_stored_shown_or_served(plane: ControlPlane) -> None:
    for arguments in (("config", "set", CLIENT, "SOL", "-"), ("config", "show", CLIENT, "SOL"), ("serve",)):
        result = plane.run(*arguments, stdin=document("SOL"), SECRET_KEY="")
        assert result.exit_code == 1
        assert "FLAGEE_SECRET_KEY is not set" in result.stderr


def test_with_another_secret_key_the_right_one_is_named_and_storing_again_helps(plane: ControlPlane) -> None:
    other = new_key()
    result = plane.run("config", "show", CLIENT, "SOL", SECRET_KEY=other)
    assert result.exit_code == 1
    assert "stored configurations need the key" in result.stderr
    raw = document("SOL")
    stored = plane.run("config", "set", CLIENT, "SOL", "-", "--yes", "--output", "json", stdin=raw, SECRET_KEY=other)
    assert json.loads(stored.stdout)["changed"] is True
    assert "version 1 cannot be compared" in stored.stderr
    assert plane.run("config", "show", CLIENT, "SOL", SECRET_KEY=other).exit_code == 0


@pytest.mark.parametrize("why", ["secret_key_mismatch", "configuration_damaged"])
def test_what_cannot_be_compared_is_replaced_on_purpose_only(plane: ControlPlane, why: str) -> None:
    changes = {"SECRET_KEY": new_key()} if why == "secret_key_mismatch" else {}
    if why == "configuration_damaged":
        with contextlib.closing(sqlite3.connect(plane.folder / "flagee.db")) as connection, connection:
            connection.execute("UPDATE configurations SET sealed = x'00'")
    before = plane.run("network", "list", "--output", "json").stdout
    raw = document("SOL", timezone="America/Manaus")
    refused = plane.run("config", "set", CLIENT, "SOL", "-", stdin=raw, **changes)
    assert refused.exit_code == 1
    assert "version 1 of network SOL cannot be compared, and nothing was stored" in refused.stderr
    assert "--yes" in refused.stderr
    told = plane.run("config", "set", CLIENT, "SOL", "-", "--output", "json", stdin=raw, **changes)
    assert (told.exit_code, json.loads(told.stdout)["reason"]) == (1, why)
    assert plane.run("network", "list", "--output", "json").stdout == before
    stored = plane.run("config", "set", CLIENT, "SOL", "-", "--yes", stdin=raw, **changes)
    assert (stored.exit_code, "version 2 stored" in stored.stdout) == (0, True)


def test_wrong_settings_end_with_1_and_their_names(plane: ControlPlane) -> None:
    result = plane.run("client", "list", THREADS="many", LOG_LEVEL="loud")
    assert result.exit_code == 1
    assert "FLAGEE_THREADS: " in result.stderr
    assert "FLAGEE_LOG_LEVEL: " in result.stderr
