"""What one look at a terminal told us: the engine's own facts and the output of the action's observe script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Init = Literal["systemd", "upstart", "sysv", "bsd", "unknown"]
Privilege = Literal["root", "sudo", "su", "none"]


@dataclass(frozen=True, slots=True)
class Storage:
    """What /etc is kept on: of / or, where it is a mount of its own, of /etc. ``lasting``: whether what is written there outlives
    the next boot; None: not known. ``why``: a clause that says what was seen."""

    mount: str
    kind: str
    device: str
    read_only: bool
    lasting: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """``distro`` is a canonical id (slackware, ubuntu, mint, …), ``version`` as the system writes it; empty when unknown.

    ``arch`` is the userland's (x86_64, i686, …), ``machine`` what the kernel says. ``privilege`` is how this session got, or
    failed to get, root. ``hostname``, ``machine_id``, ``pos_store`` and ``pos_terminal`` (from the point of sale's settings) are
    what the machine says of itself, empty or None where it says nothing. ``epoch`` is the terminal's clock in Unix seconds
    (None: unreadable), ``observed_at`` the engine's, in the network's zone. ``observed``: lines ``key=value`` of the action's
    observe script; ``output``: all of its text. ``storage`` is None where the terminal does not say
    what its files are kept on.
    """

    distro: str = ""
    version: str = ""
    source: str = ""
    machine: str = ""
    arch: str = ""
    bits: int = 0
    kernel: str = ""
    init: Init = "unknown"
    user: str = ""
    uid: int = -1
    privilege: Privilege = "none"
    hostname: str = ""
    machine_id: str = ""
    pos_store: int | None = None
    pos_terminal: int | None = None
    epoch: int | None = None
    observed_at: dt.datetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    observed: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    storage: Storage | None = None

    def summary(self) -> dict[str, Any]:
        """What goes into a result: short, and nothing an operator would not want to read."""
        return {
            "distro": self.distro or None,
            "version": self.version or None,
            "arch": self.arch or None,
            "machine": self.machine or None,
            "bits": self.bits or None,
            "init": self.init,
            "user": self.user,
            "privilege": self.privilege,
            "storage": self.storage.kind if self.storage else None,
            "read_only": self.storage.read_only if self.storage else None,
            "lasting": self.storage.lasting if self.storage else None,
        }
