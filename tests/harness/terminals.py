"""Real terminals: a small Debian with sshd under a real init, each in its own namespaces with its own address.

Called by tests that need a host to reach, change and shut down. A terminal is a thin layer over the shared root, so it
starts in well under a second (with systemd in two), and whatever happens inside ends with it: `shutdown -h now` takes it
down and nothing else.
"""

import contextlib
import hashlib
import io
import ipaddress
import random
import shlex
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.harness import process
from tests.harness.need import need, need_program, need_root
from tests.harness.ports import accepts
from tests.harness.process import run
from tests.harness.ssh_offer import MODERN, Offer, sshd_config
from tests.harness.systems import DEBIAN_12, System
from tests.harness.terminal_root import Architecture, Init, terminal_root
from tests.harness.workdir import control_group, in_memory, workdir

NETWORK = ipaddress.ip_network("10.77.0.0/16")

_BOOT = Path(__file__).with_name("terminal_boot.sh")
_APART = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
# What a login writes whatever it does: logs, records of logins, run-time state.
_NOISE = ("proc", "sys", "dev", "run", "var/log", "var/lib/sudo", "etc/.pwd.lock")


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in; `sudo` is 'none', 'password' or 'nopasswd', and means nothing for root."""

    name: str = "root"
    password: str | None = None
    sudo: Literal["none", "password", "nopasswd"] = "none"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TerminalSpec:
    """A terminal as a test wants it. `machine` is what `uname -m` shall say: by default what the architecture says."""

    hostname: str = "terminal"
    architecture: Architecture = "amd64"
    init: Init = "sysvinit"
    machine: Literal["x86_64", "i686"] | None = None
    system: System = DEBIAN_12
    accounts: tuple[Account, ...] = (Account("root", password="terminal"),)
    offer: Offer = MODERN
    sshd_lines: tuple[str, ...] = ()
    port: int = 22
    files: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terminal:
    """A running terminal: log in at `address`:`port`; `host_keys` are its public keys, one line each."""

    spec: TerminalSpec
    address: str
    port: int
    host_keys: tuple[str, ...]
    folder: Path
    _init: process.Child
    _pid: int

    def alive(self) -> bool:
        """Whether its init still runs."""
        return self._init.alive()

    def ended(self) -> Literal["halted", "rebooted", "killed"] | None:
        """How it ended: by its own halt or power-off, by its own reboot, or from outside; None while it runs."""
        match self._init.status():
            case None:
                return None
            case (
                -2
            ):  # what the kernel does to the parent of an init that called reboot(2): SIGINT to halt, SIGHUP to restart
                return "halted"
            case -1:
                return "rebooted"
            case _:
                return "killed"

    def read(self, path: str) -> str:
        """Text of a file, also when the terminal is off."""
        return run(["chroot", self._root, "cat", "--", path])

    def link(self, path: str) -> str:
        """Target of a symbolic link."""
        return run(["chroot", self._root, "readlink", "--", path]).rstrip("\n")

    def write(self, path: str, text: str | bytes) -> None:
        """Put a file of root's, in place of whatever has that name; 0755 if it starts with #!, else 0644."""
        _lay_in(self._root, {path: text})

    def listing(self) -> dict[str, str]:
        """All that was ever written since the shared root: path → fingerprint of kind, mode, owner, time and content."""
        upper = self.folder / "layers" / "upper"
        # Folders count too: a file that came and went leaves its mark in their time.
        paths = sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))
        return {path: _fingerprint(upper / path) for path in paths if not _is_noise(path)}

    def listing_hash(self) -> str:
        """One hash over `listing`: the same before and after means that nothing was written."""
        return hashlib.sha256(repr(sorted(self.listing().items())).encode()).hexdigest()

    def cut(self) -> None:
        """Pull its network cable: what is under way hangs, without a message to any side."""
        self._link("down")

    def heal(self) -> None:
        """Put the cable back."""
        self._link("up")

    def mount(self, *arguments: str) -> None:
        """Run `mount` inside, as its own root would: `-o remount,ro /` is what the kernel does after a disk error."""
        run(["nsenter", f"--target={self._pid}", "--mount", "--root", "--wd=/", "mount", *arguments])

    def inside(self, script: str) -> str:
        """What a script of its own root's printed, in all of its namespaces, as systemctl needs it."""
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]
        return run(["nsenter", f"--target={self._pid}", *spaces, "/bin/sh", "-eu"], stdin=f"cd /\n{script}".encode())

    def stop(self) -> None:
        """Take its power away."""
        self._init.stop()

    @property
    def _root(self) -> Path:
        return self.folder / "layers" / "root"

    def _link(self, state: str) -> None:
        run(["nsenter", f"--net=/proc/{self._pid}/ns/net", "ip", "link", "set", "eth0", state])


@contextlib.contextmanager
def start(spec: TerminalSpec | None = None) -> Iterator[Terminal]:
    """A terminal that has booted and answers on its SSH port."""
    spec = spec or TerminalSpec()
    _need_everything()
    base = terminal_root(spec.architecture, spec.init)
    with workdir("terminal") as folder:
        root = _layers(folder, base)
        host_keys = _furnish(root, spec)
        group = control_group(folder) if spec.init == "systemd" else ""
        init = process.start(
            [*_APART, "setarch", _machine(spec), "sh", _BOOT, root, folder / "init", spec.hostname, group],
            name="terminal",
            folder=folder,
            stdin=subprocess.PIPE,
            stop_signal=process.KILL,
        )
        try:
            init.wait_ready(lambda: (folder / "init").exists() and (folder / "init").read_text(), within=60)
            pid = int((folder / "init").read_text())
            address = _plug_in(pid, folder)
            assert init.popen.stdin
            with init.popen.stdin as gate:
                gate.write(b"go\n")
            terminal = Terminal(spec, address, spec.port, host_keys, folder, init, pid)
            init.wait_ready(lambda: _booted(terminal), within=60)
            init.wait_ready(lambda: accepts(address, spec.port), within=60)
            yield terminal
        finally:
            init.stop()


def _need_everything() -> None:
    need_root("a terminal")
    for program, package in {"unshare": "util-linux", "ip": "iproute2", "setarch": "util-linux"}.items():
        need_program(program, package)
    able = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False, capture_output=True)
    need(able.returncode == 0, "the right to make namespaces", "run on a machine, or in a container with --privileged")


def _booted(terminal: Terminal) -> bool:
    if terminal.spec.init == "sysvinit":
        return (terminal.folder / "layers/root/run/harness-booted").exists()
    with contextlib.suppress(RuntimeError):  # in the first moments systemd does not answer at all
        return terminal.inside("systemctl is-system-running || :") in ("running\n", "degraded\n")
    return False


def _machine(spec: TerminalSpec) -> str:
    return spec.machine or {"amd64": "x86_64", "i386": "i686"}[spec.architecture]


def _layers(folder: Path, base: Path) -> Path:
    """An overlay over the shared root, what is written in memory; where it is mounted."""
    layers = in_memory(folder / "layers", "256m")
    for name in ("upper", "work", "root"):
        (layers / name).mkdir()
    options = f"lowerdir={base},upperdir={layers / 'upper'},workdir={layers / 'work'}"
    run(["mount", "-t", "overlay", "-o", options, "harness", layers / "root"])
    return layers / "root"


def _furnish(root: Path, spec: TerminalSpec) -> tuple[str, ...]:
    """Accounts, host keys, configuration and files; the public host keys."""
    lines = ["UsePAM yes", "PermitRootLogin yes", "UseDNS no", *spec.sshd_lines]
    config = sshd_config(spec.offer, Path("/etc/ssh"), port=spec.port, further=lines)
    hosts = f"127.0.0.1 localhost {spec.hostname}\n"
    names = {"/etc/hostname": f"{spec.hostname}\n", "/etc/hosts": hosts, "/etc/ssh/sshd_config": config}
    script = ["rm -f " + shlex.join(spec.system.removed)] if spec.system.removed else []
    for kind in spec.offer.host_keys:
        size = "-b 2048" if kind == "rsa" else ""
        script.append(f"ssh-keygen -q -t {kind} {size} -N '' -f /etc/ssh/ssh_host_{kind}_key")
    for account in spec.accounts:
        script += _account_script(account)
    script += [f"cat /etc/ssh/ssh_host_{kind}_key.pub" for kind in spec.offer.host_keys]
    public = run(["chroot", root, "/bin/sh", "-eu"], stdin="\n".join(script).encode())
    _lay_in(root, {**names, **dict(spec.system.files), **spec.files})
    return tuple(public.splitlines())


def _account_script(account: Account) -> list[str]:
    name, home = account.name, "/root" if account.name == "root" else f"/home/{account.name}"
    script = [] if name == "root" else [f"useradd --create-home --shell /bin/bash {name}"]
    if account.password is not None:
        script.append(f"printf '%s\\n' {shlex.quote(f'{name}:{account.password}')} | chpasswd")
    if account.keys:
        keys = shlex.join(account.keys)
        script.append(f"install -d -m 700 -o {name} {home}/.ssh && printf '%s\\n' {keys} >{home}/.ssh/authorized_keys")
        script.append(f"chown {name} {home}/.ssh/authorized_keys")
    if account.sudo != "none" and name != "root":
        tag = "NOPASSWD: " if account.sudo == "nopasswd" else ""
        script.append(f"echo '{name} ALL=(ALL) {tag}ALL' >/etc/sudoers.d/{name}")
    return script


def _lay_in(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files inside `root`: by its own tar behind chroot, because links in there must not lead out here."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(content)
            entry.mode = 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(content))
    run(["chroot", root, "tar", "--extract", "--touch", "--no-same-owner", "--directory=/"], stdin=archive.getvalue())


def _plug_in(pid: int, folder: Path) -> str:
    """Join the terminal to the machine by a cable of its own; its address. The note in `folder` lets `workdir` remove our end.

    Our end is a bridge, which stays when the terminal goes: an address without a device would lead to the default route,
    and a test that expects silence would talk to a stranger.
    """
    for _ in range(100):
        place = random.randrange(1 << (30 - NETWORK.prefixlen))
        with contextlib.suppress(RuntimeError):  # the kernel keeps names unique: a taken one is another terminal's
            run(["ip", "link", "add", "name", f"flg{place}", "type", "bridge"])
            break
    else:
        raise RuntimeError(f"no free block in {NETWORK}; `ip link` shows what holds them (flg…)")
    for name in (f"flg{place}", f"flg{place}p"):
        (folder / f"{name}.link").touch()
    ours, theirs, mac = (
        NETWORK[4 * place + 1],
        NETWORK[4 * place + 2],
        f"02:77:00:00:{place >> 8:02x}:{place & 255:02x}",
    )
    # A neighbour that never expires: a cut terminal is silent, as one behind a router is, instead of 'no route to host'.
    commands = f"""\
        address add {ours}/30 dev flg{place}
        link add name flg{place}p type veth peer name eth0 address {mac} netns {pid}
        link set flg{place}p master flg{place} up
        link set flg{place} up
        neighbour replace {theirs} lladdr {mac} dev flg{place} nud permanent
    """
    run(["ip", "-batch", "-"], stdin=commands.encode())
    inside = f"address add {theirs}/30 dev eth0\nlink set lo up\nlink set eth0 up\n"
    run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"], stdin=inside.encode())
    return str(theirs)


def _is_noise(path: str) -> bool:
    return any(path == noise or path.startswith(f"{noise}/") for noise in _NOISE)


def _fingerprint(path: Path) -> str:
    info = path.lstat()
    marks = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid} {info.st_mtime_ns}"
    if stat.S_ISLNK(info.st_mode):
        return f"{marks} -> {path.readlink()}"
    if stat.S_ISREG(info.st_mode):
        return f"{marks} {info.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return marks
