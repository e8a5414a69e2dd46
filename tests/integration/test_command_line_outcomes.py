"""Every outcome, every exit code and nearly every reason of the contract, produced by the real command line on terminals.

One table: what is played, and what must come of it. `test_the_table_is_complete` holds it against the contract.
"""

import contextlib
import datetime as dt
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runtime.domain.model import Outcome, Reason
from tests.harness.need import need_root
from tests.harness.ports import LOOPBACK, free_port
from tests.harness.process import wait_until
from tests.harness.workdir import in_memory, workdir
from tests.integration.proxy import (
    LONG_S,
    REPOSITORY,
    WAITS,
    ZONE,
    Going,
    Proxy,
    Said,
    Shop,
    product_root,
    program,
    shop,
    till,
    verdict,
)

TIMEZONE = "update_endpoint_timezone"
EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 130}
OLD_KEX = "key exchange: diffie-hellman-group14-sha1,diffie-hellman-group1-sha1"
OLD_SERVER = f"{OLD_KEX}; host key: ssh-rsa; cipher: aes128-cbc,3des-cbc"
# internal: only a mistake of ours makes it. read_only: test_lasting.py has a real root.
# password_expired, login_refused, login_question: test_ssh_dialogues.py has logins that ask and refuse.
UNSEEN = {
    *(("failed", "internal"), ("failed", "read_only")),
    *(("unreachable", reason) for reason in ("password_expired", "login_refused", "login_question")),
    *(("failed", reason) for reason in ("password_expired", "login_question")),
    ("skipped", "no_lease"),  # of jobs alone; tests/e2e/test_leases.py
}

# Providers' busy checks, each for a till of its name: one that says so, one that fails, one that hangs, and one under which the
# till goes down.
BUSY = {
    "selling": "echo sale 4711 is open",
    "moody": "exit 7",
    "asleep": "sleep 600",
    "fragile": "echo off >/dev/initctl; sleep 60",
}

# The order is that of their numbers, in which a run starts them.
TILLS = (
    till("hung", behaviour="hangs"),
    *(till(name, files=WAITS) for name in ("held", "job", "interrupted", "hurried", "stopped", "cancelled", "killed")),
    *(till(name, files=WAITS) for name in ("late", "slow", "full")),
    till("wrong", "ubuntu-22.04", user="pdv", auth="key", privilege="nopasswd"),
    till("old", "slackware-13.37"),
    till("strange", "tillos"),
    till("below", "tillos", files={"/etc/os-release": {"text": "ID=tillos\nVERSION_ID=9\n"}}),
    till("off", behaviour="off"),
    till("locked", user="pdv", privilege="password", behaviour="wrong_password"),
    till("flood", behaviour="flood"),
    till("no-sudo", "ubuntu-22.04", user="pdv", privilege="none"),
    till("zanthus", provider="zanthus"),
    till("office", hostname="SHOP-LOJA001-CONCENTRADOR", role="concentrator"),
    till("crashes", files=program("/usr/local/bin/mv", "echo off >/dev/initctl; sleep 60")),
    till("stuck", files=program("/usr/local/bin/mv", "exit 0")),
    till("broken", files=program("/usr/local/bin/mv", "echo disk is full; exit 3")),
    till("night"),
    *map(till, BUSY),
    till("plan"),
    till("right", zone=ZONE),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a play: exit code, host name → verdict, and why nothing was run."""

    code: int
    hosts: Mapping[str, str]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a play is played: the shop, and a folder of its own for the proxy, which is closed with `stack`."""

    shop: Shop
    folder: Path
    stack: contextlib.ExitStack

    def proxy(self, *tills: str, root: Path = REPOSITORY, **parts: Any) -> Proxy:
        return self.proxy_with(self.shop.document(*tills, **parts), root)

    def proxy_with(self, document: dict[str, Any] | None, root: Path = REPOSITORY) -> Proxy:
        proxy = Proxy(self.folder, document, root=root)
        self.stack.callback(proxy.close)
        return proxy

    def run(self, tills: Sequence[str], *arguments: str, **parts: Any) -> Seen:
        return seen(self.proxy(*tills, **parts).run(*arguments, "--output", "json"))


Play = Callable[[Scene], Seen]


@dataclass(frozen=True, slots=True)
class Case:
    """``hosts``: till (or host name) → verdict; ``root``: whether it can only be played by root."""

    play: Play
    code: int
    hosts: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    root: bool = False


def seen(said: Said) -> Seen:
    """Of `--output json`."""
    assert "Traceback" not in said.stderr
    if "hosts" not in said.json:
        assert said.json["exit_code"] == said.code
        return Seen(said.code, {}, said.json["error"]["reason"])
    return Seen(said.code, said.outcomes)


def streamed(said: Said) -> Seen:
    """Of `--output ndjson`; the last line tells of the whole run."""
    assert "Traceback" not in said.stderr
    *hosts, run = said.events
    assert (run["type"], run["exit_code"]) == ("run", said.code)
    return Seen(said.code, {event["host"]["name"]: verdict(event) for event in hosts})


def plain(*tills: str, **parts: Any) -> Callable[..., Play]:
    """A play of one command on a proxy with this configuration."""
    return lambda *arguments: lambda scene: scene.run(tills, *arguments, **parts)


# -- plays that take more than one command


def a_night_in_the_shop(scene: Scene) -> Seen:
    """One run over every kind of terminal in a shop; no terminal's failure affects another."""
    strangers = ("off", "hung", "locked", "flood", "no-sudo", "zanthus", "office", "crashes", "stuck", "broken")
    off = scene.shop.host("off")
    hosts = (  # none of these is contacted; at one address they would be one machine with the rules of all
        {**off, "name": "SHOP-LOJA009-PDV1", "address": "127.77.9.1"},
        {**off, "name": "SHOP-LOJA001-PDV991", "address": "127.77.9.2"},
        {**off, "name": "SHOP-LOJA001-PDV992", "address": "127.1.1.1"},
        {**off, "name": "OTHER-LOJA001-PDV993", "address": "127.77.9.3"},
        {**off, "name": "SHOP-LOJA001-PDV994", "address": "127.77.9.4", "credential": None},
    )
    document = scene.shop.document(
        *("wrong", "old", "right", "strange", "below", *strangers),
        hosts=hosts,
        ssh={"connect_timeout": 15},
        rollout={"arius": {"percent": 100, "never": ["SHOP-LOJA001-PDV991"]}},
        freeze=[{"id": "inventory", "start": "2020-01-01T00:00", "end": "2090-01-01T00:00", "stores": [9]}],
        compatibility={"mode": "enforce", "rows": [_row("tillos", "==9.*", "L3")]},
    )
    for credential in document["credentials"]:
        credential["match_hosts"] = ["nobody"]
    return seen(scene.proxy_with(document).run(TIMEZONE, "--all", "--output", "json"))


def _row(distro: str, versions: str, level: str) -> dict[str, Any]:
    return {"distro": distro, "versions": versions, "arch": ["x86_64"], "level": level}


def a_reinstalled_till(scene: Scene) -> Seen:
    """Another machine answers under the name; `hosts rekey` heals it."""
    name, proxy = scene.shop.name("right"), scene.proxy("right")
    assert proxy.run("test_endpoint_connection", "--host", name).code == 0
    other = scene.shop.host("plan", name=name)
    proxy.configure(scene.shop.document(hosts=[other]))
    changed = seen(proxy.run("test_endpoint_connection", "--host", name, "--output", "json"))
    assert proxy.run("hosts", "rekey", name).code == 0
    assert proxy.run("test_endpoint_connection", "--host", name).code == 0
    return changed


def two_runs_on_one_host(scene: Scene) -> Seen:
    """The second leaves it alone; looking is still allowed."""
    proxy = scene.proxy("held")
    first = proxy.start(TIMEZONE, "--all", "--output", "json")
    scene.shop.wait_reached("held")
    second = seen(proxy.run(TIMEZONE, "--all", "--output", "json"))
    assert proxy.run("test_endpoint_privilege").code == 0
    scene.shop.let_go("held")
    assert seen(first.ended()) == Seen(0, {scene.shop.name("held"): "changed confirmed"})
    return second


def one_job_twice(scene: Scene) -> Seen:
    proxy = scene.proxy(
        "job", schedule=[{"id": "zone", "action": TIMEZONE, "cron": "0 3 * * *", "selector": {"all": True}}]
    )
    first = proxy.start("run", TIMEZONE, "--job", "zone", "--output", "json")
    scene.shop.wait_reached("job")
    second = seen(proxy.run("run", TIMEZONE, "--job", "zone", "--output", "json"))
    scene.shop.let_go("job")
    assert seen(first.ended()) == Seen(0, {scene.shop.name("job"): "changed confirmed"})
    return second


def power_off(scene: Scene) -> Seen:
    params = {"windows": [{"start": "00:00", "end": "23:59:59.999999"}]}
    proxy = scene.proxy("night", "right", actions={"shutdown_endpoint": {"params": params}})
    return seen(proxy.run("shutdown_endpoint", "--host", scene.shop.name("night"), "--output", "json"))


def a_job_past_its_deadline(scene: Scene) -> Seen:
    job = {"id": "night", "action": TIMEZONE, "cron": "50 1 * * *", "not_after": "02:30", "selector": {"all": True}}
    planned = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    arguments = ("--job", "night", "--planned", planned.isoformat(), "--output", "json")
    return seen(scene.proxy("right", schedule=[job]).run("run", TIMEZONE, *arguments))


def _stoppable(scene: Scene, *tills: str, parallel: int = 1) -> tuple[Proxy, Going]:
    """A run in the middle of a stage at the last but one of these; the last is not begun."""
    proxy = scene.proxy(*tills, ssh={"parallel": parallel})
    going = proxy.start(TIMEZONE, "--all", "--output", "ndjson")
    scene.shop.wait_reached(tills[-2])
    return proxy, going


def _heard(going: Going, text: str) -> None:
    wait_until(lambda: text in going.so_far.stderr, within=LONG_S, what=f"{text!r} on stderr")


def interrupted(scene: Scene) -> Seen:
    """Ctrl-C: the one at work finishes its stage and goes no further, the others are not begun; the second cuts the rest."""
    _, going = _stoppable(scene, "hung", "interrupted", "right", parallel=2)
    going.signal(signal.SIGINT)
    _heard(going, "stopping")
    scene.shop.let_go("interrupted")
    wait_until(lambda: len(going.so_far.events) == 2, within=LONG_S, what="the host at work and the one not begun")
    going.signal(signal.SIGINT)
    return streamed(going.ended())


def interrupted_twice(scene: Scene) -> Seen:
    """The second Ctrl-C cuts the one at work in its stage."""
    _, going = _stoppable(scene, "hurried", "right")
    going.signal(signal.SIGINT)
    _heard(going, "stopping")
    going.signal(signal.SIGINT)
    ended = streamed(going.ended())
    scene.shop.let_go("hurried")
    return ended


def terminated(scene: Scene) -> Seen:
    _, going = _stoppable(scene, "stopped", "right")
    going.signal(signal.SIGTERM)
    _heard(going, "stopping")
    scene.shop.let_go("stopped")
    return streamed(going.ended())


def cancelled_by_another_process(scene: Scene) -> Seen:
    proxy, going = _stoppable(scene, "cancelled", "right")
    (run,) = proxy.run("runs", "--output", "json").json
    assert (run["state"], run["open"]) == ("running", 2)
    assert proxy.run("cancel", run["run_id"], "--output", "json").json["result"] == "signalled"
    _heard(going, "cancelled by")
    scene.shop.let_go("cancelled")
    return streamed(going.ended())


def killed(scene: Scene) -> Seen:
    """`kill -9`: the next command closes what is open, and the outbox has all of it."""
    proxy, going = _stoppable(scene, "killed", "right")
    going.signal(signal.SIGKILL)
    assert going.ended().code == -signal.SIGKILL
    (run,) = proxy.run("runs", "--output", "json").json
    scene.shop.let_go("killed")
    told = proxy.run("runs", run["run_id"], "--output", "json").json
    assert (told["state"], told["open"]) == ("finished", 0)
    sent = proxy.rows("SELECT kind, count(*) FROM outbox GROUP BY kind ORDER BY kind")
    assert sent == [("host_result", 2), ("run_finished", 1), ("run_started", 1)]
    return Seen(told["exit_code"], {host["name"]: verdict(host["result"]) for host in told["results"]})


def in_use(scene: Scene) -> Seen:
    """Tills whose providers look whether they are in use."""
    root = product_root(scene.folder / "product", **BUSY)
    hosts = [scene.shop.host(name, provider=name) for name in BUSY]
    document = scene.shop.document(hosts=hosts, ssh={"command_timeout": 8})
    return seen(scene.proxy_with(document, root).run(TIMEZONE, "--all", "--output", "json"))


def swapped_addresses(scene: Scene) -> Seen:
    """Two tills answer at each other's address, before any key is known."""
    right, night = scene.shop.name("right"), scene.shop.name("night")
    hosts = [scene.shop.host("right", name=night), scene.shop.host("night", name=right)]
    return seen(scene.proxy_with(scene.shop.document(hosts=hosts)).run(TIMEZONE, "--all", "--output", "json"))


def lost_keys(scene: Scene) -> Seen:
    """The state with its pinned keys was lost in part: first use is not trusted until an operator says so."""
    proxy = scene.proxy("right")
    assert proxy.run("test_endpoint_connection").code == 0
    for path in (proxy.data / "state.db", proxy.data / "keepsake.jsonl"):
        assert path.exists()
        path.write_bytes(b"garbage" * 100)
    blocked = seen(proxy.run("test_endpoint_connection", "--output", "json"))
    assert proxy.run("hosts", "rekey", "--all").code == 0
    assert proxy.run("test_endpoint_connection").code == 0
    return blocked


def a_full_disk(scene: Scene) -> Seen:
    """What cannot be recorded is not done; the next command reports what was done, once there is space again."""
    with workdir("full-disk") as folder:
        proxy = scene.proxy("full", "right", ssh={"parallel": 1})
        proxy.use_data(in_memory(folder / "data", "4m"))
        going = proxy.start(TIMEZONE, "--all", "--output", "json")
        scene.shop.wait_reached("full")
        ballast = folder / "data" / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        scene.shop.let_go("full")
        said = going.ended()
        assert said.json["error"]["reason"] == "state_full"
        ballast.unlink()
        (run,) = proxy.run("runs", "--output", "json").json
        assert (run["state"], run["outcomes"]) == ("finished", {"unknown": 1, "cancelled": 1})
    return seen(said)


def without_zabbix(scene: Scene) -> Seen:
    inventory = {"kind": "zabbix", "url": f"http://{LOOPBACK}:{free_port()}", "token": "t", "timeout": 2}
    return seen(scene.proxy(inventory=inventory).run("diagnose_env", "--output", "json"))


def without_configuration(scene: Scene) -> Seen:
    return seen(scene.proxy_with(None).run("diagnose_env", "--output", "json"))


CASES: dict[str, Case] = {
    "a night in the shop": Case(
        a_night_in_the_shop,
        1,
        {
            "wrong": "changed confirmed",
            "old": "changed confirmed",
            "right": "ok done",
            "strange": "blocked compat_unknown",
            "below": "blocked compat_below_minimum",
            "off": "unreachable refused_connection",
            "hung": "unreachable timeout",
            "locked": "unreachable auth_failed",
            "flood": "failed bad_facts:flood",
            "no-sudo": "failed privilege_denied",
            "zanthus": "skipped rollout_excluded",
            "office": "skipped protected_role",
            "crashes": "unknown connection_lost:zone",
            "stuck": "failed not_converged:zone",
            "broken": "failed step_failed:zone",
            "SHOP-LOJA009-PDV1": "skipped frozen:inventory",
            "SHOP-LOJA001-PDV991": "skipped rollout_excluded",
            "SHOP-LOJA001-PDV992": "blocked outside_allowed_networks",
            "OTHER-LOJA001-PDV993": "unreachable no_address",
            "SHOP-LOJA001-PDV994": "unreachable no_credential",
        },
    ),
    "only skipped": Case(
        plain("zanthus", "office")(TIMEZONE, "--all"),
        0,
        {"zanthus": "skipped rollout_excluded", "office": "skipped protected_role"},
    ),
    "a dry-run": Case(
        plain("plan", "right")(TIMEZONE, "--all", "--dry-run"), 0, {"plan": "would_change dry_run", "right": "ok done"}
    ),
    "nothing old, nobody new": Case(
        plain("old", "right", ssh={"legacy_algorithms": "refuse", "first_use": "refuse"})("diagnose_env"),
        1,
        {"old": f"unreachable no_common_algorithm:{OLD_SERVER}", "right": "blocked host_key_unknown:ssh-ed25519"},
    ),
    "a reinstalled till": Case(a_reinstalled_till, 1, {"right": "blocked host_key_changed:ssh-ed25519 -> ssh-ed25519"}),
    "swapped addresses": Case(
        swapped_addresses, 1, dict.fromkeys(("right", "night"), "blocked host_identity_unclear:another_host")
    ),
    "lost keys": Case(lost_keys, 1, {"right": "blocked host_key_unknown"}),
    "two runs on one host": Case(two_runs_on_one_host, 0, {"held": "skipped host_locked"}),
    "a zone that the till does not have": Case(
        plain("right")(TIMEZONE, "--all", "--param", "timezone=Asia/Tokyo"),
        1,
        {"right": "failed check_failed:no_zone_file"},
    ),
    "in use": Case(
        in_use,
        1,
        {
            "selling": "skipped terminal_busy",
            "moody": "skipped terminal_busy",
            "asleep": "failed deadline:observe",
            "fragile": "unreachable connection_lost",
        },
    ),
    "the host's deadline": Case(
        plain("hung", "late", ssh={"host_deadline": 10})(TIMEZONE, "--all"),
        1,
        {"hung": "failed deadline", "late": "unknown deadline:zone"},
    ),
    "the command's deadline": Case(
        plain("slow", ssh={"command_timeout": 8})(TIMEZONE, "--all"), 1, {"slow": "unknown deadline:zone"}
    ),
    "the run's deadline": Case(
        plain("hung", "right", ssh={"parallel": 1, "connect_timeout": 8, "run_deadline": 4})(TIMEZONE, "--all"),
        1,
        {"hung": "unreachable timeout", "right": "failed deadline"},
    ),
    "power off": Case(power_off, 0, {"night": "changed confirmed"}),
    "a job past its deadline": Case(a_job_past_its_deadline, 0, {"right": "skipped refused:not_after"}),
    "interrupted": Case(interrupted, 130, dict.fromkeys(("hung", "interrupted", "right"), "cancelled operator")),
    "interrupted twice": Case(interrupted_twice, 1, {"hurried": "unknown killed:zone", "right": "cancelled operator"}),
    "terminated": Case(terminated, 130, dict.fromkeys(("stopped", "right"), "cancelled stopped")),
    "cancelled by another process": Case(
        cancelled_by_another_process, 130, dict.fromkeys(("cancelled", "right"), "cancelled operator")
    ),
    "killed": Case(killed, 1, {"killed": "unknown killed:zone", "right": "cancelled not_started"}),
    "a full disk": Case(
        a_full_disk, 1, {"full": "failed not_recorded:state_full", "right": "cancelled stopped"}, root=True
    ),
    "one job twice": Case(one_job_twice, 6, refusal="job_still_running"),
    "no host": Case(plain("right")("diagnose_env", "--loja", "77"), 5, refusal="no_host_matched"),
    "no Zabbix": Case(without_zabbix, 4, refusal="zabbix_unreachable"),
    "no configuration": Case(without_configuration, 3, refusal="no_configuration"),
    "no such action": Case(plain("right")("dance"), 2, refusal="unknown_action"),
}


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Seen]]]:
    """The plays that were asked for, several at a time: most of their time is waiting."""
    wanted = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    folder = tmp_path_factory.mktemp("shop")
    with shop(folder, *TILLS) as tills, contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        yield {
            name: pool.submit(CASES[name].play, Scene(tills, tmp_path_factory.mktemp("proxy"), stack))
            for name in CASES
            if name in wanted
        }


@pytest.mark.parametrize("case", CASES)
def test_the_command_line_shows_the_outcome_of_every_host(case: str, plays: dict[str, Future[Seen]]) -> None:
    expected = CASES[case]
    if expected.root:
        need_root(case)
    got = plays[case].result()
    names = {entry["id"]: number for number, entry in enumerate(TILLS, start=1)}
    hosts = {_name(name, names): said for name, said in expected.hosts.items()}
    assert got == Seen(expected.code, hosts, expected.refusal)


def _name(till: str, numbers: Mapping[str, int]) -> str:
    if till == "office":
        return "SHOP-LOJA001-CONCENTRADOR"
    return f"SHOP-LOJA001-PDV{200 + numbers[till]}" if till in numbers else till


def documented() -> set[tuple[str, str]]:
    """(outcome, reason) as the table in docs/architecture.md has them; what stands in brackets there explains a reason."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (`.*?) \| (?:0|1|130) \|$", text, re.MULTILINE)
    pairs = set()
    for outcomes, reasons in rows:
        named, because = (re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cell)) for cell in (outcomes, reasons))
        one_each = len(named) > 1
        pairs |= set(zip(named, because, strict=True)) if one_each else {(named[0], reason) for reason in because}
    return pairs


def test_the_table_is_complete() -> None:
    said = {tuple(verdict.split(":")[0].split(" ")) for case in CASES.values() for verdict in case.hosts.values()}
    assert said == documented() - UNSEEN
    assert {outcome for outcome, _ in documented()} == set(Outcome)
    assert {reason for _, reason in documented()} == set(Reason)
    assert {case.code for case in CASES.values()} == EXIT_CODES
