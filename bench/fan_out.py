"""Cold fan-out of `test_endpoint_connection` beside ansible-core raw, pyinfra and ssh2-python. Run by `python -m bench fan_out`.

Everybody visits the same real OpenSSH servers on loopback, 32 at a time, with the same private key, pins host keys on first use,
and runs the very script that our action sends. Every round each client visits one host, then all of them: what the second costs
more than the first is the price of a further host, without what a program needs to start. Clients take turns, so that other
work on the machine weighs on all alike.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import report
from bench.targets import Target, targets
from runtime.core import probe, script
from tests.harness.ssh_offer import key_pair

HOSTS = 100
ROUNDS = 3
PARALLEL = 32
NETWORK = "BENCH"
EXPECTED = "facts=end"
REPOSITORY = Path(__file__).resolve().parents[1]
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


@dataclass(slots=True)
class Client:
    """``goal``: how many times as fast as this one we want to be. Seconds and CPU seconds by number of hosts, of every round."""

    name: str
    prepare: Callable[[Visit], Command]
    goal: float | None = None
    seconds: dict[int, list[float]] = field(default_factory=dict)
    cpu: dict[int, list[float]] = field(default_factory=dict)

    def visit(self, visit: Visit) -> None:
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
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # so that nobody waits for it again
        said, complained = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
        answers = command.count_answers(said, complained) if command.count_answers else len(visit.hosts)
        if process.returncode or answers != len(visit.hosts):
            raise SystemExit(
                f"{self.name}: exit {process.returncode}, {answers} answers\n{said[-2000:]}\n{complained[-2000:]}"
            )
        self.seconds.setdefault(len(visit.hosts), []).append(seconds)
        self.cpu.setdefault(len(visit.hosts), []).append(used.ru_utime + used.ru_stime)

    def rate(self, hosts: int) -> float:
        """Hosts/s of the whole command."""
        return hosts / statistics.median(self.seconds[hosts])

    def further(self, hosts: int) -> float:
        """Hosts/s beyond the first."""
        return (hosts - 1) / (statistics.median(self.seconds[hosts]) - statistics.median(self.seconds[1]))

    def cpu_ms(self, hosts: int) -> float:
        """CPU milliseconds a host, of the whole command."""
        return statistics.median(self.cpu[hosts]) / hosts * 1000

    def further_cpu_ms(self, hosts: int) -> float:
        """CPU milliseconds of a host beyond the first."""
        return (statistics.median(self.cpu[hosts]) - statistics.median(self.cpu[1])) / (hosts - 1) * 1000


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def ours(empty_state: Path) -> Callable[[Visit], Command]:
    """The console script with a static inventory. ``empty_state``: a local state that exists, and knows no host."""

    def prepare(visit: Visit) -> Command:
        config, data = visit.folder / "config", visit.folder / "data"
        config.mkdir()
        shutil.copytree(empty_state, data)
        (config / "config_bot.json").write_text(json.dumps(_document(visit)))
        argv = (_beside_python(OURS), "test_endpoint_connection", "--all", "--output", "json")
        return Command(argv, _settings(config, data), lambda said, _: int(json.loads(said)["summary"].get("ok", 0)))

    return prepare


def make_empty_state(folder: Path) -> Path:
    """A proxy sets its local state up once in its life, so that is no part of a visit."""
    data = folder / "data"
    environment = {**_environment(), **_settings(folder, data)}
    subprocess.run([_beside_python(OURS), "runs"], env=environment, check=True, capture_output=True)
    return data


def _settings(config: Path, data: Path) -> dict[str, str]:
    return {
        "FLAGEEMONITOR_CONFIG_PATH": str(config),
        "FLAGEEMONITOR_DATA_PATH": str(data),
        "FLAGEEMONITOR_ROOT": str(REPOSITORY),
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


def _beside_python(program: str) -> Path:
    return Path(sys.executable).parent / program


def install_peers() -> None:
    """The peers have an environment of their own, made on first use: what they need must not meet what the product needs."""
    wanted, done = REPOSITORY / "requirements/bench.txt", PEERS / ".done"
    if done.exists() and done.read_bytes() == wanted.read_bytes():
        return
    print("Installing the peers (once) ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS], check=True)
    pip = [PEERS / "bin/pip", "install", "-q", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    subprocess.run([*pip, "-r", wanted], check=True)
    done.write_bytes(wanted.read_bytes())


def main(hosts: int = HOSTS, rounds: int = ROUNDS) -> None:
    """Measure and print."""
    install_peers()
    clients: list[Client] = []
    look = script.render([("facts", probe.SCRIPT), ("observe", "")], "bench", 60).decode()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        key = key_pair(folder)
        clients = [
            Client(OURS, ours(make_empty_state(folder))),
            Client("ssh2-python, threads", ssh2_python, goal=0.85),
            Client("pyinfra exec", pyinfra, goal=1.4),
            Client("ansible raw", ansible, goal=5),
        ]
        with targets(hosts, key.public) as visited:
            for number in range(rounds):
                for size in (1, hosts):
                    for client in clients:
                        place = folder / f"{number}-{size}-{clients.index(client)}"
                        place.mkdir()
                        client.visit(Visit(visited[:size], key.path, look, place))
    _print(clients, hosts, rounds)


def _print(clients: Sequence[Client], hosts: int, rounds: int) -> None:
    us = clients[0]
    report.table(
        f"Cold fan-out to {hosts} hosts, {PARALLEL} at a time, medians of {rounds}",
        (
            "client",
            "ours : it",
            "goal",
            "a further host, ours : it",
            "hosts/s",
            "further hosts/s",
            "CPU ms a host",
            "further",
        ),
        [
            (
                client.name,
                report.ratio(us.rate(hosts) / client.rate(hosts)),
                "" if client.goal is None else f">= {client.goal:g}",
                report.ratio(us.further(hosts) / client.further(hosts)),
                f"{client.rate(hosts):.1f}",
                f"{client.further(hosts):.1f}",
                f"{client.cpu_ms(hosts):.1f}",
                f"{client.further_cpu_ms(hosts):.1f}",
            )
            for client in clients
        ],
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
