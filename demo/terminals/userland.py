"""The programs of simulated terminals: busybox, its libraries, the shims of a profile and the zone files, as a read-only base.

Called by `server`. `python -m demo.terminals.userland FOLDER` is for `make setup`: it puts an i386 busybox (and one for this
machine, where there is none) from Debian's packages into FOLDER, with apt's own checks, without root and without touching the
machine's own package lists.
"""

import re
import shutil
import subprocess
import sys
import zoneinfo
from importlib import resources
from pathlib import Path

from demo.terminals.profiles import SHIMS
from demo.terminals.tree import ordinary_umask

ZONES = (
    *("America/Sao_Paulo", "America/Bahia", "America/Fortaleza", "America/Recife", "America/Belem", "America/Cuiaba"),
    *("America/Manaus", "America/Porto_Velho", "America/Rio_Branco", "America/Noronha", "America/New_York"),
    *("Etc/GMT+2", "Etc/GMT+3", "Etc/GMT+4", "Etc/GMT+5", "Etc/UTC", "UTC"),
)
ZONES_IN_BASE = "usr/share/zoneinfo"
# busybox would answer to these names with what makes no sense inside, or with less than the shims do.
_NOT_OURS = {"halt", "init", "linuxrc", "login", "passwd", "poweroff", "reboot", "shutdown", "su", "sulogin"}
_DEBIAN_NAMES = {32: "i386", 64: None}


def busybox(bits: int, cache: Path) -> Path | None:
    """A busybox for `bits` that runs here: from `cache`, else the machine's own (64 only); None where there is none."""
    candidates = [cache / f"busybox-{bits}"]
    if bits == 64 and (own := shutil.which("busybox")):
        candidates.append(Path(own))
    return next((path for path in candidates if path.is_file() and _runs(path)), None)


def fetch(bits: int, cache: Path) -> str:
    """Put Debian's busybox-static for `bits` into `cache`; says in one line what came of it. Needs apt and dpkg-deb."""
    if busybox(bits, cache):
        return f"busybox for {bits} bits: at hand"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return f"busybox for {bits} bits: not at hand, and without apt it cannot be fetched"
    work = cache / f"fetch-{bits}"
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    settings = [
        f"Dir::State::Lists={work}/lists",
        f"Dir::Cache={work}",
        "Acquire::Languages=none",
        "APT::Sandbox::User=root",
    ]
    if architecture := _DEBIAN_NAMES[bits]:
        settings += [f"APT::Architecture={architecture}", f"APT::Architectures={architecture}"]
    apt = ["apt-get", "-qq", *(part for setting in settings for part in ("-o", setting))]
    try:
        for command in ("update", "download"):
            package = ["busybox-static"] if command == "download" else []
            subprocess.run(
                [*apt, command, *package], cwd=work, check=command == "download", capture_output=True, timeout=300
            )
        subprocess.run(
            ["dpkg-deb", "-x", *work.glob("*.deb"), work / "root"], check=True, capture_output=True, timeout=60
        )
        shutil.move(work / "root/bin/busybox", cache / f"busybox-{bits}")
    except (OSError, subprocess.SubprocessError) as error:
        return f"busybox for {bits} bits: could not be fetched ({error})"
    finally:
        shutil.rmtree(work)
    return f"busybox for {bits} bits: " + (
        "fetched" if busybox(bits, cache) else "fetched, but this machine cannot run it"
    )


def build(root: Path, program: Path, tools: tuple[str, ...]) -> None:
    """Make the base in `root`: busybox from `program`, the shims of `tools`, and what every terminal has."""
    with ordinary_umask():
        _install(root, program, "bin/busybox")
        unshare = shutil.which("unshare")
        if unshare is None:
            raise FileNotFoundError("unshare (util-linux) is not on this machine")
        _install(root, Path(unshare), "usr/lib/terminal/unshare")
        listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True, timeout=30).stdout
        for name in set(listed.split()) - _NOT_OURS - {"busybox"}:
            (root / "bin" / name).symlink_to("busybox")
        for name in ("usr/bin", "usr/sbin", "sbin"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "usr/bin/env").symlink_to("/bin/busybox")
        for tool in ("power", *tools):
            shutil.copytree(SHIMS / tool, root, symlinks=True, dirs_exist_ok=True)
        for zone in ZONES:
            path = root / ZONES_IN_BASE / zone
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_zone_file(zone))


def _runs(program: Path) -> bool:
    try:
        return subprocess.run([program, "true"], check=False, capture_output=True, timeout=30).returncode == 0
    except OSError:
        return False


def _install(root: Path, program: Path, where: str) -> None:
    """Copy a program and the libraries that it is linked to, each to the path where it will be looked for."""
    linked = subprocess.run(["ldd", program], check=False, capture_output=True, text=True, timeout=30).stdout
    for source, target in [
        (program, where),
        *((Path(path), path.lstrip("/")) for path in re.findall(r"(/\S+) \(0x", linked)),
    ]:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / target)
        (root / target).chmod(0o755)


def _zone_file(zone: str) -> bytes:
    """From the machine's zone files, else from the `tzdata` package of Python."""
    for folder in zoneinfo.TZPATH:
        if (path := Path(folder, zone)).is_file():
            return path.read_bytes()
    return resources.files("tzdata.zoneinfo").joinpath(zone).read_bytes()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for size in (64, 32):
        print(fetch(size, target))
