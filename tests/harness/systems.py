"""What marks a system as one distribution or another: the files that tell, as they stand on real ones.

Called by tests that need a terminal of a certain kind; `terminals` lays the files in.
"""

from dataclasses import dataclass

_TELLTALES = ("/etc/os-release", "/usr/lib/os-release", "/etc/debian_version", "/etc/lsb-release", "/etc/issue")


@dataclass(frozen=True, slots=True)
class System:
    """Files to lay in (path, text), after those that Debian brings have been removed."""

    files: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = _TELLTALES


DEBIAN_12 = System(removed=())
UNMARKED = System()


def slackware(version: str) -> System:
    """Slackware: one file, and no os-release before 14.0."""
    marks = [("/etc/slackware-version", f"Slackware {version}\n"), ("/etc/issue", "\nWelcome to \\s \\r (\\l)\n\n")]
    if tuple(int(part) for part in version.split(".")) >= (14, 0):
        lines = f'NAME=Slackware\nVERSION="{version}"\nID=slackware\nVERSION_ID={version}\n'
        marks.append(("/etc/os-release", f'{lines}PRETTY_NAME="Slackware {version}"\n'))
    return System(files=tuple(marks))


def ubuntu(version: str, codename: str) -> System:
    """Ubuntu, for example `ubuntu("22.04", "jammy")`."""
    release = f'NAME="Ubuntu"\nVERSION_ID="{version}"\nVERSION="{version} LTS"\nID=ubuntu\nID_LIKE=debian\n'
    lsb = f"DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE={version}\nDISTRIB_CODENAME={codename}\n"
    marks = (
        ("/etc/os-release", f'{release}PRETTY_NAME="Ubuntu {version} LTS"\n'),
        ("/etc/lsb-release", f'{lsb}DISTRIB_DESCRIPTION="Ubuntu {version} LTS"\n'),
        ("/etc/issue", f"Ubuntu {version} LTS \\n \\l\n"),
    )
    return System(files=marks)


def mint(version: str, codename: str, base: System) -> System:
    """Linux Mint before 18: the os-release of the Ubuntu below (`base`), and a file of its own."""
    info = f"RELEASE={version}\nCODENAME={codename}\nEDITION=MATE 32-bit\n"
    title = f'DESCRIPTION="Linux Mint {version} {codename.title()}"\nDESKTOP=MATE\n'
    return System(files=(*base.files, ("/etc/linuxmint/info", info + title)))
