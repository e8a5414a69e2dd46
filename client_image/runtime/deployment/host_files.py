"""The host's files: the environment file, mounted folders, and commands. Called by runtime.deploy and the verbs.

The commands are `<runtime>-run` and so on in /usr/local/bin, written from the image. On Windows they are `<runtime>-run.ps1` and
so on, in the `bin` of the runtime's own folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

from contracts.host_commands import COMMANDS, SUFFIXES, host_command
from contracts.secret import Secret
from contracts.text import say
from contracts.web_proxy import LOGINS_FILE
from runtime.adapters.state.files import read_plain, write_atomically
from runtime.adapters.untrusted_files import write_for_owner
from runtime.deployment.engine import Engine, Image
from runtime.deployment.environment import DeploySettings, read_settings
from runtime.deployment.environment_lines import restored, set_aside
from runtime.deployment.names import LABEL_ENVIRONMENT, UID, HostOs, Names, environment_file, name_problem
from runtime.deployment.results import DeployError
from runtime.deployment.specification import Sources

ENV_FILE = "flageemonitor.env"
CREDENTIALS_FILE = Path("docker/config.json")
WRAPPERS = Path("wrappers")
_HEADER = b"# FlageeMonitor Proxy, flageemonitor-"
_HEADER_BYTES = 65536


def read_environment_file(etc: Path, runtime: str, system: HostOs) -> DeploySettings:
    """Raises DeployError (bad_environment)."""
    if problem := name_problem(runtime):
        raise DeployError(
            "bad_environment",
            say("--runtime-name {problem}", problem=problem),
            say("name the runtime as the installer did"),
        )
    try:
        raw = read_plain(etc / ENV_FILE)
    except OSError as error:
        text = say(
            "{environment_file} cannot be read: {strerror}",
            environment_file=environment_file(runtime, system),
            strerror=error.strerror,
        )
        raise DeployError("bad_environment", text, say("run the installer again, it keeps existing files")) from error
    return read_settings(raw, runtime, system)


def reads_any_key(image: Image) -> bool:
    """Whether the deploy in this image reads an environment file with keys that it does not know."""
    return LABEL_ENVIRONMENT in image.labels


def fit_environment_file(etc: Path, image: Image) -> tuple[str, ...]:
    """Keys that are comments now, because the deploy in ``image`` would refuse them; none, and none left, for an image that reads
    any key. Raises OSError, and then the file is as before."""
    raw = read_plain(etc / ENV_FILE)
    fitting, keys = (restored(raw), ()) if reads_any_key(image) else set_aside(raw)
    if fitting != raw:
        write_atomically(etc / ENV_FILE, fitting, mode=0o600)
    return keys


def write_proxy_logins(etc: Path, logins: Mapping[str, Secret]) -> None:
    """The file from which the runtime knows the logins of HTTP proxies; none without logins. Raises OSError."""
    folder = etc / "config"
    if logins:
        content = json.dumps({place: login.reveal() for place, login in sorted(logins.items())})
        write_for_owner(folder, LOGINS_FILE, content.encode(), mode=0o400)
    else:
        (folder / LOGINS_FILE).unlink(missing_ok=True)


def prepare_folders(etc: Path, data: Path, sources: Sources, system: HostOs) -> None:
    """Give the mounted folders to the runtime's user; the engine would create missing ones as root's. Raises OSError."""
    on_linux = system == "linux" and sources.config.startswith(
        "/"
    )  # a folder of Windows has no owner that could be set
    for folder in (etc / "config", data) if on_linux else (data,):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != UID:
            os.chown(folder, UID, UID, follow_symlinks=False)
            folder.chmod(0o700)


def credentials_source(etc: Path, config_source: str) -> str:
    """The host's folder with the registry credentials, which is beside that of the configuration; empty without any."""
    beside = Path(config_source).parent / CREDENTIALS_FILE.parent
    return str(beside) if config_source.startswith("/") and (etc / CREDENTIALS_FILE).is_file() else ""


def windows_sources(engine: Engine, names: Names, sources: Sources, etc: Path) -> Sources:
    """``sources`` with configuration and credentials as the engine knows them; unchanged where it does not tell.

    On Windows the engine runs in a virtual machine, which has its own names for folders of Windows: a path with a drive letter
    means nothing to it. The wrapper gave such a path to the docker command, which translated it. So the engine is asked what is
    mounted at ``etc`` in the container that deploy runs in. Raises DeployError.
    """
    own = engine.container(names.deploy)
    mounts = own.raw.get("Mounts") if own else None
    for mount in mounts if isinstance(mounts, list) else []:
        if isinstance(mount, Mapping) and mount.get("Destination") == str(etc) and mount.get("Type") == "bind":
            folder = str(mount.get("Source") or "").rstrip("/\\")
            if not folder:
                return sources
            separator = "\\" if re.match(r"[A-Za-z]:", folder) or "\\" in folder else "/"
            credentials = f"{folder}{separator}docker" if (etc / CREDENTIALS_FILE).is_file() else ""
            return replace(sources, config=f"{folder}{separator}config", credentials=credentials)
    return sources


def commands(names: Names, system: HostOs) -> tuple[str, ...]:
    """File names of a runtime's commands."""
    return tuple(names.wrapper(word + SUFFIXES[system]) for word in COMMANDS)


def is_ours(content: bytes, runtime: str) -> bool:
    """Whether this is a wrapper of this runtime, from any release or installer."""
    own = (f"${{RUNTIME_NAME:-{runtime}}}", f"{{ '{runtime}' }}")
    return any(line.startswith(_HEADER) for line in content.split(b"\n", 4)[:4]) and any(
        name.encode() in content for name in own
    )


def write_wrappers(
    image: Path, folder: Path, names: Names, system: HostOs = "linux"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of changed files, and sentences on those that could not be changed. An image without wrappers changes nothing."""
    changed: list[str] = []
    problems: list[str] = []
    if not (image / WRAPPERS).is_dir():
        return (), ()
    current = commands(names, system)
    for name, command in zip(current, COMMANDS, strict=True):
        try:
            content = _command(image, command, names, system)
            if _write_if_different(folder / name, content, executable=system == "linux"):
                changed.append(name)
        except OSError as error:
            problems.append(say("{name} could not be written: {strerror}", name=name, strerror=error.strerror))
    changed += _remove_old_wrappers(folder, names, current, problems)
    return tuple(changed), tuple(problems)


def _command(image: Path, command: str, names: Names, system: HostOs) -> bytes:
    def read(path: str) -> str:
        return (image / path).read_text(encoding="utf-8")

    return host_command(read, system, command, names.runtime).encode()


def _write_if_different(path: Path, content: bytes, *, executable: bool) -> bool:
    """Whether it was written; atomically, because the wrapper that called us runs from this very file. Raises OSError.

    Not ``executable``: on a folder of Windows the engine invents the mode of files.
    """
    try:
        found = path.lstat()
        mode_right = not executable or stat.S_IMODE(found.st_mode) == 0o755
        if stat.S_ISREG(found.st_mode) and mode_right and path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if executable:
                os.fchmod(file.fileno(), 0o755)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return True


def _remove_old_wrappers(folder: Path, names: Names, current: Container[str], problems: list[str]) -> list[str]:
    """Commands of this runtime that an older release wrote and this one does not have."""
    removed: list[str] = []
    for path in sorted(folder.glob(f"{names.runtime}-*")):
        if path.name in current or path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                ours = is_ours(file.read(_HEADER_BYTES), names.runtime)
            if ours:
                path.unlink()
                removed.append(path.name)
        except OSError as error:
            problems.append(say("{name} could not be removed: {strerror}", name=path.name, strerror=error.strerror))
    return removed
