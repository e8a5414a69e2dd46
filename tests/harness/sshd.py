"""Cheap SSH servers on a loopback port: OpenSSH with chosen algorithms, and dropbear. Key login only, one account.

Called by tests of the SSH adapter and by benches that need a server, not a machine. Commands run as an account without any
right: the server sees an account file of its own (a private mount), and nothing it starts can gain privileges.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import process
from tests.harness.need import need, need_program
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.process import run
from tests.harness.ssh_offer import MODERN, Offer, key_pair, sshd_config
from tests.harness.workdir import workdir

USER = "terminal"
_UID = 61077  # nobody's: used when we are root and must not hand that on


@dataclass(frozen=True, slots=True)
class SshServer:
    """A running server: log in as `user`; `host_keys` are its public keys, one line each."""

    address: str
    port: int
    host_keys: tuple[str, ...]
    child: process.Child
    user: str = USER


@contextlib.contextmanager
def openssh(authorized: Sequence[str], offer: Offer = MODERN, *, lines: Sequence[str] = ()) -> Iterator[SshServer]:
    """OpenSSH's server with this `offer`; `authorized` are public keys, `lines` go into its sshd_config."""
    program = need_program("sshd", "openssh-server")
    with workdir("sshd") as folder:
        keys = [key_pair(folder, kind, f"ssh_host_{kind}_key") for kind in offer.host_keys]
        for key in keys:
            _give_away(key.path)
        _home(folder, authorized)
        port = free_port()
        further = [*lines, f"ListenAddress {LOOPBACK}", "PidFile none", "UsePAM no", "PasswordAuthentication no"]
        config = folder / "sshd_config"
        config.write_text(sshd_config(offer, folder, port=port, further=[*further, "MaxSessions 100"]))
        argv = [*_without_rights(folder), program, "-D", "-e", "-f", config]
        with process.running(argv, name="sshd", folder=folder, ready=lambda: accepts(LOOPBACK, port)) as child:
            yield SshServer(LOOPBACK, port, tuple(key.public for key in keys), child)


@contextlib.contextmanager
def dropbear(authorized: Sequence[str]) -> Iterator[SshServer]:
    """Dropbear with the three host keys that Debian gives it (without an RSA key this version fails at the handshake)."""
    program, make_key = need_program("dropbear", "dropbear-bin"), need_program("dropbearkey", "dropbear-bin")
    with workdir("dropbear") as folder:
        keys = {folder / f"host_key_{kind}": kind for kind in ("rsa", "ecdsa", "ed25519")}
        said = "".join(run([make_key, "-t", kind, "-f", path]) for path, kind in keys.items())
        public = tuple(line for line in said.splitlines() if line.startswith(("ssh-", "ecdsa-")))
        for path in keys:
            _give_away(path)
        _home(folder, authorized)
        port = free_port()
        listen: list[str | Path] = ["-F", "-E", "-s", "-p", f"{LOOPBACK}:{port}", "-P", folder / "home" / "pid"]
        argv = [*_without_rights(folder), program, *listen, *(part for path in keys for part in ("-r", path))]
        with process.running(argv, name="dropbear", folder=folder, ready=lambda: accepts(LOOPBACK, port)) as child:
            yield SshServer(LOOPBACK, port, public, child)


def _without_rights(folder: Path) -> list[str | Path]:
    """What to put before a program so that it runs as USER, and finds USER in the account file."""
    accounts = folder / "passwd"
    uid, gid = (_UID, _UID) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    accounts.write_text(f"{USER}:x:{uid}:{gid}::{folder}/home:/bin/sh\n")
    unshare = [need_program("unshare", "util-linux"), "--mount"]
    drop = "--no-new-privs --inh-caps=-all"
    if os.geteuid() == 0:
        drop += f" --reuid={uid} --regid={gid} --clear-groups --bounding-set=-all"
    else:
        unshare += ["--user", "--map-current-user", "--keep-caps"]
        drop += " --ambient-caps=-all"
    able = subprocess.run([*unshare, "true"], check=False, capture_output=True)
    need(able.returncode == 0, "the right to make a mount namespace", "run as root, or allow user namespaces")
    return [*unshare, "sh", "-c", f'mount --bind "$0" /etc/passwd && exec setpriv {drop} -- "$@"', accounts]


def _home(folder: Path, authorized: Sequence[str]) -> None:
    keys = folder / "home" / ".ssh" / "authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("".join(f"{key}\n" for key in authorized))
    for path in (keys, keys.parent, keys.parent.parent):
        path.chmod(0o600 if path.is_file() else 0o700)
        _give_away(path)


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, _UID, _UID)
