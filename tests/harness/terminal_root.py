"""The file tree that every terminal starts from: a small Debian 12 with sshd, sudo and sysvinit, in 64 or 32 bits.

Called by `terminals`. Built once by debootstrap (under a minute), then kept in the cache; terminals only read it.
"""

import os
from pathlib import Path
from typing import Literal

from tests.harness.cache import cached
from tests.harness.need import need, need_program
from tests.harness.process import run

Architecture = Literal["amd64", "i386"]

_RELEASE = "bookworm"
_PACKAGES = "openssh-server,sudo,sysvinit-core,procps,tzdata"

# What start and stop scripts would do to disks, clock and kernel is not a terminal's business here, nor are consoles.
_SHAPE = r"""
cd /etc
rm -f rcS.d/S* rc[06].d/K*hwclock* rc[06].d/K*umount* rc[06].d/K*brightness rc[06].d/K*urandom
cat >inittab <<'EOF'
id:2:initdefault:
l0:0:wait:/etc/init.d/rc 0
l2:2:wait:/etc/init.d/rc 2
l6:6:wait:/etc/init.d/rc 6
up:2:once:/bin/touch /run/harness-booted
EOF
# The audit id belongs to the machine; mail and greetings only cost time.
sed -i '/pam_loginuid\|pam_motd\|pam_mail/d' pam.d/sshd pam.d/login
: >resolv.conf
rm -f ssh/ssh_host_*
rm -rf /usr/share/doc /usr/share/info /usr/share/man /usr/share/locale /var/cache/apt/* /var/lib/apt/lists/*
"""


def terminal_root(architecture: Architecture) -> Path:
    """The cached tree for `architecture`, made on first use."""
    recipe = {"release": _RELEASE, "packages": _PACKAGES, "shape": _SHAPE, "architecture": architecture}
    return cached(f"terminal-{architecture}", recipe, lambda entry: _build(entry, architecture)) / "root"


def _build(entry: Path, architecture: Architecture) -> None:
    entry.chmod(0o700)  # setuid programs inside are for the terminals only
    root = entry / "root"
    # In namespaces of its own, so that a killed build leaves neither mounts nor processes.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    debootstrap = [need_program("debootstrap", "debootstrap"), "--variant=minbase", f"--arch={architecture}"]
    run([*apart, *debootstrap, f"--include={_PACKAGES}", _RELEASE, root, _mirror()])
    run([*apart, "chroot", root, "/bin/sh", "-eu"], stdin=_SHAPE.encode())


def _mirror() -> str:
    """Where packages come from: `$FLAGEE_DEBIAN_MIRROR`, else what apt of this machine uses for the same release."""
    given = os.environ.get("FLAGEE_DEBIAN_MIRROR")
    if given:
        return given
    argv = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    known = [line.split() for line in run([need_program(argv[0], "apt"), *argv[1:]]).splitlines()]
    mirrors = [uri for codename, uri in known if codename == _RELEASE]
    need(mirrors, f"a package mirror of Debian {_RELEASE}", "set FLAGEE_DEBIAN_MIRROR to one")
    return mirrors[0]
