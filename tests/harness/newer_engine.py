"""Docker Engine 29, which keeps its images in containerd's store: dockerd and the runc that it needs, compiled from source.

Called by `docker_host`, which starts it as it starts Debian's engine, with Debian's containerd. The compiler comes through the Go
module proxy where this machine's is too old. Every version is fixed, and Go checks modules against a public list of checksums.
"""

import json
import os
import platform
import subprocess
from pathlib import Path

from tests.harness.cache import cached
from tests.harness.need import need, need_program

# The version of the API is 1.56; the number that it says of itself is what releases with this API have.
ENGINE, ENGINE_VERSION = "v2.0.0-beta.24", "29.0.0"
RUNC = "v1.5.3"
GO = "1.26.8"
_MODULE = "github.com/moby/moby/v2"
# Without optimisation the compiler needs a third less time, and this engine has little to do.
_QUICKLY = ("-trimpath", "-gcflags=all=-N -l")
_RECIPE = {"engine": ENGINE, "runc": RUNC, "go": GO, "by": 2}


def programs() -> Path:
    """The folder with `dockerd` and `runc`: built now (about four minutes of processor time), or found from an earlier run."""
    need_program("go", "golang-go")
    for program, package in (("gcc", "gcc"), ("pkg-config", "pkg-config")):
        need_program(program, package)
    found = subprocess.run(["pkg-config", "--exists", "libseccomp"], check=False).returncode == 0
    need(found, "libseccomp's headers", "apt-get install libseccomp-dev")
    return cached("newer-engine", {**_RECIPE, "machine": platform.machine()}, _build)


def _build(folder: Path) -> None:
    go = compiler()
    source = _download(go, f"{_MODULE}@{ENGINE}")
    settings = f"-s -w -X {_MODULE}/dockerversion.Version={ENGINE_VERSION}"
    target = ("-o", folder / "dockerd", "./cmd/dockerd")
    _go(go, "build", *_QUICKLY, "-ldflags", settings, *target, cwd=source, CGO_ENABLED="0")
    runc = f"github.com/opencontainers/runc@{RUNC}"
    _go(go, "install", *_QUICKLY, "-tags", "seccomp", "-ldflags", "-s -w", runc, cwd=folder, GOBIN=str(folder))


def compiler() -> Path:
    """This machine's Go if it is new enough, else the right one from the module proxy."""
    own = Path(need_program("go", "golang-go"))
    said = subprocess.run([own, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    if _numbers(said.removeprefix("go")) >= _numbers(GO):
        return own
    machine = subprocess.run([own, "env", "GOARCH"], capture_output=True, text=True, check=True).stdout.strip()
    home = _download(own, f"golang.org/toolchain@v0.0.1-go{GO}.linux-{machine}")
    for folder in (home / "bin", home / "pkg" / "tool"):
        for path in folder.rglob("*"):
            path.chmod(0o755)  # a module's files come without the right to be executed
    return home / "bin" / "go"


def _download(go: Path, module: str) -> Path:
    """The folder of the module's source, which nothing may write."""
    said = subprocess.run(
        [go, "mod", "download", "-json", module], capture_output=True, check=True, cwd="/", env=_environment()
    )
    return Path(json.loads(said.stdout)["Dir"])


def _go(go: Path, *arguments: str | Path, cwd: Path, **environ: str) -> None:
    """Nice, because tests are at work meanwhile."""
    done = subprocess.run(
        ["nice", "-n", "10", go, *arguments], cwd=cwd, capture_output=True, check=False, env=_environment(**environ)
    )
    if done.returncode:
        raise RuntimeError(f"go {arguments[0]} failed: {done.stderr[-3000:].decode(errors='replace')}")


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -modcacherw", **more}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
