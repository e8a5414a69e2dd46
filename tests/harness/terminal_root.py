"""The file tree that every terminal starts from: a small Debian 12 with sshd and sudo, in 64 or 32 bits, sysvinit or systemd.

Called by `terminals`. Built once by debootstrap (under a minute), then kept in the cache; terminals only read it. The one with
systemd is made from the one without (ten seconds more).
"""

import os
from pathlib import Path
from typing import Literal

from tests.harness.cache import cached
from tests.harness.need import need, need_program
from tests.harness.process import run

Architecture = Literal["amd64", "i386"]
Init = Literal["sysvinit", "systemd"]

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

_SYSTEMD = "systemd-sysv,systemd-timesyncd,dbus"
# $1 the tree. apt runs inside with what this machine knows about names and certificates.
_EXCHANGE_INIT = r"""
mkdir -p "$1/etc/ssl"
touch "$1/etc/hosts"
for path in /etc/resolv.conf /etc/hosts /etc/ssl; do
  [ ! -e "$path" ] || mount --bind "$path" "$1$path"
done
mount -t proc proc "$1/proc"
exec chroot "$1" /bin/sh -eu -c '
  printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends --allow-remove-essential $(echo "$1" | tr , " ")
  rm -rf /usr/sbin/policy-rc.d /var/cache/apt/* /var/lib/apt/lists/*
  # Every terminal gets an identity of its own when it boots, and has no screen to log in at.
  : >/etc/machine-id
  rm -f /var/lib/dbus/machine-id
  ln -s /dev/null /etc/systemd/system/console-getty.service
' sh "$2"
"""
_APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


def terminal_root(architecture: Architecture, init: Init = "sysvinit") -> Path:
    """The cached tree for `architecture` and `init`, made on first use."""
    recipe = {"release": _RELEASE, "packages": _PACKAGES, "shape": _SHAPE, "architecture": architecture}
    base = cached(f"terminal-{architecture}", recipe, lambda entry: _build(entry, architecture)) / "root"
    if init == "sysvinit":
        return base
    further = {**recipe, "packages": _SYSTEMD, "shape": _EXCHANGE_INIT}
    return cached(f"terminal-{init}-{architecture}", further, lambda entry: _exchange_init(entry, base)) / "root"


def _build(entry: Path, architecture: Architecture) -> None:
    entry.chmod(0o700)  # setuid programs inside are for the terminals only
    root = entry / "root"
    # In namespaces of its own, so that a killed build leaves neither mounts nor processes.
    debootstrap = [need_program("debootstrap", "debootstrap"), "--variant=minbase", f"--arch={architecture}"]
    run([*_APART, *debootstrap, f"--include={_PACKAGES}", _RELEASE, root, _mirror()])
    run([*_APART, "chroot", root, "/bin/sh", "-eu"], stdin=_SHAPE.encode())


def _exchange_init(entry: Path, base: Path) -> None:
    entry.chmod(0o700)
    run(["cp", "-a", base, entry / "root"])
    run([*_APART, "/bin/sh", "-eu", "-c", _EXCHANGE_INIT, "sh", entry / "root", _SYSTEMD])


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
