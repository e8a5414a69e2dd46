"""How a box is made: the commands of bubblewrap, and of `unshare` and `pivot_root` where there is no bubblewrap.

Called by `box`. Either way the first process of the box gets namespaces of its own (user, mount, process, network, IPC, name),
the terminal's tree as `/`, and the programs of its base over it, read-only.

As root, boxes run under an account of their own (GUEST): a process that is root outside could otherwise write what belongs to
root in /proc/sys, whatever its namespaces. bubblewrap does not cover that.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.terminals.tree import MOUNTED

METHODS = {"bubblewrap": "bwrap", "unshare": "unshare"}  # in the order they are tried, and the program that each needs
GUEST = 65533
POWERED_OFF, REBOOT = 8, 9
_DEVICES = ("null", "zero", "full", "random", "urandom")

# The first process of a box; it ends when shutdown (shims/power) says so, and with it everything in the box.
_FIRST = f'echo ready; read -r what </dev/initctl; sleep 1; [ "$what" != reboot ] || exit {REBOOT}; exit {POWERED_OFF}'

# What bubblewrap does, by util-linux alone. `pivot_root . .` stacks the old root on the new one, where it can be unmounted.
_PIVOT = """set -eu
tree=$1 base=$2 pipe=$3 name=$4 first=$5
mount --bind "$tree" "$tree"
for folder in {mounted}; do
  [ -d "$base/$folder" ] || continue
  mount --bind "$base/$folder" "$tree/$folder"
  mount -o remount,bind,ro "$tree/$folder"
done
mount -t proc proc "$tree/proc"
mount -t tmpfs -o mode=755 devices "$tree/dev"
for device in {devices}; do : >"$tree/dev/$device"; mount --bind "/dev/$device" "$tree/dev/$device"; done
ln -s /proc/self/fd "$tree/dev/fd"
: >"$tree/dev/initctl"
mount --bind "$pipe" "$tree/dev/initctl"
cd "$tree"
pivot_root . .
/bin/umount -l .
/bin/hostname "$name"
cd /
exec /bin/sh -c "$first" "$name"
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a box is made of: three paths below the yard, and the terminal's name."""

    tree: str
    base: str
    pipe: str
    hostname: str


@dataclass(frozen=True, slots=True)
class Yard:
    """Where the boxes of one run live: `folder` holds trees, bases and pipes; `method` is a key of METHODS."""

    folder: Path
    method: str

    def command(self, plan: Plan) -> list[str]:
        """The argv that makes the box and runs its first process in it; all of it ends when we do."""
        mounted = [name for name in MOUNTED if (self.folder / plan.base / name).is_dir()]
        if os.geteuid() != 0:
            return ["setpriv", "--pdeathsig=KILL", *_MAKERS[self.method](self.folder, plan, mounted)]
        # The guest need not be able to reach the yard through its parents: it finds it mounted at /mnt.
        enter = [
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            'mount --bind "$0" /mnt && exec "$@"',
            str(self.folder),
        ]
        guest = [f"--reuid={GUEST}", f"--regid={GUEST}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
        return [*enter, "setpriv", *guest, "--pdeathsig=KILL", *_MAKERS[self.method](Path("/mnt"), plan, mounted)]

    def give(self, path: Path) -> None:
        """Let the boxes own `path` with all below it; only root has anything to give."""
        owner, group = (GUEST, GUEST) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        for each in (path, *path.rglob("*")):
            os.chown(each, owner, group, follow_symlinks=False)


def _bubblewrap(view: Path, plan: Plan, mounted: list[str]) -> list[str]:
    # No --dev: it would nest the box in a second user namespace, which sessions could not enter.
    argv = ["bwrap", "--unshare-all", "--uid", "0", "--gid", "0", "--hostname", plan.hostname, "--die-with-parent"]
    argv += ["--bind", f"{view}/{plan.tree}", "/"]
    for name in mounted:
        argv += ["--ro-bind", f"{view}/{plan.base}/{name}", f"/{name}"]
    argv += ["--proc", "/proc", "--tmpfs", "/dev", "--symlink", "/proc/self/fd", "/dev/fd"]
    for name in _DEVICES:
        argv += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    argv += ["--ro-bind", f"{view}/{plan.pipe}", "/dev/initctl", "--chdir", "/"]
    return [*argv, "/bin/sh", "-c", _FIRST, plan.hostname]


def _unshare(view: Path, plan: Plan, mounted: list[str]) -> list[str]:
    script = _PIVOT.format(mounted=" ".join(mounted), devices=" ".join(_DEVICES))
    spaces = [
        "--user",
        "--map-root-user",
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--net",
        "--ipc",
        "--uts",
    ]
    paths = [f"{view}/{path}" for path in (plan.tree, plan.base, plan.pipe)]
    return ["unshare", *spaces, "--kill-child=KILL", "sh", "-c", script, "sh", *paths, plan.hostname, _FIRST]


_MAKERS: Mapping[str, Callable[[Path, Plan, list[str]], list[str]]] = {"bubblewrap": _bubblewrap, "unshare": _unshare}
