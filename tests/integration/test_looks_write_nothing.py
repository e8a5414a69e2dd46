"""Looking writes nothing, proven: every observe script, busy check and the engine's probe, on a tree that notes every write.

What runs here comes from the registry and from `providers/`: a new action or provider is covered without a word in this file.
"""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.action_names import default_at
from contracts.config import NetworkConfig
from demo.terminals.profiles import load
from runtime.actions.registry import ACTIONS, registered
from runtime.adapters import assets
from runtime.domain import script
from runtime.domain.action import Action
from runtime.engine import probe
from runtime.engine.terminal import variables_of
from tests.harness.action_cases import cases
from tests.harness.fixtures import StartTerminal
from tests.harness.need import need_program
from tests.harness.systems import System, mint, slackware, ubuntu
from tests.harness.terminals import Account, TerminalSpec
from tests.harness.tripwire import SHELLS, Ground, of_profile, of_system, trace
from tests.integration.proxy import Proxy

MARKER = "tripwire"
CONFIG = NetworkConfig.model_validate({"network": "ACME", "inventory": {"kind": "static"}})
PROVIDERS = assets.load(assets.find_root(), registered().names).providers
AVAILABLE = [action for action in ACTIONS if action.available]
PROFILES = {terminal.profile.system.about: terminal for terminal in load()}
SYSTEMS: Mapping[str, System] = {
    "slackware-13.0": slackware("13.0"),
    "slackware-14.2": slackware("14.2"),
    "mint-17.3": mint("17.3", "rosa", ubuntu("14.04", "trusty")),
    "ubuntu-24.04": ubuntu("24.04", "noble"),
}
KINDS = (*PROFILES, *SYSTEMS)


def given(action: Action, required: set[str]) -> dict[str, Any]:
    """Values for these parameters, from the first of the action's cases that has them all."""
    if not required:
        return {}
    found = next((case.params for case in cases(action.name).values() if required <= case.params.keys()), None)
    assert found is not None, f"{action.name}: no case in tests/cases/actions gives {', '.join(sorted(required))}"
    return {name: found[name] for name in required}


def variants(action: Action) -> Iterator[dict[str, str]]:
    """The action's parameters with every switch off and with every switch on, as variables of its script."""
    fields = action.params.model_fields
    base = {name: default_at(CONFIG, path) for name, path in action.defaults.items()}
    required = [name for name, field in fields.items() if field.is_required() and name not in base]
    base |= given(action, set(required))
    switches = [name for name, field in fields.items() if field.annotation is bool]
    for on in (False, True):
        yield variables_of(action.params.model_validate({**base, **dict.fromkeys(switches, on)}))


def looks(action: Action, busy: Mapping[str, str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What one round trip of the engine carries, for each variant of the parameters and each provider's busy check."""
    checks = {"": "", **{name: text for name, text in busy.items() if text and action.effect != "read"}}
    for number, values in enumerate(variants(action)):
        for provider, text in checks.items():
            sections = [("facts", probe.SCRIPT)]
            sections += [("busy", text)] if text else []
            sections += [("observe", script.assignments(values) + action.observe)] if action.observe else []
            yield f"{action.name} {number} {provider}".strip(), sections


def scripts(busy: Mapping[str, str], *, elevated: bool) -> dict[str, bytes]:
    return {
        name: script.render(sections, MARKER, 30)
        for action in AVAILABLE
        if elevated or not action.needs_root
        for name, sections in looks(action, busy)
    }


BUSY = {name: provider.busy_check for name, provider in PROVIDERS.items()}


@pytest.fixture(scope="module", params=KINDS)
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("ground")
    if request.param in SYSTEMS:
        return of_system(folder, SYSTEMS[request.param])
    return of_profile(folder, PROFILES[request.param])


@pytest.mark.parametrize("shell", SHELLS)
def test_no_observe_script_writes_anything_on_any_system(ground: Ground, shell: str, tmp_path: Path) -> None:
    ways = [(0, True)]
    if shell in ("dash", "busybox"):  # on a tree that refuses writes, and for a login that is not root
        ways += [(0, False), (1000, True)]
    for uid, writable in ways:
        given = scripts(BUSY, elevated=uid == 0)
        for name, found in trace(
            ground, tmp_path / f"{uid}{writable}", shell, given, uid=uid, writable=writable
        ).items():
            assert found.touched == (), f"{name} wrote"
            assert "Read-only file system" not in found.errors, f"{name} tried to write: {found.errors}"
            answer = script.parse(found.output, MARKER, ("facts", "busy", "observe"))
            assert answer.complete, f"{name}: {found}"
            assert set(answer.codes.values()) == {0}, f"{name}: {answer}"
            probe.parse_probe(answer.sections["facts"])


WRITES = {
    "a new file": "echo x >/tmp/seen",
    "a file that comes and goes": "echo x >/var/tmp/seen; rm /var/tmp/seen",
    "an append": "echo x >>/etc/passwd",
    "a mode": "chmod 600 /etc/passwd",
    "a time": "touch /etc/timezone 2>/dev/null || touch /etc/issue",
    "a removal": "rm -f /etc/localtime",
    "a link": "ln -s /etc/passwd /run/seen",
    "among the programs": "mkdir /usr/share/seen",
    "in silence": "echo x >/root/seen 2>/dev/null || :",
}


@pytest.mark.parametrize("how", WRITES)
def test_a_busy_check_that_writes_is_caught(how: str, tmp_path: Path) -> None:
    ground = of_system(tmp_path / "ground", SYSTEMS["slackware-14.2"])
    given = scripts({"house": WRITES[how]}, elevated=True)
    found = trace(ground, tmp_path / "work", "dash", given)
    caught = [name for name, one in found.items() if one.touched]
    assert caught[0].endswith(" house")


@pytest.mark.parametrize("action", AVAILABLE, ids=lambda action: action.name)
def test_no_observe_script_has_a_bashism(action: Action) -> None:
    check = [need_program("shellcheck", "shellcheck"), "--shell=sh", "--severity=warning", "--exclude=SC2034", "-"]
    for name, sections in looks(action, BUSY):
        text = script.render(sections, MARKER, 30)
        done = subprocess.run(check, input=text, capture_output=True, check=False)
        assert done.stdout.decode() == "", name


def test_a_bashism_is_found() -> None:
    check = [need_program("shellcheck", "shellcheck"), "--shell=sh", "--severity=warning", "--exclude=SC2034", "-"]
    text = script.render([("observe", 'if [[ -n $HOME ]]; then echo "a"; fi')], MARKER, 30)
    assert b"SC3010" in subprocess.run(check, input=text, capture_output=True, check=False).stdout


def test_a_dry_run_of_every_action_leaves_a_real_terminal_as_it_was(
    shared_terminal: StartTerminal, tmp_path: Path
) -> None:
    """Over a real sshd, by the real command line; the terminal's zone is another one, so there is something to change."""
    terminal = shared_terminal(
        TerminalSpec(
            hostname="dry",
            accounts=(Account("root", password="terminal"),),
            files={"/etc/timezone": "Asia/Tokyo\n"},
        )
    )
    always = [{"start": "00:00", "end": "23:59:59.999999"}]
    document = {
        "network": "SHOP",
        "inventory": {
            "kind": "static",
            "hosts": [{"name": "SHOP-LOJA001-PDV201", "address": terminal.address, "port": terminal.port}],
        },
        "credentials": [{"id": "root", "user": "root", "password": "terminal"}],
        "ssh": {"allowed_networks": [f"{terminal.address}/32"]},
        "compatibility": {"mode": "off"},
        "actions": {"shutdown_endpoint": {"params": {"windows": always}}},
    }
    proxy = Proxy(tmp_path, document)
    proxy.run("test_endpoint_connection", "--host", "SHOP-LOJA001-PDV201")  # the first login leaves its own traces
    before = terminal.listing()
    for action in AVAILABLE:
        fields = action.params.model_fields
        required = {name for name, field in fields.items() if field.is_required()} - set(action.defaults)
        params = [f"--param={name}={value}" for name, value in given(action, required).items()]
        said = proxy.run(action.name, "--host", "SHOP-LOJA001-PDV201", *params, "--dry-run", "--output", "json")
        expected = {"ok done"} if action.effect == "read" else {"ok done", "would_change dry_run"}
        assert said.outcomes.keys() == {"SHOP-LOJA001-PDV201"}, said
        assert set(said.outcomes.values()) <= expected, said
    assert terminal.listing() == before
    assert terminal.alive()
