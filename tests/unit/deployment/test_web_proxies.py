"""Through which HTTP proxy a host's containers go: one rule, for whatever names one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.web_proxy import LOOPBACK, PRIVATE
from runtime.deployment.engine import EngineFacts
from runtime.deployment.environment import WebProxySettings, read_settings
from runtime.deployment.web_proxies import decide, found_by_installer
from tests.unit.deployment.support import FACTS

OF_FILE = "http://proxy.file:3128"
OF_ENGINE = "http://proxy.engine:3128"
ENGINE = replace(FACTS, https_proxy=OF_ENGINE, http_proxy=OF_ENGINE, no_proxy="registry.local,.corp")


def settings(**keys: str) -> WebProxySettings:
    lines = "".join(f"FLAGEEMONITOR_{key}={value}\n" for key, value in keys.items())
    return read_settings(f"FLAGEEMONITOR_IMAGE=registry.example/proxy\n{lines}".encode(), "proxy").web_proxies


@pytest.mark.parametrize(
    ("keys", "facts", "https", "source"),
    [
        ({}, FACTS, "", ""),
        ({}, ENGINE, OF_ENGINE, "engine"),
        ({"HTTPS_PROXY": OF_FILE}, FACTS, OF_FILE, "environment_file"),
        ({"HTTPS_PROXY": OF_FILE}, ENGINE, OF_FILE, "environment_file"),
        ({"HTTP_PROXY": OF_FILE}, ENGINE, "", "environment_file"),
        ({"HTTPS_PROXY": "none"}, ENGINE, "", ""),
        ({"NO_PROXY": ".own"}, ENGINE, OF_ENGINE, "engine"),
    ],
)
def test_the_file_counts_and_then_the_engine(keys: dict[str, str], facts: EngineFacts, https: str, source: str) -> None:
    found = decide(settings(**keys), facts)
    assert (found.environment().get("HTTPS_PROXY", ""), found.source) == (https, source)


def test_this_host_and_private_networks_are_asked_directly_unless_that_is_not_wanted() -> None:
    usual = decide(settings(HTTPS_PROXY=OF_FILE, NO_PROXY=".own"), ENGINE)
    assert usual.environment()["NO_PROXY"] == ",".join((*LOOPBACK, *PRIVATE, ".own"))
    behind = decide(settings(HTTPS_PROXY=OF_FILE, PROXY_PRIVATE="yes"), ENGINE)
    assert behind.environment()["NO_PROXY"] == ",".join(LOOPBACK)
    engine = decide(settings(NO_PROXY=".own"), ENGINE)
    assert engine.outbound.direct[-3:] == (".own", "registry.local", ".corp")


def test_a_container_without_an_http_proxy_gets_no_variable() -> None:
    assert decide(settings(NO_PROXY=".own"), FACTS).environment() == {}


def test_a_login_is_in_no_variable_and_no_report() -> None:
    found = decide(settings(HTTPS_PROXY="http://user:hunter2@proxy.file:3128"), FACTS)
    assert "hunter2" not in repr(found) + str(found.environment()) + str(found.report())
    assert {place: login.reveal() for place, login in found.logins().items()} == {"proxy.file:3128": "user:hunter2"}
    report = found.report()
    assert report is not None
    assert (report["https"], report["login"]) == (OF_FILE, True)


def test_a_login_that_the_engine_hides_is_asked_for_and_never_guessed() -> None:
    masked = "http://xxxxx:xxxxx@proxy.engine:3128"
    hidden = replace(FACTS, https_proxy=masked, http_proxy=masked)
    found = decide(settings(), hidden)
    assert found.environment() == {}
    [note] = found.notes
    assert "FLAGEEMONITOR_HTTPS_PROXY=http://user:password@proxy.engine:3128" in note
    assert decide(settings(HTTPS_PROXY=OF_FILE), hidden).notes == ()


def test_docker_desktop_s_own_relay_of_its_engine_is_no_http_proxy_of_a_company() -> None:
    relay = "http.docker.internal:3128"
    desktop = replace(FACTS, https_proxy=relay, http_proxy=relay, no_proxy="hubproxy.docker.internal")
    found = decide(settings(), desktop)
    assert (found.environment(), found.source, found.notes) == ({}, "", ())
    assert decide(settings(HTTPS_PROXY=OF_FILE), desktop).notes == ()


def test_an_engine_s_http_proxy_that_we_cannot_use_is_named() -> None:
    [note] = decide(settings(), replace(FACTS, https_proxy="socks5://proxy:1080")).notes
    assert "SOCKS" in note
    assert "FLAGEEMONITOR_HTTPS_PROXY" in note


def test_it_is_said_that_pulls_go_by_the_engine_s_own_settings() -> None:
    [note] = decide(settings(HTTPS_PROXY=OF_FILE), FACTS).notes
    assert "images are pulled by the engine" in note
    assert decide(settings(HTTPS_PROXY=OF_FILE), ENGINE).notes == ()


@pytest.mark.parametrize(
    ("environ", "there", "written"),
    [
        ({}, {}, {}),
        ({"HTTPS_PROXY": OF_FILE}, {}, {"HTTPS_PROXY": OF_FILE}),
        ({"https_proxy": OF_FILE, "HTTPS_PROXY": OF_ENGINE}, {}, {"HTTPS_PROXY": OF_FILE}),
        ({"https_proxy": "proxy.file:3128"}, {}, {"HTTPS_PROXY": OF_FILE}),
        ({"https_proxy": "http://user:pw@proxy.file:3128"}, {}, {"HTTPS_PROXY": "http://user:pw@proxy.file:3128"}),
        ({"http_proxy": OF_FILE, "no_proxy": "a.b, .c"}, {}, {"HTTP_PROXY": OF_FILE, "NO_PROXY": "a.b,.c"}),
        ({"http_proxy": OF_FILE, "no_proxy": "a.b"}, {"NO_PROXY": ".own"}, {"HTTP_PROXY": OF_FILE}),
        ({"no_proxy": "a.b"}, {}, {}),
        ({"HTTPS_PROXY": OF_FILE}, {"HTTPS_PROXY": "none"}, {}),
        ({"HTTPS_PROXY": OF_FILE}, {"HTTP_PROXY": OF_ENGINE}, {}),
    ],
)
def test_the_installation_keeps_what_only_its_caller_knows(
    environ: dict[str, str], there: dict[str, str], written: dict[str, str]
) -> None:
    found = found_by_installer(environ, {f"FLAGEEMONITOR_{key}": value for key, value in there.items()})
    assert found == {f"FLAGEEMONITOR_{key}": value for key, value in written.items()}


def test_a_variable_of_the_caller_that_cannot_be_used_is_named_without_its_value() -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY in the environment is a SOCKS proxy") as refused:
        found_by_installer({"HTTPS_PROXY": "socks5://u:hunter2@p:1"}, {})
    assert "hunter2" not in str(refused.value)


def test_all_proxy_counts_where_no_other_variable_names_an_http_proxy() -> None:
    written = {"FLAGEEMONITOR_HTTPS_PROXY": OF_FILE, "FLAGEEMONITOR_HTTP_PROXY": OF_FILE}
    assert found_by_installer({"ALL_PROXY": OF_FILE}, {}) == written
    assert found_by_installer({"all_proxy": OF_FILE, "no_proxy": ".corp"}, {}) == {
        **written,
        "FLAGEEMONITOR_NO_PROXY": ".corp",
    }
    # As a desktop's settings name all of them.
    mixed = {"all_proxy": "socks5://p:1", "HTTPS_PROXY": OF_ENGINE}
    assert found_by_installer(mixed, {}) == {"FLAGEEMONITOR_HTTPS_PROXY": OF_ENGINE}
    assert found_by_installer({"ALL_PROXY": "socks5://p:1"}, {"FLAGEEMONITOR_HTTPS_PROXY": "none"}) == {}
    with pytest.raises(ValueError, match="ALL_PROXY in the environment is a SOCKS proxy") as refused:
        found_by_installer({"ALL_PROXY": "socks5h://u:hunter2@p:1"}, {})
    assert "hunter2" not in str(refused.value)
