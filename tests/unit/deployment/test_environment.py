"""The environment file: which lines are accepted, and that a problem is reported with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.image_reference import familiar, parse_reference
from runtime.deployment.environment import read_settings
from runtime.deployment.environment_lines import IGNORED_KEYS, KNOWN_KEYS, LEGACY_KEYS, parse, restored, set_aside
from runtime.deployment.results import DeployError

GOOD = "FLAGEEMONITOR_IMAGE=registry.example/proxy:stable\n"
TOKEN = "tok-3f9a-secret"


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"", {}),
        (b"# only a remark\n\n   \n", {}),
        (b"TZ=UTC", {"TZ": "UTC"}),
        (b"\xef\xbb\xbfTZ=UTC\r\n", {"TZ": "UTC"}),
        (b"TZ =UTC", {}),
        (b"TZ=  UTC \t\r\n", {"TZ": "UTC"}),
        (b"FLAGEEMONITOR_TOKEN=a=b#c d\n", {"FLAGEEMONITOR_TOKEN": "a=b#c d"}),
        (b"FLAGEEMONITOR_REDE=\n", {}),
        (b"ARIUSMONITOR_REDE=old\n", {"FLAGEEMONITOR_REDE": "old"}),
        (b"ARIUSMONITOR_REDE=old\nFLAGEEMONITOR_REDE=new\n", {"FLAGEEMONITOR_REDE": "new"}),
        (b"ARIUSMONITOR_REDE=old\nFLAGEEMONITOR_REDE=\n", {"FLAGEEMONITOR_REDE": "old"}),
        (b"ARIUSMONITOR_API_URL=https://x/\n", {"FLAGEEMONITOR_API_BASE": "https://x/"}),
        ("FLAGEEMONITOR_REDE=São José\n".encode(), {"FLAGEEMONITOR_REDE": "São José"}),
    ],
)
def test_a_value_is_the_trimmed_rest_of_its_line(raw: bytes, values: dict[str, str]) -> None:
    assert parse(raw).values == values


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"TZ=UTC\n\nTZ=UTC\n", "line 3: TZ is given twice, first in line 1"),
        (b"PATH=/bin\n", "line 1: PATH is not a known key"),
        (b"just words\n", "line 1: no KEY=value"),
        (b"export TZ=UTC\n", "line 1: write TZ=value, with nothing before the key and no space around ="),
        (b" TZ=UTC\n", "line 1: write TZ=value, with nothing before the key and no space around ="),
        (b"TZ=UTC\nFLAGEEMONITOR_REDE=\xff\n", "line 2: not UTF-8"),
        (b"FLAGEEMONITOR_REDE=a\x00b\n", "line 1: FLAGEEMONITOR_REDE: a control character in the value"),
        (b"FLAGEEMONITOR_REDE=a\rTZ=b\n", "line 1: FLAGEEMONITOR_REDE: a control character in the value"),
    ],
)
def test_a_problem_is_reported_with_its_line(raw: bytes, problem: str) -> None:
    assert parse(raw).problems == (problem,)


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        (b"FLAGEEMONITOR_IMGE=x\n", "line 1: FLAGEEMONITOR_IMGE is not a known key; did you mean FLAGEEMONITOR_IMAGE?"),
        (
            b"TZ=UTC\nFLAGEEMONITOR_THAT_NOBODY_HAS_THOUGHT_OF=x\n",
            "line 2: FLAGEEMONITOR_THAT_NOBODY_HAS_THOUGHT_OF is not a known key",
        ),
    ],
)
def test_a_key_that_a_later_release_may_know_is_noted_and_has_no_effect(raw: bytes, note: str) -> None:
    assert (parse(raw).problems, parse(raw).unknown) == ((), (note,))
    assert note.partition(": ")[2] in read_settings(GOOD.encode() + raw, "proxy").notes[0]


def test_a_misspelt_key_is_named_where_the_right_one_is_missing() -> None:
    with pytest.raises(DeployError, match="FLAGEEMONITOR_IMAGE is missing; line 1: FLAGEEMONITOR_IMGE is not a known"):
        read_settings(b"FLAGEEMONITOR_IMGE=registry.example/proxy\n", "proxy")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_keys_that_an_older_image_refuses_are_set_aside_and_come_back(end: bytes, mark: bytes) -> None:
    first = b"TZ=UTC", GOOD.strip().encode(), b"FLAGEEMONITOR_REDE=acme"
    later = (
        b"FLAGEEMONITOR_UPDATE_WINDOW=02:00-05:00",
        b"FLAGEEMONITOR_HTTPS_PROXY=http://user:pw@proxy:3128",
        b"FLAGEEMONITOR_OF_2031=x",
    )
    raw = mark + end.join((later[0], *first, *later[1:], b"# a remark")) + end
    fitting, keys = set_aside(raw)
    assert keys == tuple(line.partition(b"=")[0].decode() for line in later)
    active = [line for line in fitting.split(end) if line and not line.startswith(b"#")]
    assert active == list(first)
    assert read_settings(fitting, "proxy") == read_settings(raw, "proxy")  # this release knows them either way
    assert restored(fitting) == raw.removeprefix(mark)
    assert set_aside(fitting) == (fitting, ())


@pytest.mark.parametrize("raw", [b"", GOOD.encode(), f"# note\n{GOOD}TZ=UTC\n".encode()])
def test_a_file_of_the_first_release_stays_as_it_is(raw: bytes) -> None:
    assert (set_aside(raw), restored(raw)) == ((raw, ()), raw)


@pytest.mark.parametrize(
    ("text", "address", "login"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None),
        ("http://proxy.example:3128/", "http://proxy.example:3128", None),
        ("proxy.example:3128", "http://proxy.example:3128", None),
        ("https://10.0.0.9:8443", "https://10.0.0.9:8443", None),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", None),
        ("http://user:pw@proxy.example:3128", "http://proxy.example:3128", "user:pw"),
        ("http://user:p%40word@proxy", "http://proxy:80", "user:p%40word"),
        ("http://user:p@ss@proxy:3128", "http://proxy:3128", "user:p@ss"),
    ],
)
def test_an_http_proxy_is_read_and_its_login_is_apart(text: str, address: str, login: str | None) -> None:
    found = read_settings(f"{GOOD}FLAGEEMONITOR_HTTPS_PROXY={text}\n".encode(), "proxy").web_proxies
    assert found.https is not None
    assert (found.given, found.https.address, found.http) == (True, address, None)
    assert (found.https.login.reveal() if found.https.login else None) == login
    assert login is None or login not in repr(found)


def test_without_a_key_the_file_says_nothing_of_http_proxies_and_none_says_that_there_is_none() -> None:
    assert read_settings(GOOD.encode(), "proxy").web_proxies.given is False
    none = read_settings(f"{GOOD}FLAGEEMONITOR_HTTPS_PROXY=none\n".encode(), "proxy").web_proxies
    assert (none.given, none.https) == (True, None)


def test_without_automatic_updates_nobody_misses_a_watchtower() -> None:
    settings = read_settings(f"{GOOD}FLAGEEMONITOR_AUTO_UPDATE=no\n".encode(), "proxy")
    assert settings.auto_update is False
    assert "FLAGEEMONITOR_WATCHTOWER_INTERVAL" not in settings.environment


@given(st.binary(max_size=300))
def test_parsing_never_raises(raw: bytes) -> None:
    file = parse(raw)
    assert file.values.keys() <= set(KNOWN_KEYS)
    assert file.lines.keys() == file.values.keys()


@given(
    st.dictionaries(
        st.sampled_from([*KNOWN_KEYS, *LEGACY_KEYS, *IGNORED_KEYS]),
        st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))),
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_written_values_are_read_back(values: dict[str, str], end: str, mark: bool) -> None:
    text = ("\ufeff" if mark else "") + "".join(f"{key}={value}{end}" for key, value in values.items())
    file = parse(text.encode())
    assert file.problems == ()
    for key, value in values.items():
        if key in KNOWN_KEYS and value.strip():
            assert file.values[key] == value.strip()


def test_absent_keys_have_defaults() -> None:
    settings = read_settings(GOOD.encode(), "proxy")
    assert str(settings.image) == "registry.example/proxy:stable"
    assert str(settings.watchtower_image) == "containrrr/watchtower:1.7.1"
    assert (settings.interval, settings.docker_network, settings.token) == (300, "bridge", None)
    assert settings.environment == {
        "FLAGEEMONITOR_RUNTIME_NAME": "proxy",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "300",
    }


def test_the_token_is_never_printed() -> None:
    settings = read_settings(f"{GOOD}FLAGEEMONITOR_TOKEN={TOKEN}\n".encode(), "proxy")
    assert settings.token is not None
    assert settings.token.reveal() == TOKEN
    assert TOKEN not in repr(settings)
    with pytest.raises(DeployError) as failed:
        read_settings(f"FLAGEEMONITOR_TOKEN={TOKEN}\nFLAGEEMONITOR_TOKEN={TOKEN}\x01\n".encode(), "proxy")
    assert TOKEN not in failed.value.message


@pytest.mark.parametrize(
    "line",
    [
        "FLAGEEMONITOR_API_BASE=https://control.example/api/ingest",
        "FLAGEEMONITOR_API_BASE=http://127.0.0.1:8080/api/ingest",
        "FLAGEEMONITOR_API_BASE=http://[::1]:8080/api/ingest",
        "FLAGEEMONITOR_API_BASE=http://control.example\nFLAGEEMONITOR_INSECURE=plain-http",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL=30",
        "FLAGEEMONITOR_RUNTIME_NAME=proxy",
        "FLAGEEMONITOR_CONFIG_PATH=/flageemonitor/config/config_bot.json",
        "FLAGEEMONITOR_CONFIG_PATH=/flageemonitor/config_bot.json",
        "ARIUSMONITOR_CONFIG_PATH=/ariusmonitor/config_bot.json",
        "FLAGEEMONITOR_REDE=ACME-2.b_c",
        f"FLAGEEMONITOR_TOKEN={TOKEN}",
        "FLAGEEMONITOR_TOKEN=fm1.0123456789ab.A-Z_a-z0123456789",
        "FLAGEEMONITOR_TOKEN=c29tZSB0b2tlbg+/~==",
        "FLAGEEMONITOR_CA_PATH=/flageemonitor/config/ca.pem",
        "FLAGEEMONITOR_AGENT_ID=01890a5d-ac96-774b-bcce-b302099a8057",
        "FLAGEEMONITOR_DOCKER_NETWORK=host",
        "DOCKER_HOST=unix:///run/user/1000/docker.sock",
        "TZ=America/Sao_Paulo",
        "RUN_MODE=daemon",
        "FLAGEEMONITOR_NO_PROXY=localhost, .example.com,10.0.0.0/8,fd00::/8,*.corp,host:8080",
        "FLAGEEMONITOR_PROXY_PRIVATE=yes",
        "FLAGEEMONITOR_AUTO_UPDATE=yes",
        "FLAGEEMONITOR_UPDATE_WINDOW=02:00-05:00",
        "FLAGEEMONITOR_UPDATE_WINDOW=23:30-00:30",
    ],
)
def test_a_valid_line_is_accepted(line: str) -> None:
    read_settings(f"{GOOD}{line}\n".encode(), "proxy")


@pytest.mark.parametrize(
    "line",
    [
        "FLAGEEMONITOR_API_BASE=http://control.example",
        "FLAGEEMONITOR_API_BASE=control.example",
        "FLAGEEMONITOR_API_BASE=https://user:word@control.example",
        "FLAGEEMONITOR_CONFIG_URL=ftp://control.example",
        "FLAGEEMONITOR_API_BASE=https://[::1",
        "FLAGEEMONITOR_INSECURE=yes",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL=29",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL=5m",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL=99999999",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL=٣٠٠",
        "FLAGEEMONITOR_WATCHTOWER_IMAGE=Not An Image",
        "FLAGEEMONITOR_RUNTIME_NAME=other",
        "FLAGEEMONITOR_CONFIG_PATH=/etc",
        "FLAGEEMONITOR_DATA_PATH=/",
        "FLAGEEMONITOR_CA_PATH=/flageemonitor/config/../../etc/shadow",
        "FLAGEEMONITOR_TOKEN_FILE=/etc/token",
        "FLAGEEMONITOR_AGENT_ID=me",
        "FLAGEEMONITOR_DOCKER_NETWORK=container:other",
        "FLAGEEMONITOR_DOCKER_NETWORK=none",
        "FLAGEEMONITOR_LOG_FORMAT=xml",
        "DOCKER_HOST=tcp://10.0.0.1:2375",
        "TZ=Sao_Paulo",
        'TZ="America/Sao_Paulo"',
        "TZ=../../etc/passwd",
        "RUN_MODE=candidate",
        'FLAGEEMONITOR_REDE="ACME"',
        "FLAGEEMONITOR_REDE=AC ME;$(reboot)",
        "FLAGEEMONITOR_REDE=São José",
        "FLAGEEMONITOR_REDE=-ACME",
        f"FLAGEEMONITOR_REDE={'A' * 65}",
        "ARIUSMONITOR_REDE='ACME'",
        f'FLAGEEMONITOR_TOKEN="{TOKEN}"',
        f"FLAGEEMONITOR_TOKEN=Bearer {TOKEN}",
        f"FLAGEEMONITOR_TOKEN={TOKEN};$(reboot)",
        f"ARIUSMONITOR_TOKEN='{TOKEN}'",
        "FLAGEEMONITOR_HTTPS_PROXY=socks5://proxy:1080",
        f"FLAGEEMONITOR_HTTPS_PROXY=http://user:{TOKEN}@proxy:0",
        f"FLAGEEMONITOR_HTTP_PROXY=http://user:{TOKEN}@",
        "FLAGEEMONITOR_HTTPS_PROXY=http://proxy:3128/path",
        "FLAGEEMONITOR_HTTPS_PROXY=http://proxy:99999",
        "FLAGEEMONITOR_HTTPS_PROXY=http://pro xy:3128",
        "FLAGEEMONITOR_NO_PROXY=localhost;10.0.0.1",
        "FLAGEEMONITOR_PROXY_PRIVATE=1",
        "FLAGEEMONITOR_AUTO_UPDATE=off",
        "FLAGEEMONITOR_UPDATE_WINDOW=2:00-5:00",
        "FLAGEEMONITOR_UPDATE_WINDOW=02:00-02:00",
        "FLAGEEMONITOR_UPDATE_WINDOW=02:00-24:00",
        "FLAGEEMONITOR_UPDATE_WINDOW=02:00-02:04",
        f"FLAGEEMONITOR_STATSD=statsd://user:{TOKEN}@agent:8125",
        "FLAGEEMONITOR_STATSD=agent:8125",
        "FLAGEEMONITOR_OTLP=collector:4318",
    ],
)
def test_an_invalid_line_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(DeployError) as failed:
        read_settings(f"{GOOD}{line}\n".encode(), "proxy")
    assert (failed.value.reason, failed.value.exit_code) == ("bad_environment", 2)
    assert "line 2" in failed.value.message
    assert TOKEN not in failed.value.message + failed.value.advice


def test_the_ways_out_for_events_reach_the_runtime() -> None:
    lines = {"FLAGEEMONITOR_STATSD": "dogstatsd://agent:8125", "FLAGEEMONITOR_OTLP": "http://10.0.0.5:4318"}
    raw = GOOD + "".join(f"{key}={value}\n" for key, value in lines.items())
    assert lines.items() <= read_settings(raw.encode(), "proxy").environment.items()


@pytest.mark.parametrize("line", ['TZ="UTC"', 'FLAGEEMONITOR_REDE="ACME"', f"FLAGEEMONITOR_TOKEN='{TOKEN}'"])
def test_quotes_around_a_value_are_reported(line: str) -> None:
    with pytest.raises(DeployError, match="quotes are not taken off"):
        read_settings(f"{GOOD}{line}\n".encode(), "proxy")


def test_first_generation_keys_about_its_container_have_no_effect_and_are_noted() -> None:
    theirs = (
        "FLAGEEMONITOR_CONTAINER_ROOT=/flageemonitor\nFLAGEEMONITOR_CONFIG_CONF=/flageemonitor/config_bot.conf\n"
        "FLAGEEMONITOR_CONFIG_PATH=/flageemonitor/config_bot.json\nARIUSMONITOR_CONFIG_REFRESH=true\n"
    )
    settings = read_settings(f"{GOOD}{theirs}".encode(), "proxy")
    assert settings.environment == read_settings(GOOD.encode(), "proxy").environment
    assert [note.partition(" is of the first generation")[0] for note in settings.notes] == [
        "line 2: FLAGEEMONITOR_CONTAINER_ROOT",
        "line 3: FLAGEEMONITOR_CONFIG_CONF",
        "line 5: ARIUSMONITOR_CONFIG_REFRESH",
    ]
    assert read_settings(GOOD.encode(), "proxy").notes == ()


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(DeployError) as failed:
        read_settings(b"TZ=Nowhere/There\nFLAGEEMONITOR_REED=x\n", "proxy")
    assert all(word in failed.value.message for word in ("TZ", "FLAGEEMONITOR_REED", "FLAGEEMONITOR_IMAGE is missing"))


@pytest.mark.parametrize("name", ["", "Proxy", "-x", "a b", "a/b", "x" * 41, "x-watchtower", "x-candidate", "$(id)"])
def test_an_invalid_runtime_name_is_refused(name: str) -> None:
    with pytest.raises(DeployError, match="runtime-name"):
        read_settings(GOOD.encode(), name)


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "read", "registry"),
    [
        ("proxy", "proxy:latest", "docker.io"),
        ("acme/proxy:1", "acme/proxy:1", "docker.io"),
        ("docker.io/acme/proxy:1", "acme/proxy:1", "docker.io"),
        ("docker.io/library/proxy:1", "proxy:1", "docker.io"),
        ("registry.example/acme/proxy:1", "registry.example/acme/proxy:1", "registry.example"),
        ("localhost/proxy", "localhost/proxy:latest", "localhost"),
        ("127.0.0.1:5000/proxy:stable", "127.0.0.1:5000/proxy:stable", "127.0.0.1:5000"),
        (f"registry.example/proxy@{DIGEST}", f"registry.example/proxy@{DIGEST}", "registry.example"),
        (f"registry.example/proxy:1@{DIGEST}", f"registry.example/proxy:1@{DIGEST}", "registry.example"),
    ],
)
def test_references_are_read_as_the_engine_reads_them(text: str, read: str, registry: str) -> None:
    reference = parse_reference(text)
    assert (str(reference), reference.registry) == (read, registry)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text", ["", "-x", "Proxy", "a//b", "a:", "a:b:c", "a@sha256:1", "a b", "a:-x", "/a", "a/", "x" * 600, "a\n"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        parse_reference(text)


def test_a_digest_takes_the_tag_s_place() -> None:
    assert str(parse_reference("r.example/p:stable").at(DIGEST)) == f"r.example/p@{DIGEST}"
    assert familiar("index.docker.io/library/p") == "p"
