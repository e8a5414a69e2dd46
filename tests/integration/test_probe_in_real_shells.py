"""The facts probe under the shells that terminals have, in roots laid out like theirs; cases in tests/cases/facts."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.terminals import userland
from runtime.adapters.assets import find_root
from runtime.domain.compatibility_guard import lookup, parse_rows
from runtime.domain.facts import Facts
from runtime.engine.probe import SCRIPT, parse_probe
from tests.harness.cache import cached
from tests.harness.need import need, need_program

CASES = Path(__file__).parents[1] / "cases" / "facts"
NAMES = sorted(path.stem for path in CASES.glob("*.yaml"))
ROWS = parse_rows((find_root() / "compat_matrix/endpoints.yaml").read_text(encoding="utf-8"), "endpoints.yaml")
SHELLS = ("dash", "bash", "busybox", "mksh", "yash")
TOOLS = ("sh", "head", "id", "uname", "date", "grep")
USERS = {"root": 0, "pdv": 1000}
# As the engine sends it: inside a function and a strict subshell of its own, read to its last line before anything runs.
SENT = f"main() {{\n(\nset -eu\n{SCRIPT})\n}}\nmain </dev/null\n"


@dataclass(frozen=True)
class Shell:
    """A shell in a namespace of its own. ``outside``: words before bubblewrap, ``inside``: its options for the shell's files."""

    command: tuple[str, ...]
    inside: tuple[str, ...]
    outside: tuple[str, ...] = ()

    def run(self, root: Path, user: str = "root", hostname: bytes = b"till") -> subprocess.CompletedProcess[bytes]:
        """The probe with ``root``'s files in place, writable, so that a write would be seen."""
        need_program("bwrap", "bubblewrap")
        uid = str(USERS[user])
        own = [
            part for top in sorted(root.iterdir()) if top.name != "usr" for part in ("--bind", str(top), f"/{top.name}")
        ]
        release = root / "usr/lib/os-release"
        if Path("/usr/lib/os-release").exists():
            own += ["--ro-bind", str(release) if release.exists() else "/dev/null", "/usr/lib/os-release"]
        command: list[str | bytes] = [*self.outside, "bwrap", "--unshare-all", "--die-with-parent", "--clearenv"]
        command += ["--uid", uid, "--gid", uid, *self.inside, *own, "--proc", "/proc", "--dev", "/dev"]
        command += ["--hostname", hostname, "--", *self.command]
        return subprocess.run(command, input=SENT.encode(), capture_output=True, check=False, timeout=60)

    def facts(self, root: Path, user: str = "root", hostname: bytes = b"till") -> Facts:
        done = self.run(root, user, hostname)
        assert (done.returncode, done.stderr) == (0, b"")
        return parse_probe(done.stdout)


def shell_named(name: str) -> Shell:
    if name == "busybox":
        return busybox_at(Path(need_program("busybox", "busybox")))
    path = Path(need_program(name, name)).resolve()
    links = [
        part
        for top in ("bin", "lib", "lib64")
        if Path("/", top).exists()
        for part in ("--symlink", f"usr/{top}", f"/{top}")
    ]
    return Shell((str(path), "-s"), ("--ro-bind", "/usr", "/usr", *links))


def busybox_at(program: Path, *outside: str) -> Shell:
    """Nothing but busybox, as on the smallest of systems."""
    libraries = ["--ro-bind", "/usr/lib", "/usr/lib", "--symlink", "usr/lib", "/lib"]
    if Path("/usr/lib64").exists():
        libraries += ["--ro-bind", "/usr/lib64", "/usr/lib64", "--symlink", "usr/lib64", "/lib64"]
    applets = [part for tool in TOOLS for part in ("--symlink", "busybox", f"/bin/{tool}")]
    return Shell(("/bin/sh", "-s"), (*libraries, "--ro-bind", str(program), "/bin/busybox", *applets), outside)


def busybox_of_32_bits() -> Path:
    """Debian's static i386 busybox, fetched once; it may be absent where there are no Debian packages or no 32-bit kernel."""

    def fetch(folder: Path) -> None:
        said = userland.fetch(32, folder)
        if userland.busybox(32, folder) is None:
            raise LookupError(said)

    try:
        return cached("busybox", {"package": "busybox-static", "bits": 32}, fetch) / "busybox-32"
    except LookupError as error:
        need(False, "an i386 busybox", str(error))
        raise


def lay_out(root: Path, files: Mapping[str, Any]) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "tmp").mkdir()
    plain = {"/etc/passwd": "root:x:0:0:root:/:/bin/sh\npdv:x:1000:1000::/:/bin/sh\n"}
    for name, said in {**plain, **files}.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        form = said if isinstance(said, dict) else {"text": said}
        if "folder" in form:
            path.mkdir(exist_ok=True)
        elif "link" in form:
            path.symlink_to(form["link"])
        else:
            text = form["text"]
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            path.chmod(int(form.get("mode", "644"), 8))
    return root


def everything_in(root: Path) -> list[tuple[str, int, int]]:
    found = (
        (Path(top, name), os.lstat(Path(top, name))) for top, dirs, files in os.walk(root) for name in dirs + files
    )
    return sorted((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_system_is_recognised_and_left_as_it_was(name: str, shell: str, tmp_path: Path) -> None:
    case = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))
    root = lay_out(tmp_path / "root", case["files"])
    before = everything_in(root)

    facts = shell_named(shell).facts(root, case.get("user", "root"))

    assert {field: getattr(facts, field) for field in case["expect"]} == case["expect"]
    assert lookup(ROWS, facts) == case["level"]
    assert everything_in(root) == before


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("user", USERS)
def test_the_probe_reports_user_and_system_with_and_without_root(user: str, shell: str, tmp_path: Path) -> None:
    facts = shell_named(shell).facts(lay_out(tmp_path / "root", {}), user, b"DEMO-LOJA001-PDV201")

    assert (facts.user, facts.uid, facts.hostname) == (user, USERS[user], "DEMO-LOJA001-PDV201")
    assert (facts.kernel, facts.machine) == (os.uname().release, os.uname().machine)
    assert facts.epoch is not None
    assert facts.epoch > 1_600_000_000


@pytest.mark.parametrize("shell", SHELLS)
def test_of_the_point_of_sales_settings_only_store_and_terminal_leave_the_terminal(shell: str, tmp_path: Path) -> None:
    case = yaml.safe_load((CASES / "till-that-tells-who-it-is.yaml").read_text(encoding="utf-8"))

    done = shell_named(shell).run(lay_out(tmp_path / "root", case["files"]))

    assert b"PDV_NROCPU" in done.stdout
    assert b"not to be read" not in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_host_name_with_odd_bytes_is_read(shell: str, tmp_path: Path) -> None:
    facts = shell_named(shell).facts(lay_out(tmp_path / "root", {}), hostname=b"caixa\xe9\x1b[2J\nuid=7\n$(id)")

    assert facts.hostname.startswith("caixa")
    assert facts.hostname.isprintable()
    assert facts.uid == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_32_bit_kernel_name_does_not_hide_a_64_bit_userland(shell: str, tmp_path: Path) -> None:
    need(os.uname().machine == "x86_64", "an x86_64 kernel", "run the tests on one")
    plain = shell_named(shell)
    pretending = Shell(plain.command, plain.inside, (need_program("setarch", "util-linux"), "i686"))

    facts = pretending.facts(lay_out(tmp_path / "root", {}))

    assert (facts.machine, facts.bits, facts.arch) == ("i686", 64, "x86_64")


@pytest.mark.parametrize(("outside", "machine"), [((), "x86_64"), (("setarch", "i686"), "i686")])
def test_a_32_bit_userland_is_i686_whatever_the_kernel_says(
    outside: tuple[str, ...], machine: str, tmp_path: Path
) -> None:
    need(os.uname().machine == "x86_64", "an x86_64 kernel", "run the tests on one")
    shell = busybox_at(busybox_of_32_bits(), *outside)

    facts = shell.facts(lay_out(tmp_path / "root", {"/etc/slackware-version": "Slackware 13.37.0\n"}))

    assert (facts.machine, facts.bits, facts.arch) == (machine, 32, "i686")
    assert lookup(ROWS, facts) == "L2"


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_system_without_any_tool_gives_empty_facts_and_the_bits_of_its_shell(shell: str, tmp_path: Path) -> None:
    whole = shell_named(shell)
    bare = (*whole.inside, "--tmpfs", "/usr/bin", "--tmpfs", "/usr/sbin", "--ro-bind", whole.command[0], "/only/shell")

    facts = Shell(("/only/shell", "-s"), bare).facts(lay_out(tmp_path / "root", {"/etc/os-release": "ID=ubuntu\n"}))

    assert facts.bits == 64
    assert (facts.distro, facts.machine, facts.arch, facts.user, facts.uid, facts.epoch) == ("", "", "", "", -1, None)
