"""Cold fan-out of `test_endpoint_connection` beside ansible-core raw, pyinfra and ssh2-python. Run by `python -m bench fan_out`.

Everybody visits the same real OpenSSH servers on loopback, 32 at a time, with the same private key, pins host keys on first use,
and runs the very script that our action sends. Every round each client visits one host, then all of them: what the second costs
more than the first is the price of the further hosts, without what a program needs to start. Clients take turns, so that other
work on the machine weighs on all alike; ratios are made within a round.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import checkouts, report
from bench.checkouts import REPOSITORY
from bench.targets import Target, targets
from runtime.domain import script
from runtime.engine import probe
from tests.harness.ssh_offer import key_pair

HOSTS = 100
ROUNDS = 5
PARALLEL = 32
LIMIT_S = 300.0  # for a client that hangs
SETTLE_S = 1.0  # what a visit leaves on the terminals is gone by then
NETWORK = "BENCH"
EXPECTED = "facts=end"
PEERS = REPOSITORY / ".venv-bench"
OURS = "flageemonitor-run"

ANSIBLE_CFG = """\
[defaults]
forks = {parallel}
host_key_checking = True
interpreter_python = auto_silent
private_key_file = {key}
local_tmp = {folder}/tmp
[ssh_connection]
usetty = False
# A connection kept for later would be the peer's cost without its gain: nobody comes back.
ssh_args = -F none -C -o ControlMaster=no -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={folder}/known_hosts
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One client's visit of ``hosts``, from nothing: ``folder`` is new and empty."""

    hosts: Sequence[Target]
    key: Path
    look: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Command:
    """What a client is started with. ``count_answers``: how many hosts answered, by its output; None: its exit status tells."""

    argv: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    count_answers: Callable[[str, str], int] | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one visit: how long it took, and the client's own CPU time with that of its children."""

    wall: float
    cpu: float


@dataclass(slots=True)
class Client:
    """``goal``: how many times as fast as this one we want to be. ``alone``, ``many``: visits of one and all hosts, by round."""

    name: str
    prepare: Callable[[Visit], Command]
    goal: str = ""
    alone: list[Spent] = field(default_factory=list)
    many: list[Spent] = field(default_factory=list)

    @property
    def walls(self) -> list[float]:
        """Seconds of the whole run, by round."""
        return [spent.wall for spent in self.many]

    @property
    def further_walls(self) -> list[float]:
        """Seconds of all hosts but the first, by round."""
        return [many.wall - alone.wall for alone, many in zip(self.alone, self.many, strict=True)]

    @property
    def cpus(self) -> list[float]:
        """CPU seconds of the whole run, by round."""
        return [spent.cpu for spent in self.many]

    @property
    def further_cpus(self) -> list[float]:
        """CPU seconds of all hosts but the first, by round."""
        return [many.cpu - alone.cpu for alone, many in zip(self.alone, self.many, strict=True)]

    def visit(self, visit: Visit) -> Spent:
        """Raises SystemExit unless every host answered."""
        command = self.prepare(visit)
        paths = [visit.folder / "stdout", visit.folder / "stderr"]
        with paths[0].open("wb") as out, paths[1].open("wb") as err:
            started = time.perf_counter()
            process = subprocess.Popen(
                command.argv,
                env={**_environment(), **command.environment},
                cwd=visit.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            limit = threading.Timer(LIMIT_S, process.kill)
            limit.start()
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)  # so that nobody waits for it again
        said, complained = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
        answers = command.count_answers(said, complained) if command.count_answers else len(visit.hosts)
        if process.returncode or answers != len(visit.hosts):
            raise SystemExit(
                f"{self.name}: exit {process.returncode}, {answers} answers\n{said[-2000:]}\n{complained[-2000:]}"
            )
        return Spent(seconds, used.ru_utime + used.ru_stime)


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def ours(checkout: Path, empty_state: Path) -> Callable[[Visit], Command]:
    """The console script of a checkout with a static inventory. ``empty_state``: is made, and holds a local state without hosts.

    A proxy sets its local state up once in its life, so that is no part of a visit.
    """
    program = checkouts.program(checkout, OURS)
    empty_state.mkdir()
    environment = {**_environment(), **_settings(checkout, empty_state, empty_state)}
    subprocess.run([program, "runs"], env=environment, check=True, capture_output=True)

    def prepare(visit: Visit) -> Command:
        config, data = visit.folder / "config", visit.folder / "data"
        config.mkdir()
        shutil.copytree(empty_state, data)
        (config / "config_bot.json").write_text(json.dumps(_document(visit)))
        argv = (program, "test_endpoint_connection", "--all", "--output", "json")
        settings = _settings(checkout, config, data)
        return Command(argv, settings, lambda said, _: int(json.loads(said)["summary"].get("ok", 0)))

    return prepare


def _settings(checkout: Path, config: Path, data: Path) -> dict[str, str]:
    return {
        "FLAGEEMONITOR_CONFIG_PATH": str(config),
        "FLAGEEMONITOR_DATA_PATH": str(data),
        "FLAGEEMONITOR_ROOT": str(checkout),
    }


def _document(visit: Visit) -> dict[str, object]:
    hosts = [{"name": host.name, "address": host.address, "port": host.port} for host in visit.hosts]
    return {
        "schema_version": 2,
        "network": NETWORK,
        "inventory": {"kind": "static", "hosts": hosts},
        "credentials": [{"id": "bench", "user": visit.hosts[0].user, "private_key": visit.key.read_text()}],
        "ssh": {"allowed_networks": ["127.0.0.0/8"], "parallel": PARALLEL},
    }


def ansible(visit: Visit) -> Command:
    lines = [
        f"{host.name} ansible_host={host.address} ansible_port={host.port} ansible_user={host.user}\n"
        for host in visit.hosts
    ]
    inventory, settings, variables = (visit.folder / name for name in ("hosts.ini", "ansible.cfg", "variables.yml"))
    inventory.write_text("".join(lines))
    settings.write_text(ANSIBLE_CFG.format(parallel=PARALLEL, key=visit.key, folder=visit.folder))
    variables.write_text(f"look: !unsafe {json.dumps(visit.look)}\n")  # no template, whatever is in it
    argv = (PEERS / "bin/ansible", "all", "-i", inventory, "-m", "raw", "-a", " {{ look }}", "-e", f"@{variables}")
    return Command(argv, {"ANSIBLE_CONFIG": str(settings)}, lambda said, _: said.count(EXPECTED))


def pyinfra(visit: Visit) -> Command:
    common = {"ssh_key": str(visit.key), "ssh_known_hosts_file": str(visit.folder / "known_hosts")}
    hosts = [
        (host.name, {"ssh_hostname": host.address, "ssh_port": host.port, "ssh_user": host.user, **common})
        for host in visit.hosts
    ]
    inventory = visit.folder / "inventory.py"
    inventory.write_text(f"hosts = {hosts!r}\n")
    (visit.folder / "known_hosts").touch()
    argv = (PEERS / "bin/pyinfra", "-y", "--parallel", str(PARALLEL), inventory, "exec", "--", visit.look)
    return Command(argv, count_answers=lambda _, complained: complained.count("] Success"))


def ssh2_python(visit: Visit) -> Command:
    job = visit.folder / "job.json"
    hosts = [{"address": host.address, "port": host.port, "user": host.user} for host in visit.hosts]
    wanted = {"key": str(visit.key), "command": visit.look, "parallel": PARALLEL, "expected": EXPECTED}
    job.write_text(json.dumps({"hosts": hosts, **wanted}))
    return Command((PEERS / "bin/python", REPOSITORY / "bench/peers/ssh2_python.py", job))


def install_peers() -> None:
    """The peers have an environment of their own, made on first use: what they need must not meet what the product needs."""
    wanted, done = REPOSITORY / "requirements/bench.txt", PEERS / ".done"
    if done.exists() and done.read_bytes() == wanted.read_bytes():
        return
    print("Installing the peers (once) ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS], check=True)
    pip: list[str | Path] = [
        PEERS / "bin/pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-input",
        "--require-hashes",
    ]
    subprocess.run([*pip, "-r", wanted], check=True)
    done.write_bytes(wanted.read_bytes())


def main(hosts: int = HOSTS, rounds: int = ROUNDS, *, before: Path | None = None) -> None:
    """Measure and print. ``before``: an earlier checkout, whose run takes turns with ours."""
    install_peers()
    look = script.render([("facts", probe.SCRIPT)], "bench", 60).decode()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        key = key_pair(folder)
        clients = [
            Client(OURS, ours(REPOSITORY, folder / "state")),
            *([Client(f"{OURS}, {before.name}", ours(before, folder / "earlier-state"))] if before else ()),
            Client("ssh2-python, 32 threads", ssh2_python, goal="0.85 further"),
            Client("pyinfra exec", pyinfra, goal="1.4"),
            Client("ansible raw, 32 forks", ansible, goal="5"),
        ]
        with targets(hosts, key.public) as visited:
            for number in range(rounds):
                for client in clients if number % 2 else reversed(clients):
                    for visits, size in ((client.alone, 1), (client.many, hosts)):
                        place = folder / f"{number}-{clients.index(client)}-{size}"
                        place.mkdir()
                        visits.append(client.visit(Visit(visited[:size], key.path, look, place)))
                        time.sleep(SETTLE_S)
    _print(clients, hosts, rounds)


def _print(clients: Sequence[Client], hosts: int, rounds: int) -> None:
    us, rows = clients[0], []
    for client in clients:
        both = [(client.walls, us.walls), (client.further_walls, us.further_walls)]
        both += [(client.cpus, us.cpus), (client.further_cpus, us.further_cpus)]
        ratios = (report.ratio(median(their / our for their, our in zip(*pair, strict=True))) for pair in both)
        rates = (hosts / median(client.walls), (hosts - 1) / median(client.further_walls))
        costs = (median(client.cpus) / hosts * 1000, median(client.further_cpus) / (hosts - 1) * 1000)
        rows.append((client.name, *ratios, client.goal, *(f"{value:.1f}" for value in (*rates, *costs))))
    ratios_of = ("time, x ours", "further", "CPU, x ours", "further")
    columns = ("client", *ratios_of, "goal", "hosts/s", "further", "CPU ms a host", "further")
    report.table(f"Cold fan-out to {hosts} hosts, {PARALLEL} at a time, medians of {rounds} rounds", columns, rows)


if __name__ == "__main__":
    main(*[int(text) for text in sys.argv[1:3]])
