"""How the engine observes a terminal: one read-only POSIX sh script, and what its output means. Pure.

The script only carries: it prints ``key=line`` pairs and whole files, raw bytes and all, between marks, and every judgement is
made here, where it can be tested. `process_one` runs :data:`SCRIPT` as a section of the first round trip and fills in what
only the session knows (privilege, the engine's clock, the action's observations).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from contracts.text import say
from runtime.domain.errors import Permanent
from runtime.domain.facts import Facts, Init
from runtime.domain.model import Outcome, Reason
from runtime.domain.storage import storage_of

# Runs under dash, busybox ash, bash 3, mksh and yash, with `set -eu` or without, as root or not, needing only head, id, uname
# and date, and grep where the point of sale has settings: what is missing leaves an empty value. Files are read up to 16 kB, so
# an odd link in /etc cannot flood the probe, and no shell looks into them. Of the point of sale's settings only two lines leave
# the terminal: others may hold passwords.
# The userland's bits are the ELF class of the shell that runs this, because `uname -m` tells the kernel's side only.
# Terminals are slow and many, and nothing here costs them more than starting a process: one `head` reads all files. Every
# print is a packet, so what the shell itself found is printed at once.
SCRIPT = r"""{
PATH=/usr/bin:/bin:/usr/sbin:/sbin:${PATH:-}
LC_ALL=C
export PATH LC_ALL
nl='
'
said=
say() { said=$said$1=${2%%"$nl"*}$nl; }
say facts begin
exe=/proc/$$/exe
[ -r "$exe" ] || exe=/bin/sh
head=$(head -c 5 "$exe") || head=
[ -n "$head" ] || { [ -r "$exe" ] && IFS= read -r head <"$exe"; } || :
class=${head#?ELF}
say class "${class%"${class#?}"}"
if [ -d /run/systemd/system ]; then init=systemd
elif [ -x /sbin/initctl ] && [ -d /etc/init ]; then init=upstart
elif [ -f /etc/rc.d/rc.M ] || [ -f /etc/rc.d/rc.S ]; then init=bsd
elif [ -f /etc/inittab ] || [ -d /etc/init.d ]; then init=sysv
else init=unknown; fi
say init "$init"
system=$(uname -nrm) || system=
say machine "${system##* }"
system=${system% *}
say kernel "${system##* }"
say hostname "${system% *}"
who=$(id) || who=
say who "${who%%")"*}"
say epoch "$(date +%s)"
pos=/posnet/pdv.conf
if [ -f "$pos" ] && [ -r "$pos" ]; then
  said=$said$(head -c 65536 "$pos" | grep -e '^[[:space:]]*PDV_NROLOJA *=' -e '^[[:space:]]*PDV_NROCPU *=' | head -n 8)$nl || :
fi
if [ -s /etc/os-release ]; then os=/etc/os-release; else os=/usr/lib/os-release; fi
set --
for file in /etc/slackware-version /etc/linuxmint/info $os /etc/lsb-release /etc/debian_version /etc/issue \
  /etc/machine-id /var/lib/dbus/machine-id /proc/mounts; do
  if [ -f "$file" ] && [ -r "$file" ]; then set -- "$@" "$file"; fi
done
printf '%sfiles=begin\n' "$said"
head -c 16384 /dev/null "$@" || :
printf '\nfacts=end\n'
} 2>/dev/null
"""

_BEGIN, _FILES_BEGIN, _END = b"facts=begin", b"files=begin", b"facts=end"
_LONGEST = 256
_LINES = 200
# In the order in which `head` names them above. A name out of order is a line of the file before it.
_FILES: Mapping[bytes, str] = {
    b"==> /etc/slackware-version <==": "slackware",
    b"==> /etc/linuxmint/info <==": "mint",
    b"==> /etc/os-release <==": "os",
    b"==> /usr/lib/os-release <==": "os",
    b"==> /etc/lsb-release <==": "lsb",
    b"==> /etc/debian_version <==": "debian",
    b"==> /etc/issue <==": "issue",
    b"==> /etc/machine-id <==": "machine-id",
    b"==> /var/lib/dbus/machine-id <==": "dbus-machine-id",
    b"==> /proc/mounts <==": "mounts",
}
_LINE_LONGEST = {"mounts": 4096}  # an overlay names all its layers in one line
_BITS = {b"\1": 32, b"\2": 64}  # by ELF class, which comes as the byte that it is in the file
_WHO = re.compile(r"uid=([0-9]{1,11})(?:\((.*)| .*)?", re.ASCII)
_CANONICAL = {"linuxmint": "mint"}
_DISTRO = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z.+~:_/-]{1,40}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,11}", re.ASCII)
_MACHINE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)
_PLACE = re.compile(r"[\"']?([0-9]{1,9})[\"']?", re.ASCII)
_SLACKWARE = re.compile(r"slackware(?:64)?\s+(\S+)", re.IGNORECASE | re.ASCII)
_ISSUE = re.compile(r"(ubuntu|debian|linux ?mint|centos|fedora)\b[a-z/ ]*?([0-9][0-9.]*)", re.IGNORECASE | re.ASCII)
_ESCAPED = re.compile(r'\\([$"\\`])')
_ARCH: Mapping[str, tuple[str, str]] = {
    # kernel's word -> names of its 64 and 32 bit userland
    **dict.fromkeys(("x86_64", "amd64", "i386", "i486", "i586", "i686", "x86"), ("x86_64", "i686")),
    **dict.fromkeys(("aarch64", "arm64", "armv8l", "armv7l"), ("aarch64", "armv7")),
}
_BOTH_USERLANDS = ("x86_64", "amd64", "aarch64", "arm64")

Files = Mapping[str, Sequence[str]]
Found = tuple[str, str, str]


class BadFacts(Permanent):
    """The host answered, but not what our script prints: not a system that may be touched."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(Outcome.FAILED, Reason.BAD_FACTS, message, detail)


def parse_probe(output: bytes) -> Facts:
    """Facts from the script's output; ``privilege``, ``observed_at``, ``observed`` and ``output`` are left to the engine.

    Missing or senseless values become empty (an unrecognised system has no ``distro``). Raises BadFacts, and nothing else,
    when the output is not that of a whole run of the script.
    """
    said, files = _said(output)
    distro, version, source = next(filter(None, (reader(files) for reader in _READERS)), ("", "", ""))
    one = {key: _text(value[:_LONGEST]) for key, value in said.items()}
    machine = one.get(b"machine", "")
    bits = _BITS.get(said.get(b"class", b""), 0)
    who = _WHO.fullmatch(one.get(b"who", ""))
    return Facts(
        distro=distro,
        version=version,
        source=source,
        machine=machine,
        arch=_arch(machine, bits),
        bits=bits,
        kernel=one.get(b"kernel", ""),
        init=_init(one.get(b"init", "")),
        user=(who[2] or "") if who else "",
        uid=int(who[1]) if who else -1,
        hostname=one.get(b"hostname", ""),
        machine_id=_machine_id(files),
        pos_store=_place(one.get(b"PDV_NROLOJA", "")),
        pos_terminal=_place(one.get(b"PDV_NROCPU", "")),
        epoch=_number(one.get(b"epoch", "")),
        storage=storage_of(files.get("mounts", ())),
    )


def _said(output: bytes) -> tuple[Mapping[bytes, bytes], Files]:
    """What the shell said, and the lines of the files behind it. A file may hold our own words: only ours come before all files
    and after the last."""
    lines = output.split(b"\n")
    if _BEGIN not in lines:
        raise BadFacts(say("the host answered something else than the facts asked for"), _text(output[:_LONGEST]))
    lines = lines[lines.index(_BEGIN) + 1 :]
    if _END not in lines:
        raise BadFacts(say("the host's facts are cut off"), _text(b" ".join(lines)[-_LONGEST:]))
    end = len(lines) - 1 - lines[::-1].index(_END)
    begin = lines.index(_FILES_BEGIN) if _FILES_BEGIN in lines[:end] else end
    pairs = [line.partition(b"=") for line in lines[:begin]]
    return {key.strip(): value for key, equals, value in reversed(pairs) if equals}, _files(lines[begin + 1 : end])


def _files(lines: Sequence[bytes]) -> Files:
    found: dict[str, list[str]] = {}
    awaited = list(_FILES)
    current: list[str] = []
    longest = _LONGEST
    for line in lines:
        if line in awaited:
            del awaited[: awaited.index(line) + 1]
            current = found.setdefault(_FILES[line], [])
            longest = _LINE_LONGEST.get(_FILES[line], _LONGEST)
        elif line and len(current) < _LINES:
            current.append(_text(line[:longest]))
    return found


def _text(value: bytes) -> str:
    """Readable text of whatever a file held: no control characters, no carriage returns, no byte order marks."""
    text = value.decode("utf-8", "replace")
    return (text if text.isprintable() else "".join(filter(str.isprintable, text))).strip()


def _slackware(files: Files) -> Found | None:
    match = _SLACKWARE.match(" ".join(files.get("slackware", ())).strip())
    return ("slackware", _version(match[1]), "slackware-version") if match else None


def _mint(files: Files) -> Found | None:
    """Before os-release, because Mint 17's says Ubuntu 14.04. A Mint whose own file tells no release has no version: unknown."""
    if info := files.get("mint"):
        return "mint", _version(_fields(info).get("RELEASE", "")), "linuxmint/info"
    found = _lsb(files)
    return found if found and found[0] == "mint" else None


def _os_release(files: Files) -> Found | None:
    fields = _fields(files.get("os", ()))
    return _found(fields.get("ID", ""), fields.get("VERSION_ID", ""), "os-release")


def _lsb(files: Files) -> Found | None:
    fields = _fields(files.get("lsb", ()))
    return _found(fields.get("DISTRIB_ID", ""), fields.get("DISTRIB_RELEASE", ""), "lsb-release")


def _debian(files: Files) -> Found | None:
    """Numbers only: Ubuntu has this file too, with the name of a Debian that was never released (jessie/sid)."""
    version = " ".join(files.get("debian", ())).strip()
    return ("debian", _version(version), "debian_version") if version[:1].isdigit() else None


def _issue(files: Files) -> Found | None:
    match = _ISSUE.match(" ".join(files.get("issue", ())).strip())
    return _found(match[1].replace(" ", ""), match[2], "issue") if match else None


# The first that recognises the system wins (W-61, W-62); what an old system says of itself counts more than what it inherited.
_READERS: tuple[Callable[[Files], Found | None], ...] = (_slackware, _mint, _os_release, _lsb, _debian, _issue)


def _machine_id(files: Files) -> str:
    """What systemd, or D-Bus before it, made up at the installation. One that is still to be made up counts as missing."""
    ids = (" ".join(files.get(name, ())).strip().lower() for name in ("machine-id", "dbus-machine-id"))
    return next((text for text in ids if _MACHINE_ID.fullmatch(text)), "")


def _found(distro: str, version: str, source: str) -> Found | None:
    name = distro.lower()
    return (_CANONICAL.get(name, name), _version(version), source) if _DISTRO.fullmatch(name) else None


def _fields(lines: Sequence[str]) -> Mapping[str, str]:
    """Shell-like assignments, read and never evaluated; the last of two equal keys wins, as in a shell."""
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {key.strip(): _unquoted(value.strip()) for key, equals, value in pairs if equals}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        inner = value[1:-1]
        return (_ESCAPED.sub(r"\1", inner) if value[0] == '"' else inner).strip()
    return value


def _version(text: str) -> str:
    return text if _VERSION.fullmatch(text) else ""


def _arch(machine: str, bits: int) -> str:
    """The userland's architecture; empty when the kernel could carry either and the shell's class is unknown."""
    if machine not in _ARCH:
        return machine if _DISTRO.fullmatch(machine) else ""
    if bits:
        return _ARCH[machine][0 if bits == 64 else 1]
    return "" if machine in _BOTH_USERLANDS else _ARCH[machine][1]


def _init(text: str) -> Init:
    known: tuple[Init, ...] = get_args(Init)
    return next((init for init in known if init == text), "unknown")


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _place(text: str) -> int | None:
    """A store's or terminal's number; 0 is what an installation has before somebody sets it."""
    match = _PLACE.fullmatch(text.strip())
    return (int(match[1]) or None) if match else None
