"""Names and paths on a host and in the container, most of them derived from the runtime name. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from contracts.text import say
from contracts.visible import quoted

HostOs = Literal["linux", "windows"]

_RUNTIME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
# A name that ends in one of these belongs to a part of another runtime.
_RESERVED_SUFFIXES = ("-candidate", "-previous", "-watchtower", "-deploy", "-repair")

UID = 10001
CONFIG = "/flageemonitor/config"
DATA = "/flageemonitor/data"
SOCKET = "/var/run/docker.sock"
# On every container and volume that deploy creates.
LABEL_RUNTIME = "flageemonitor.runtime"
LABEL_ROLE = "flageemonitor.role"
LABEL_SPEC = "flageemonitor.spec"
# On images whose deploy notes keys of the environment file that it does not know. Without it deploy refuses such a file.
LABEL_ENVIRONMENT = "flageemonitor.environment"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of containers, of the candidate's volume and of the wrappers."""

    runtime: str

    @property
    def candidate(self) -> str:
        """The container and its volume."""
        return f"{self.runtime}-candidate"

    @property
    def previous(self) -> str:
        return f"{self.runtime}-previous"

    @property
    def watchtower(self) -> str:
        return f"{self.runtime}-watchtower"

    @property
    def deploy(self) -> str:
        """The one-shot container that deploy itself runs in; the wrappers name it."""
        return f"{self.runtime}-deploy"

    def wrapper(self, what: str) -> str:
        return f"{self.runtime}-{what}"


def name_problem(text: str) -> str:
    """Why this is not a valid runtime name; empty when it is."""
    if not _RUNTIME.fullmatch(text):
        return say("{name} must be 1 to 40 of a-z 0-9 _ . - and begin with a letter or digit", name=quoted(text))
    reserved = next((suffix for suffix in _RESERVED_SUFFIXES if text.endswith(suffix)), "")
    return (
        say(
            "{name} must not end in {reserved}: a part of another runtime has such a name",
            name=quoted(text),
            reserved=reserved,
        )
        if reserved
        else ""
    )


def environment_file(runtime: str, system: HostOs) -> str:
    """Where the environment file is on the host, for messages."""
    if system == "windows":
        return f"%ProgramData%\\FlageeMonitor\\{runtime}\\flageemonitor.env"
    return f"/etc/{runtime}/flageemonitor.env"
