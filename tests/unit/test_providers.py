"""Provider files: typed, with errors that name file and key, and no action name that the catalogue does not know."""

from decimal import Decimal

import pytest

from runtime.domain.data_files import DataFault
from runtime.domain.providers import Provider, check_names, parse_provider, provider_of

WHERE = "providers/acme/provider.yaml"
NAMES = {
    "shutdown_endpoint": "shutdown_endpoint",
    "pdv_shutdown": "shutdown_endpoint",
    "diagnose_env": "diagnose_env",
}
MINIMAL = "id: acme\ndisplay_name: Acme\n"


def test_a_provider_needs_little_and_starts_at_zero_percent() -> None:
    assert parse_provider(MINIMAL, WHERE) == Provider(id="acme", display_name="Acme", default_rollout=Decimal(0))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("display_name: Acme", "id"),
        ("id: Acme!\ndisplay_name: Acme", "id"),
        (MINIMAL + "default_rollout: 101", "default_rollout"),
        (MINIMAL + "default_rollout: 0.001", "default_rollout"),
        (MINIMAL + "roles: {boss: [PDV]}", "roles.boss"),
        (MINIMAL + "roles: {checkout: ['.*']}", "roles.checkout[0]"),
        (MINIMAL + "actions: {Ping Me: diagnose_env}", "actions.Ping Me"),
        (MINIMAL + "assets: {template: ../../etc/shadow}", "assets.template"),
        (MINIMAL + "assets: {template: /etc/shadow}", "assets.template"),
        (MINIMAL + "rollout: 5", "rollout"),
        (MINIMAL + "overrides: [1]", "overrides"),
        ("- id: acme", ""),
        ("", ""),
        ("id: acme\nid: acme", ""),
        ("id: [acme", ""),
        ("id: 2020-13-45\nx: 2020-13-45", ""),
        ("id: !!python/object/apply:os.system ['true']", ""),
        ("a: &a [*a]", ""),
        ("id: acme\ndisplay_name: &n Acme\nroles: {checkout: [*n]}", ""),
    ],
)
def test_a_bad_file_is_named_with_its_key(text: str, key: str) -> None:
    with pytest.raises(DataFault) as fault:
        parse_provider(text, WHERE)
    assert (fault.value.where, fault.value.key) == (WHERE, key)
    assert str(fault.value).startswith(f"{WHERE}: {key}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[" * 100_000, "40 levels deep, line 1", id="a tower of brackets, which ends libyaml's process"),
        pytest.param("a:\n" + "- " * 100_000, "40 levels deep, line 2", id="a tower of dashes"),
        pytest.param("? " * 50_000, "40 levels deep", id="a tower of keys"),
        pytest.param("id: acme\nn: 1" + "0" * 30, "64 bits", id="a number beyond 64 bits"),
        pytest.param("id: acme\nn: " + "9" * 5000, "not readable", id="a number of thousands of digits"),
        pytest.param("id: acme\nn: .inf", "finite", id="infinity"),
        pytest.param("a: &a [x]\nb: *a", "a reference (*a), line 2", id="a reference"),
        pytest.param("#" * 2_000_000, "at most 1048576", id="too large"),
    ],
)
def test_a_file_beyond_a_bound_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(DataFault) as fault:
        parse_provider(text, WHERE)
    assert says in fault.value.problem


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("actions: {acme_ping: ping}", "actions.acme_ping", 'unknown action "ping"'),
        (
            "actions: {acme_off: pdv_shutdown}",
            "actions.acme_off",
            '"pdv_shutdown" is an alias; write "shutdown_endpoint"',
        ),
        ("actions: {pdv_shutdown: diagnose_env}", "actions.pdv_shutdown", "is already a name of shutdown_endpoint"),
        ("overrides: {shutdown_endpoint: nothing}", "overrides.shutdown_endpoint", 'unknown action "nothing"'),
        ("overrides: {nothing: diagnose_env}", "overrides.nothing", 'unknown action "nothing"'),
    ],
)
def test_a_provider_names_only_actions_that_exist(text: str, key: str, problem: str) -> None:
    with pytest.raises(DataFault) as fault:
        check_names(parse_provider(MINIMAL + text, WHERE), NAMES, WHERE)
    assert (fault.value.key, fault.value.problem) == (key, problem)


def test_names_that_exist_pass() -> None:
    text = "actions: {acme_off: shutdown_endpoint, pdv_shutdown: shutdown_endpoint}\noverrides: {shutdown_endpoint: diagnose_env}"

    check_names(parse_provider(MINIMAL + text, WHERE), NAMES, WHERE)


@pytest.mark.parametrize(
    ("tags", "configured", "provider"),
    [
        ({}, "arius", "arius"),
        ({}, "", "arius"),
        ({}, "zanthus", "zanthus"),
        ({"provider": "zanthus"}, "arius", "zanthus"),
        ({"Provider": " Zanthus "}, "arius", "zanthus"),
        ({"provider": "  "}, "zanthus", "zanthus"),
        ({"role": "zanthus"}, "arius", "arius"),
    ],
)
def test_a_hosts_provider_is_its_tag_then_the_networks_then_arius(
    tags: dict[str, str], configured: str, provider: str
) -> None:
    assert provider_of(tags.items(), configured) == provider
