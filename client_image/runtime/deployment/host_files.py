"""The host's commands, written from the image: `<runtime>-run` and its like in /usr/local/bin. Called by the verbs.

On Windows they are `<runtime>-run.ps1` and so on, in the `bin` of the runtime's own folder.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Container
from pathlib import Path

from runtime.deployment.names import HostOs, Names

SOURCE = Path("wrappers")
PLACEHOLDER = b"@RUNTIME_NAME@"
_PREFIX = "flageemonitor-"
_HEAD = b"# FlageeMonitor Proxy, flageemonitor-"
_LOOK_BYTES = 65536


def is_ours(content: bytes, runtime: str) -> bool:
    """Whether this is a wrapper of ours for this runtime, whatever release or installer wrote it."""
    own = (f"${{RUNTIME_NAME:-{runtime}}}", f"{{ '{runtime}' }}")
    return any(line.startswith(_HEAD) for line in content.split(b"\n", 4)[:4]) and any(
        name.encode() in content for name in own
    )


def write_wrappers(
    image: Path, folder: Path, names: Names, system: HostOs = "linux"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of what was changed, and sentences about what could not be. An image without wrappers changes nothing."""
    changed: list[str] = []
    trouble: list[str] = []
    wanted: dict[str, bytes] = {}
    for path in sorted((image / SOURCE / system).glob(f"{_PREFIX}*")):
        name = names.wrapper(path.name.removeprefix(_PREFIX))
        wanted[name] = rendered(path.read_bytes(), names.runtime)
    for name, content in wanted.items():
        try:
            if _replace(folder / name, content, executable=system == "linux"):
                changed.append(name)
        except OSError as error:
            trouble.append(f"{name} could not be written: {error.strerror}")
    if wanted:
        changed += _sweep(folder, names, wanted.keys(), trouble)
    return tuple(changed), tuple(trouble)


def rendered(template: bytes, runtime: str) -> bytes:
    """As the installer renders it, byte for byte."""
    return template.replace(PLACEHOLDER, runtime.encode())


def _replace(path: Path, content: bytes, *, executable: bool) -> bool:
    """Atomically: the wrapper that called us is running from this very file.

    Not ``executable``: a folder of Windows, whose files have whatever mode the engine makes up for them.
    """
    try:
        found = path.lstat()
        right = not executable or stat.S_IMODE(found.st_mode) == 0o755
        if stat.S_ISREG(found.st_mode) and right and path.read_bytes() == content:
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


def _sweep(folder: Path, names: Names, wanted: Container[str], trouble: list[str]) -> list[str]:
    """Remove what an older release wrote for this runtime and no release writes any more."""
    gone: list[str] = []
    for path in sorted(folder.glob(f"{names.runtime}-*")):
        if path.name in wanted or path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                ours = is_ours(file.read(_LOOK_BYTES), names.runtime)
            if ours:
                path.unlink()
                gone.append(path.name)
        except OSError as error:
            trouble.append(f"{path.name} could not be removed: {error.strerror}")
    return gone
