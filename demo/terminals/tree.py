"""Lays the file tree of a simulated terminal: what its scripts see below `/` and may change.

Called by `server` before a terminal's first session. A tree belongs to one terminal alone; programs and zone files come from a
base that is mounted over it read-only (`userland`). Folders and files have no write bit for their owner: inside, the login user
is that owner and is refused, while root, who overrides permissions, is not.
"""

import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.terminals.profiles import Node, Privilege, Terminal

# Where the base is mounted; kept here because a mount needs a folder to sit on.
MOUNTED = ("bin", "sbin", "lib", "lib32", "lib64", "usr/bin", "usr/sbin", "usr/lib", "usr/share/zoneinfo")
_FOLDERS = (*MOUNTED, "dev", "proc", "etc", "posnet", "run", "usr/local/bin", "var/lib", "var/log")
_ANYONES = ("tmp", "var/tmp")
_POS_NAME = re.compile(r"LOJA(\d+)-PDV(\d+)")


def lay(root: Path, terminal: Terminal, password: str, zones: Path) -> None:
    """Make the tree of `terminal` in the empty folder `root`; `password` is the login's, `zones` a folder of zone files."""
    with ordinary_umask():
        for folder in (*_FOLDERS, *_ANYONES, "root", terminal.profile.home.strip("/")):
            (root / folder).mkdir(parents=True, exist_ok=True)
        nodes = {**_accounts(terminal, password), **terminal.profile.system.files, **terminal.profile.files}
        for path, node in nodes.items():
            _put(root / path.lstrip("/"), node, terminal, zones)
        _take_write_bits(root, terminal.profile.home.strip("/"))


def digest(root: Path) -> str:
    """What the tree holds (names, modes, links, contents) as one short hexadecimal number."""
    summary = hashlib.blake2b(digest_size=8)
    with _readable(root) as modes:
        for path in sorted(root.rglob("*")):
            content = b""
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            summary.update(repr((str(path.relative_to(root)), modes.get(path), content)).encode())
    return summary.hexdigest()


def copy(root: Path, target: Path) -> None:
    """The same tree again as `target`, which must not be there yet."""
    with _readable(root) as modes:
        shutil.copytree(root, target, symlinks=True)
    for path, mode in reversed(modes.items()):  # a folder is closed after what it holds
        (target / path.relative_to(root)).chmod(mode)


def erase(folder: Path) -> None:
    """Remove `folder` with all it holds, whatever write bits its folders have; no matter if it is not there."""
    if folder.is_dir():
        _unlock(folder)
        shutil.rmtree(folder)


@contextmanager
def ordinary_umask() -> Iterator[None]:
    """Modes come out as written, also for a caller who keeps new files private."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _accounts(terminal: Terminal, password: str) -> dict[str, Node]:
    profile = terminal.profile
    user = profile.user
    names = {"root": 0, user: profile.uid}
    homes = {"root": "/root", user: profile.home}
    salt = secrets.token_hex(4)
    hashed = hashlib.sha256((salt + password).encode()).hexdigest()
    rules = {Privilege.PASSWORD: f"{user} ALL=(ALL) ALL\n", Privilege.NOPASSWD: f"{user} ALL=(ALL) NOPASSWD: ALL\n"}
    nodes = {
        "/etc/hostname": Node(text="{hostname}\n"),
        "/etc/hosts": Node(text="127.0.0.1 localhost\n127.0.1.1 {hostname}\n"),
        "/etc/passwd": Node(text="".join(f"{name}:x:{n}:{n}::{homes[name]}:/bin/sh\n" for name, n in names.items())),
        "/etc/group": Node(text="".join(f"{name}:x:{n}:\n" for name, n in names.items())),
        # Mode 0: the login user owns every file of the tree, so only this keeps it from reading them.
        "/etc/shadow": Node(text=f"{user}:{salt}${hashed}:19000:0:99999:7:::\n", mode="000"),
        "/etc/sudoers": Node(text="root ALL=(ALL) ALL\n" + rules.get(profile.privilege, ""), mode="000"),
    }
    if name := _POS_NAME.search(terminal.hostname):
        nodes["/posnet/pdv.conf"] = Node(text=f"PDV_NROLOJA={int(name[1])}\nPDV_NROCPU={int(name[2])}\n")
    return nodes


def _put(path: Path, node: Node, terminal: Terminal, zones: Path) -> None:
    def filled(text: str) -> str:
        return text.replace("{hostname}", terminal.hostname).replace("{zone}", terminal.profile.zone)

    (path if node.folder else path.parent).mkdir(parents=True, exist_ok=True)
    if node.link is not None:
        path.symlink_to(filled(node.link))
        return
    if node.text is not None:
        path.write_text(filled(node.text), encoding="utf-8")
    elif node.zone is not None:
        path.write_bytes((zones / filled(node.zone)).read_bytes())
    if node.mode is not None:
        path.chmod(int(node.mode, 8))


def _take_write_bits(root: Path, home: str) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    (root / "root").chmod(0)
    (root / home).chmod(0 if home == "root" else 0o755)
    for folder in _ANYONES:
        (root / folder).chmod(0o1777)


@contextmanager
def _readable(root: Path) -> Iterator[dict[Path, int]]:
    """Lets the owner read all of the tree; gives each path's own mode, in the order of the walk, and restores it after."""
    modes = _unlock(root)
    try:
        yield modes
    finally:
        for path, mode in reversed(modes.items()):
            path.chmod(mode)


def _unlock(root: Path) -> dict[Path, int]:
    modes = {root: stat.S_IMODE(root.stat().st_mode)}
    root.chmod(0o700)
    for parent, folders, files in os.walk(root):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if not path.is_symlink():
                modes[path] = stat.S_IMODE(path.stat().st_mode)
                path.chmod(0o700)  # a folder, before the walk enters it
    return modes
