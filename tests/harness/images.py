"""Images for a private engine: the base of our own ones, the product's as `make image` builds them, and the real Watchtower.

Called by tests that have a `docker_host`. What is slow is built once and kept as an archive in the cache of the harness; nothing
is pulled from outside. Watchtower is compiled from its released source.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.harness import process
from tests.harness.cache import REPOSITORY, cached
from tests.harness.docker_host import DockerHost
from tests.harness.need import need_program
from tests.harness.workdir import workdir

BASE = "flagee-test-base:bookworm"
WATCHTOWER_VERSION = "v1.7.1"
_PACKAGES = "python3,python3-venv,ca-certificates,tzdata,tini"
# What an image is made of: when none of it changed, the archive of the last build is as good as a new one.
_SOURCES = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "requirements",
    "contracts",
    "commandline",
    "server",
    "client_image",
)
_MORE_SOURCES = ("providers", "compat_matrix", "locale", "wrappers", "bootstrap", "tools/protect.sh")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def base(host: DockerHost) -> str:
    """An image of the shape of the official slim Python image, from Debian's packages."""
    need_program("debootstrap", "debootstrap")

    def build(folder: Path) -> None:
        with workdir("base") as work:
            process.run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", work / "root"])
            for rubbish in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
                shutil.rmtree(work / "root" / rubbish, ignore_errors=True)
            if _CERTIFICATES.exists():  # with what this machine trusts besides, such as a registry mirror's own
                shutil.copy(_CERTIFICATES, work / "root" / _CERTIFICATES.relative_to("/"))
            process.run(["tar", "-C", work / "root", "-cf", folder / "root.tar", "."])

    archive = cached("image-base", {"packages": _PACKAGES, "by": 2}, build) / "root.tar"
    host.must("docker", "import", archive, BASE)
    return BASE


def product(host: DockerHost, target: str, version: str, *, licence: str = "trial") -> str:
    """The `client` or `server` image, built by the Dockerfile: its name on the host's engine."""
    name = f"flagee-test-{target}:{version}"
    recipe = {"target": target, "version": version, "licence": licence, "sources": _fingerprint()}

    def build(folder: Path) -> None:
        if BASE not in host.must("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").split():
            base(host)
        conf = folder / "pip.conf"
        conf.write_text(_pip_settings())
        arguments = {"BASE_IMAGE": BASE, "VERSION": version, "REVISION": "test", "LICENCE": licence}
        flags = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        # The machine's own network, so that pip finds the registries it is set up for.
        command = ["docker", "build", "-q", "--network=host", f"--target={target}", f"--secret=id=pip_conf,src={conf}"]
        said = host.run(*command, *flags, "-t", name, REPOSITORY, timeout=1200, DOCKER_BUILDKIT="1")
        assert said.code == 0, said.err[-4000:]
        conf.unlink()
        host.must("docker", "save", "-o", folder / "image.tar", name)

    archive = cached(f"image-{target}", recipe, build) / "image.tar"
    host.must("docker", "load", "-qi", archive)
    return name


def watchtower(host: DockerHost, name: str = f"containrrr/watchtower:{WATCHTOWER_VERSION[1:]}") -> str:
    """The real Watchtower under its own name, or another one."""
    go = need_program("go", "golang-go")

    def build(folder: Path) -> None:
        module = f"github.com/containrrr/watchtower@{WATCHTOWER_VERSION}"
        environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
        found = subprocess.run(
            [go, "mod", "download", "-json", module], capture_output=True, check=True, env=environ, cwd="/"
        )
        source = json.loads(found.stdout)["Dir"]
        subprocess.run([go, "build", "-o", folder / "watchtower", "."], check=True, env=environ, cwd=source)
        shutil.copy(_CERTIFICATES, folder / "ca-certificates.crt")
        shutil.copytree("/usr/share/zoneinfo/Etc", folder / "zoneinfo" / "Etc", symlinks=False)
        (folder / "Dockerfile").write_text(
            "FROM scratch\n"
            "COPY watchtower /watchtower\n"
            "COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n"
            "COPY zoneinfo /usr/share/zoneinfo\n"
            'LABEL com.centurylinklabs.watchtower="true"\n'
            'ENTRYPOINT ["/watchtower"]\n'
        )

    folder = cached("image-watchtower", {"version": WATCHTOWER_VERSION}, build)
    host.must("docker", "build", "-q", "-t", name, folder)
    return name


def _pip_settings() -> str:
    """This account's own pip settings, and the certificates that the base image has."""
    found = subprocess.run(["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    lines = [f"cert = {_CERTIFICATES}"]
    for line in found.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.strip().rpartition(".")
        if section in ("global", "install") and option in ("index-url", "extra-index-url", "trusted-host", "timeout"):
            lines.append(f"{option} = {value.strip().strip(chr(39))}")
    return "\n".join(["[global]", *lines, ""])


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in (*_SOURCES, *_MORE_SOURCES):
        top = REPOSITORY / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                mode = path.stat().st_mode & 0o111
                digest.update(f"{path.relative_to(REPOSITORY)}\0{mode}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
