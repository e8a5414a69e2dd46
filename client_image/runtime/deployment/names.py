"""Everything on a host that is named after the runtime. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

HostOs = Literal["linux", "windows"]

_RUNTIME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
# Names that another runtime's own parts would have.
_TAKEN = ("-candidate", "-previous", "-watchtower", "-deploy", "-repair")

UID = 10001
CONFIG = "/flageemonitor/config"
DATA = "/flageemonitor/data"
SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of containers, the candidate's volume and wrappers."""

    runtime: str

    @property
    def candidate(self) -> str:
        """Of the container and of the volume."""
        return f"{self.runtime}-candidate"

    @property
    def previous(self) -> str:
        return f"{self.runtime}-previous"

    @property
    def watchtower(self) -> str:
        return f"{self.runtime}-watchtower"

    @property
    def deploy(self) -> str:
        """Of the container that we are: the wrappers name it so."""
        return f"{self.runtime}-deploy"

    def wrapper(self, what: str) -> str:
        return f"{self.runtime}-{what}"


def name_problem(text: str) -> str:
    """Why this cannot be a runtime's name; empty when it can."""
    if not _RUNTIME.fullmatch(text):
        return f"{text!r} must be 1 to 40 of a-z 0-9 _ . - and begin with a letter or digit"
    taken = next((suffix for suffix in _TAKEN if text.endswith(suffix)), "")
    return f"{text!r} must not end in {taken}: that is the name of another runtime's part" if taken else ""


def environment_file(runtime: str, system: HostOs) -> str:
    """Where it is on the host, for messages."""
    if system == "windows":
        return f"%ProgramData%\\FlageeMonitor\\{runtime}\\flageemonitor.env"
    return f"/etc/{runtime}/flageemonitor.env"
