"""First-generation documents: hand-made samples with their translation, every key accounted for, nothing that raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.cron import parse_cron
from contracts.document import DocumentError, read_document
from contracts.legacy import is_first_generation, origin, translate
from contracts.legacy_keys import DEFAULT_JOBS, KEYS, SECRET_KEYS
from contracts.masking import masked
from runtime.actions.registry import ACTIONS
from tests.contract.first_generation import REQUIRED, at, config, document, levels

CASES = sorted(folder for folder in (Path(__file__).parent / "legacy").iterdir() if folder.is_dir())

# The table of the first generation's keys, copied by hand from its description.
DESCRIBED = """
    PARAM_REDE provider PARAM_PROVIDER PARAM_ROLLOUT_<PROVIDER> PARAM_PROVIDER_ROLLOUT PARAM_PROVIDER_ACTION_OVERRIDES
    PARAM_COMPATIBILITY_MODE PARAM_BASE_DIR PARAM_CRON_ACTIONS TIMEZONE TIMEZONE_LOCALTIME_TARGET NTP_ENABLE NTP_SERVER
    PDV_TIMEZONE_SETTINGS max_threads ssh.timeout logfiles.general log_rotation.max_bytes log_rotation.backup_count
    PARAM_ZABBIX_SERVER PARAM_TOKEN PARAM_ZABBIX_PROXYID PARAM_ZABBIX_GROUPID PARAM_ZABBIX_PORT PARAM_TEMPLATES
    EXCLUDE_TEMPLATE_IDS PARAM_ZABBIX_SENDER_SERVER PARAM_ZABBIX_SENDER_PORT PARAM_PROXY_IP PARAM_PORT
    PARAM_IP_CONCENTRADORES CONCENTRADORES DB_USER DB_PASS DB_NAME DB_PG_USER DB_PG_PASS DB_PG_DB DB_PG_PORT
    DB_HOST_BI DB_USER_BI DB_PASS_BI DB_NAME_BI PARAM_BI_SERVER PARAM_TOKEN_BI PARAM_BI_CERTI_PATH PARAM_EMPRESA_ID
    PARAM_REPO_URL PARAM_LOCAL_ASSET_DIR PARAM_LOCAL_REPO_DIR PARAM_PATH_GERAL_LOCAL PARAM_PATH_GERAL_REMOTE
    PARAM_CLISITEF_DIR PDV_PARSING_RULE shutdown_window shutdown_exception_ips PARAM_AGENTD_LOG PARAM_AGENTD_PID
    PARAM_AGENTD_CONF_DIR PARAM_SCRIPTS_PATH
""".split()  # noqa: SIM905


# --- samples ---


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sample_becomes_the_document_written_beside_it(case: Path) -> None:
    written = json.loads((case / "first-generation.json").read_text())
    assert translate(written)[0] == json.loads((case / "schema-2.json").read_text())
    notes = read_document(json.dumps(written).encode(), strict=True).notes
    assert sorted(f"{note.level:8}{note.path}" for note in notes) == (case / "notes.txt").read_text().splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sample_reads_as_its_translation_does(case: Path) -> None:
    first = read_document((case / "first-generation.json").read_bytes(), strict=True)
    second = read_document((case / "schema-2.json").read_bytes(), strict=True)
    assert (first.generation, second.generation) == (1, 2)
    assert first.config == second.config
    # Clear text is worth a word in either generation.
    assert [note.path for note in second.notes] == [
        path
        for path, url in (("inventory.url", getattr(second.config.inventory, "url", "")),)
        if url.startswith("http:")
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_actions_take_the_parameters_and_the_schedule_names_actions(case: Path) -> None:
    read = read_document((case / "first-generation.json").read_bytes(), strict=True).config
    actions = {action.name: action for action in ACTIONS}
    assert {job.action for job in read.schedule} <= actions.keys()
    for name, entry in read.actions.items():
        if actions[name].available:
            actions[name].params.model_validate(entry.params)


def test_the_samples_show_every_key() -> None:
    shown: set[str] = set()
    for case in CASES:
        for key, value in json.loads((case / "first-generation.json").read_text()).items():
            shown |= {key, *(f"{key}.{inner}" for inner in (value if isinstance(value, dict) else ()))}
    assert {key.name for key in KEYS if "<" not in key.name} <= shown


# --- the table ---


def test_the_table_covers_every_described_key() -> None:
    known = {key.name for key in KEYS} | {key.name.split(".")[0] for key in KEYS}
    assert set(DESCRIBED) <= known


def test_a_key_is_in_the_table_once() -> None:
    names = [key.name for key in KEYS]
    assert len(names) == len(set(names))


def test_a_dropped_key_says_why() -> None:
    assert all(key.text for key in KEYS if not key.to)


@pytest.mark.parametrize("key", [key.name for key in KEYS if not key.to and "<" not in key.name])
def test_every_dropped_key_gets_a_note(key: str) -> None:
    name, _, inner = key.partition(".")
    assert key in levels(**{name: {inner: "x"} if inner else "x"})


def test_every_default_job_has_a_crontab_that_parses() -> None:
    assert all(parse_cron(job.cron) for job in DEFAULT_JOBS)


# --- what must not go wrong ---


@pytest.mark.parametrize("switch", [None, True, "yes", 1, False, "no", {"a": 1}])
def test_the_nightly_shutdown_is_never_enabled(switch: Any) -> None:
    jobs = {job.id: job for job in config(PARAM_CRON_ACTIONS={"pdv_shutdown": switch}).schedule}
    assert not jobs["shutdown_endpoint"].enabled


@pytest.mark.parametrize(
    ("switch", "level"), [(None, "danger"), (True, "danger"), ("sim", None), (False, None), ("no", None)]
)
def test_a_nightly_shutdown_that_ran_before_gets_a_note_at_level_danger(switch: Any, level: str | None) -> None:
    assert levels(PARAM_CRON_ACTIONS={"pdv_shutdown": switch}).get("PARAM_CRON_ACTIONS.pdv_shutdown") == level


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        (None, "22:00", "07:00"),
        ({}, "22:00", "07:00"),
        ({"start": 23}, "23:00", "07:00"),
        ({"start": "21", "end": "5"}, "21:00", "06:00"),
        ({"start": 20, "end": 23}, "20:00", "00:00"),
        ({"start": 1, "end": 4}, "01:00", "05:00"),
        ({"start": 7, "end": 6}, "00:00", "23:59:59.999999"),
        ({"start": "22:00", "end": "06:00"}, "22:00", "06:00"),
        ({"start": 22, "end": 25}, "22", "25"),
        ({"start": True, "end": 6}, "True", "6"),
        ("22-6", "22:00", "07:00"),
    ],
)
def test_the_shutdown_window_keeps_its_hours(window: Any, start: str, end: str) -> None:
    params = config(shutdown_window=window).actions["shutdown_endpoint"].params
    assert params["windows"] == [{"start": start, "end": end}]


@pytest.mark.parametrize(
    ("keys", "percents"),
    [
        ({}, {}),
        ({"PARAM_PROVIDER_ROLLOUT": {"arius": 20, "Zanthus": "5"}}, {"arius": 20, "zanthus": 5}),
        ({"PARAM_PROVIDER_ROLLOUT": 20}, {"arius": 20}),
        ({"PARAM_PROVIDER_ROLLOUT": 20, "PARAM_PROVIDER": "zanthus"}, {"arius": 20, "zanthus": 20}),
        ({"PARAM_PROVIDER_ROLLOUT": 20, "PARAM_ROLLOUT_ARIUS": 30}, {"arius": 30}),
        ({"PARAM_ROLLOUT_ZANTHUS": -5}, {"zanthus": 0}),
        ({"PARAM_ROLLOUT_ZANTHUS": 250}, {"zanthus": 100}),
        ({"PARAM_ROLLOUT_ZANTHUS": 7.9}, {"zanthus": 7}),
        ({"PARAM_ROLLOUT_ZANTHUS": None}, {}),
        ({"PARAM_ROLLOUT_ZANTHUS": "half"}, {}),
        ({"PARAM_ROLLOUT_ZANTHUS": True}, {}),
        ({"PARAM_ROLLOUT_Ç": 5}, {}),
        ({"PARAM_PROVIDER_ROLLOUT": [20]}, {}),
    ],
)
def test_an_old_rollout_percentage_is_translated(keys: dict[str, Any], percents: dict[str, int]) -> None:
    assert {name: rollout.percent for name, rollout in config(**keys).rollout.items()} == percents


def test_an_unreadable_percentage_that_opens_everything_is_a_danger() -> None:
    said = levels(PARAM_ROLLOUT_ARIUS="vinte", PARAM_ROLLOUT_ZANTHUS="vinte")
    assert (said["PARAM_ROLLOUT_ARIUS"], said["PARAM_ROLLOUT_ZANTHUS"]) == ("danger", "warning")


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("zabbix.example", "https://zabbix.example/api_jsonrpc.php"),
        (" zabbix.example/zabbix/ ", "https://zabbix.example/zabbix/api_jsonrpc.php"),
        ("10.0.0.1:8443", "https://10.0.0.1:8443/api_jsonrpc.php"),
        ("https://zabbix.example/api_jsonrpc.php", "https://zabbix.example/api_jsonrpc.php"),
        ("http://zabbix.example/zabbix", "http://zabbix.example/zabbix"),
    ],
)
def test_the_zabbix_server_is_a_host_or_a_url(written: str, url: str) -> None:
    inventory = config(PARAM_ZABBIX_SERVER=written).inventory
    assert inventory.kind == "zabbix"
    assert inventory.url == url
    assert inventory.notes_credentials


@pytest.mark.parametrize(
    ("keys", "provider"),
    [
        ({}, "arius"),
        ({"provider": "zanthus"}, "zanthus"),
        ({"PARAM_PROVIDER": "ZANTHUS"}, "zanthus"),
        ({"PARAM_PROVIDER": "arius", "provider": "zanthus"}, "arius"),
        ({"PARAM_PROVIDER": None, "provider": "zanthus"}, "zanthus"),
    ],
)
def test_the_provider_is_the_one_that_was_read(keys: dict[str, Any], provider: str) -> None:
    assert config(**keys).provider == provider


def test_a_network_takes_its_own_time_zone_entry_over_the_default_one() -> None:
    settings = {
        "default": {"timezone": "America/Bahia", "ntp_server": "ntp.example"},
        "REDE": {"timezone": "America/Belem"},
    }
    params = (
        config(TIMEZONE="America/Manaus", PDV_TIMEZONE_SETTINGS=settings).actions["update_endpoint_timezone"].params
    )
    assert params == {"timezone": "America/Belem", "ntp_server": "ntp.example"}


def test_jobs_without_what_they_need_are_disabled() -> None:
    assert not any(job.enabled for job in config().schedule)
    databases = {"PARAM_IP_CONCENTRADORES": ["10.0.0.9"], "DB_USER": "reader", "DB_PASS": "example-password"}
    enabled = {job.id for job in config(**databases).schedule if job.enabled}
    assert enabled == {"refresh_endpoint_printer"}
    enabled = {
        job.id for job in config(**databases, PARAM_BI_SERVER="bi.example", PARAM_TOKEN_BI="t").schedule if job.enabled
    }
    assert enabled == {"refresh_endpoint_printer", "collect_coupons", "collect_coupon_details", "collect_coupon_lv"}


def test_parts_of_schema_2_beside_the_old_keys_count_for_what_jobs_need() -> None:
    enabled = {job.id for job in config(agent={"server": "10.0.0.5"}).schedule if job.enabled}
    assert enabled == {"install_endpoint_agent"}


BLANKS: list[tuple[dict[str, Any], str]] = [
    ({"NTP_SERVER": ""}, "actions"),
    ({"TIMEZONE_LOCALTIME_TARGET": " "}, "actions"),
    ({"TIMEZONE": ""}, "timezone"),
    ({"PARAM_PROVIDER": ""}, "provider"),
    ({"PARAM_ZABBIX_PORT": ""}, "agent.port"),
    ({"PARAM_PROXY_IP": "\t"}, "agent.server"),
    ({"max_threads": "", "ssh": {"timeout": ""}}, "ssh"),
    ({"PARAM_IP_CONCENTRADORES": ["", " "], "CONCENTRADORES": [{"ip": "", "loja": ""}]}, "concentrators"),
    ({"PDV_TIMEZONE_SETTINGS": {"REDE": {"ntp_server": "", "timezone": ""}}}, "actions"),
    ({"DB_USER": "", "DB_PASS": "", "PARAM_BI_SERVER": "", "PARAM_TOKEN_BI": " "}, "delivery"),
    ({"PARAM_COMPATIBILITY_MODE": ""}, "compatibility"),
    ({"shutdown_window": {"start": "", "end": ""}}, "actions"),
]


@pytest.mark.parametrize(("keys", "path"), BLANKS, ids=[" ".join(keys) for keys, _ in BLANKS])
def test_blank_text_counts_as_missing(keys: dict[str, Any], path: str) -> None:
    assert config(**keys) == config()
    assert read_document(document(**keys), strict=True).notes == read_document(document(), strict=True).notes


def test_a_required_value_that_is_blank_is_missing_too() -> None:
    with pytest.raises(DocumentError) as refused:
        read_document(document(PARAM_TOKEN=" "), strict=True)
    assert "inventory.token: is required (translated from PARAM_TOKEN)" in str(refused.value)


def test_a_blank_percentage_still_gets_a_note_at_level_danger() -> None:
    assert levels(PARAM_ROLLOUT_ARIUS="")["PARAM_ROLLOUT_ARIUS"] == "danger"


@pytest.mark.parametrize(
    ("keys", "path", "value"),
    [
        ({"PARAM_PROXY_IP": " 10.0.0.1"}, "agent.server", "10.0.0.1"),
        ({"PARAM_REDE": "REDE "}, "network", "REDE"),
        ({"TIMEZONE": "America/Bahia\n"}, "timezone", "America/Bahia"),
        ({"PARAM_IP_CONCENTRADORES": [" 10.0.0.3", ""]}, "concentrators[].address", ["10.0.0.3"]),
        ({"CONCENTRADORES": [{"ip": "10.0.0.3 ", "loja": " 7"}]}, "concentrators[].store", [7]),
        ({"shutdown_exception_ips": [" 10.0.0.9 "]}, "actions.shutdown_endpoint.params.exceptions", ["10.0.0.9"]),
        ({"PARAM_TOKEN": "example-token\n"}, "inventory.token", "example-token"),
        ({"PDV_PARSING_RULE": {"regex": " PDV"}}, "actions.refresh_endpoint_printer.params.parsing_rule.regex", " PDV"),
        (
            {"DB_USER": " reader ", "DB_PASS": " secret ", "PARAM_IP_CONCENTRADORES": "10.0.0.3"},
            "concentrators[].mysql",
            [{"user": "reader", "password": " secret ", "name": "controle"}],
        ),
    ],
)
def test_blanks_around_a_text_do_not_count_but_in_passwords_and_expressions(
    keys: dict[str, Any], path: str, value: Any
) -> None:
    assert at(translate({**REQUIRED, **keys})[0], path) == value


def test_an_unknown_key_gets_a_note_and_never_an_error() -> None:
    said = levels(PARAM_NOBODY_KNOWS=[1], unknown={"a": 1}, ssh={"user": "x"}, shutdown_window={"days": 1})
    assert {said[path] for path in ("PARAM_NOBODY_KNOWS", "unknown", "ssh.user", "shutdown_window.days")} == {"warning"}


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({"PARAM_REDE": None}, "network", "is required (translated from PARAM_REDE)"),
        ({"PARAM_REDE": 7}, "network", "(translated from PARAM_REDE)"),
        ({"PARAM_ZABBIX_SERVER": None}, "inventory.url", "is required (translated from PARAM_ZABBIX_SERVER)"),
        ({"PARAM_TOKEN": None}, "inventory.token", "is required (translated from PARAM_TOKEN)"),
        ({"TIMEZONE": "Sao Paulo"}, "timezone", "(translated from TIMEZONE)"),
        ({"max_threads": "many"}, "ssh.parallel", "(translated from max_threads)"),
        ({"ssh": 30}, "ssh", "valid dictionary"),
        ({"ssh": {"timeout": "soon"}}, "ssh.connect_timeout", "(translated from ssh.timeout)"),
        ({"PARAM_PROXY_IP": "proxy"}, "agent.server", "(translated from PARAM_PROXY_IP)"),
        ({"CONCENTRADORES": [{"loja": 1}]}, "concentrators[0].address", "is required"),
        (
            {"CONCENTRADORES": [{"ip": "10.0.0.9", "loja": "x"}]},
            "concentrators[0].store",
            "(translated from CONCENTRADORES)",
        ),
        ({"PARAM_PROVIDER_ACTION_OVERRIDES": [1]}, "overrides", "(translated from PARAM_PROVIDER_ACTION_OVERRIDES)"),
        ({"PARAM_PROVIDER": ["arius"]}, "provider", "(translated from PARAM_PROVIDER)"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_by_both_its_names(keys: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read_document(document(**keys), strict=True)
    assert refused.value.reason == "invalid"
    assert any(problem.path.startswith(path) and message in problem.message for problem in refused.value.problems)


def test_a_wrong_part_that_only_schema_2_has_is_named_as_schema_2_names_it() -> None:
    wrong = {"freeze": [{"id": "f"}]}
    static = {"network": "REDE", "inventory": {"kind": "static"}}
    problems = []
    for written in (document(**wrong), json.dumps({**static, **wrong}).encode()):
        with pytest.raises(DocumentError) as refused:
            read_document(written, strict=True)
        problems.append(refused.value.problems)
    assert problems[0] == problems[1]
    assert [problem.path for problem in problems[0]] == ["freeze[0]"]


def test_a_path_of_schema_2_leads_back_to_the_key_it_came_from() -> None:
    assert origin("concentrators[3].mysql.password") == "DB_PASS"
    assert origin("refresh_interval") is None


@pytest.mark.parametrize(
    ("data", "first"),
    [
        ({"PARAM_REDE": "A"}, True),
        ({"PARAM_REDE": "A", "schema_version": 2}, False),
        ({"network": "A"}, False),
        ({}, False),
    ],
)
def test_the_generation_shows_in_the_keys(data: dict[str, Any], first: bool) -> None:
    assert is_first_generation(data) is first


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ROOTS = sorted({key.name.split(".")[0] for key in KEYS if "<" not in key.name.split(".")[0]})
INNER = sorted({key.name.split(".")[1] for key in KEYS if "." in key.name})
LIKELY = st.dictionaries(st.sampled_from([*INNER, "ip", "loja", "default", "REDE", "timezone"]), ANYTHING, max_size=4)
NAMES = st.sampled_from(
    [*ROOTS, "PARAM_ROLLOUT_ARIUS", "PARAM_ROLLOUT_", "schedule", "freeze", "agent", "concentrators"]
)


@settings(max_examples=400, deadline=None)
@given(keys=st.dictionaries(NAMES, ANYTHING | LIKELY | st.lists(LIKELY, max_size=2), max_size=8), strict=st.booleans())
def test_whatever_the_values_are_the_answer_is_a_document_or_a_document_error(
    keys: dict[str, Any], strict: bool
) -> None:
    try:
        read = read_document(json.dumps({**REQUIRED, **keys}).encode(), strict=strict)
    except DocumentError:
        return
    on = {job.action for job in read.config.schedule if job.enabled}
    assert "schedule" in keys or "shutdown_endpoint" not in on


@settings(max_examples=50, deadline=None)
@given(keys=st.sets(st.sampled_from(sorted(SECRET_KEYS))), secret=st.text("0123456789abcdef", min_size=16, max_size=16))
def test_no_note_no_error_and_no_masked_document_shows_a_secret(keys: set[str], secret: str) -> None:
    written = {**REQUIRED, **dict.fromkeys(keys, secret), "TIMEZONE": "nowhere"}
    with pytest.raises(DocumentError) as refused:
        read_document(json.dumps(written).encode(), strict=True)
    _, notes = translate(written)
    assert secret not in f"{refused.value}{notes}{masked(written)}"
