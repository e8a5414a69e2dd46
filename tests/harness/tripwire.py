"""Runs scripts as a terminal would, on a tree in which every write leaves a trace, whatever the script says about it.

Called by tests that prove that looking writes nothing. The tree and the system's programs lie below empty upper layers
(overlayfs): what is written, moved, removed or only made and removed again shows there. Needs root.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.terminals import tree
from demo.terminals.profiles import SHIMS, Terminal
from tests.harness.need import need_program, need_root
from tests.harness.process import run
from tests.harness.systems import System

# The shells of terminals: Debian and Ubuntu, Slackware and Mint, the smallest of systems, and two strict ones.
SHELLS: Mapping[str, tuple[str, ...]] = {
    "dash": ("dash",),
    "bash": ("bash", "--posix"),
    "busybox": ("busybox", "sh"),
    "mksh": ("mksh",),
    "yash": ("yash",),
}
_PROGRAMS = ("bin", "sbin", "lib", "lib64")

# $1 the tree, $2 further programs, $3 the work folder, $4 "bind" or "ro-bind", $5 the user; then the shell.
_SCRIPT = r"""
set -eu
tree=$1 more=$2 work=$3 how=$4 uid=$5
shift 5
mount --make-rprivate /
mount -t tmpfs -o mode=755 trip "$work/layers"
cd "$work/layers"
mkdir root root-up root-work usr usr-up usr-work
mount -t overlay -o "lowerdir=$tree,upperdir=$PWD/root-up,workdir=$PWD/root-work" trip root
mount -t overlay -o "lowerdir=$more:/usr,upperdir=$PWD/usr-up,workdir=$PWD/usr-work" trip usr
programs=
for top in bin sbin lib lib64; do
  [ ! -d "usr/$top" ] || programs="$programs --$how $PWD/usr/$top /$top"
done
for script in "$work"/scripts/*; do
  name=${script##*/}
  code=0
  # shellcheck disable=SC2086
  bwrap --unshare-all --die-with-parent --clearenv --uid "$uid" --gid "$uid" --hostname till \
    "--$how" "$PWD/root" / "--$how" "$PWD/usr" /usr $programs --proc /proc --dev /dev -- "$@" -s \
    <"$script" >"$work/out/$name" 2>"$work/err/$name" || code=$?
  echo "$code" >"$work/code/$name"
  find root-up usr-up -mindepth 1 | sort >"$work/touched/$name"
done
"""


@dataclass(frozen=True, slots=True)
class Traced:
    """How a script ended. ``touched``: what it, or one before it, left in the upper layers."""

    code: int
    output: bytes
    errors: str
    touched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ground:
    """A laid-out terminal: its tree, and programs that lie over the machine's own /usr."""

    tree: Path
    more: Path


def of_profile(folder: Path, terminal: Terminal) -> Ground:
    """A terminal of the demo's profiles, with its stand-ins for systemd, sudo and the like."""
    ground = Ground(folder / "tree", folder / "more")
    ground.tree.mkdir(parents=True)
    tree.lay(ground.tree, terminal, "secret", Path("/usr/share/zoneinfo"))
    _lay_tools(ground, (*terminal.profile.system.tools, "power"))
    return ground


def of_system(folder: Path, system: System) -> Ground:
    """A system of the harness: nothing but the files that tell which it is."""
    ground = Ground(folder / "tree", folder / "more")
    for top in ("etc", "tmp", "var/tmp", "var/log", "run", "root", "home", "proc", "dev", "usr", *_PROGRAMS):
        (ground.tree / top).mkdir(parents=True)
    files = {"/etc/passwd": "root:x:0:0::/root:/bin/sh\n", "/etc/timezone": "America/Sao_Paulo\n"}
    for name, text in (*files.items(), *system.files):
        path = ground.tree / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (ground.tree / "etc/localtime").symlink_to("/usr/share/zoneinfo/America/Sao_Paulo")
    _lay_tools(ground, ())
    return ground


def trace(
    ground: Ground, folder: Path, shell: str, scripts: Mapping[str, bytes], *, uid: int = 0, writable: bool = True
) -> dict[str, Traced]:
    """Run the scripts one after the other as this user; by name. ``writable`` False: the tree refuses every write."""
    need_root("mounts of its own")
    need_program("bwrap", "bubblewrap")
    command: Sequence[str] = SHELLS[shell]
    need_program(command[0], command[0])
    for part in ("layers", "scripts", "out", "err", "code", "touched"):
        (folder / part).mkdir(parents=True)
    for number, text in enumerate(scripts.values()):
        (folder / "scripts" / f"{number:04}").write_bytes(text)
    argv = ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", _SCRIPT, "sh"]
    how = "bind" if writable else "ro-bind"
    run([*argv, ground.tree, ground.more, folder, how, str(uid), *command])
    return {name: _traced(folder, f"{number:04}") for number, name in enumerate(scripts)}


def _traced(folder: Path, number: str) -> Traced:
    return Traced(
        int((folder / "code" / number).read_text()),
        (folder / "out" / number).read_bytes(),
        (folder / "err" / number).read_text(errors="replace"),
        tuple((folder / "touched" / number).read_text(errors="replace").splitlines()),
    )


def _lay_tools(ground: Ground, tools: Sequence[str]) -> None:
    ground.more.mkdir(parents=True)
    for tool in tools:
        for top in sorted((SHIMS / tool).iterdir()):
            target = ground.more if top.name == "usr" else ground.more / top.name
            shutil.copytree(top, target, symlinks=True, dirs_exist_ok=True)
