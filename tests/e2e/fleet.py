"""One store with a terminal of every kind that the field has, in Zabbix and for real. Started once a session by conftest."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.e2e.site import ROOT, SUDO, SUDOER, TILL, UBUNTU, Site, root_of
from tests.harness import systems, terminals
from tests.harness.ssh_offer import LEGACY_DSS
from tests.harness.systems import System
from tests.harness.terminals import Account, Terminal, TerminalSpec

_TRUSTY = systems.ubuntu("14.04", "trusty")
# Slackware has no /etc/timezone, and its /etc/localtime is a copy, because /usr may be a partition of its own.
_SLACKWARE = systems.slackware("13.37.0")
_COPY = System(_SLACKWARE.files, (*_SLACKWARE.removed, "/etc/timezone", "/etc/localtime"))


@dataclass(frozen=True, slots=True)
class Fleet:
    """Terminals and their technical names by what they are: see `SPECS`."""

    site: Site
    terminals: Mapping[str, Terminal]
    names: Mapping[str, str]

    def hashes(self) -> dict[str, str]:
        """What tells whether anything was written to any of them."""
        return {kind: terminal.listing_hash() for kind, terminal in self.terminals.items()}


# kind -> (place, terminal, notes, tags)
SPECS: Mapping[str, tuple[str, TerminalSpec, str, Mapping[str, str]]] = {
    "sudoer": (
        "LOJA001-PDV201",
        replace(TILL, accounts=(SUDOER, Account("root"))),
        SUDO,
        {},
    ),
    "slackware": (
        "LOJA001-PDV202",
        TerminalSpec("slack", system=_COPY),
        ROOT,
        {},
    ),
    "i386": (
        "LOJA001-PDV203",
        TerminalSpec("mint", architecture="i386", system=systems.mint("17.3", "rosa", _TRUSTY)),
        ROOT,
        {},
    ),
    "mixed": (
        "LOJA001-PDV204",
        TerminalSpec("mixed", architecture="i386", machine="x86_64", system=_TRUSTY),
        ROOT,
        {},
    ),
    "old server": ("LOJA001-PDV205", TerminalSpec("old", system=_TRUSTY, offer=LEGACY_DSS), ROOT, {}),
    "zanthus": ("LOJA001-PDV206", TerminalSpec("zanthus", system=UBUNTU), ROOT, {"provider": "zanthus"}),
    "concentrator": ("LOJA001-CONCENTRADOR", TerminalSpec("hub", system=UBUNTU), ROOT, {}),
    "unknown": ("LOJA001-PDV207", TerminalSpec("strange", system=systems.UNMARKED), ROOT, {}),
    "too new": ("LOJA001-PDV208", TerminalSpec("slack14", system=systems.slackware("14.2")), ROOT, {}),
}


@contextlib.contextmanager
def running(site: Site) -> Iterator[Fleet]:
    """All of SPECS as store 1 of the site's network."""
    with contextlib.ExitStack() as stack:
        started, names = {}, {}
        for kind, (place, spec, notes, tags) in SPECS.items():
            started[kind] = stack.enter_context(terminals.start(spec))
            if spec.system is _COPY:
                _copy_zone(root_of(started[kind]))
            names[kind] = site.add_host(place, started[kind].address, notes, **tags)
        yield Fleet(site, started, names)


def _copy_zone(root: Path) -> None:
    """As Slackware's installer leaves it, with a zone that is not ours."""
    zone = "usr/share/zoneinfo/Europe/Lisbon"
    (root / "etc/localtime").write_bytes((root / zone).read_bytes())
    (root / "etc/localtime-copied-from").symlink_to(f"/{zone}")
