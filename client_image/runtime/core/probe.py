"""The engine's own look at a terminal: one read-only POSIX sh script, and what its output means. Pure.

The script only carries: it prints ``key=line`` pairs, raw bytes and all, between two marks, and every judgement is made here,
where it can be tested. `process_one` runs :data:`SCRIPT` as a section of the first round trip and fills in what only the
session knows (privilege, the engine's clock, the action's observations).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from runtime.core.errors import Permanent
from runtime.core.facts import Facts, Init
from runtime.core.model import Outcome, Reason

# Runs under dash, busybox ash and bash 3, with `set -eu` or without, as root or not, needing only dd, tr, id, uname and date:
# what is missing leaves an empty value. Files are read up to 16 kB and 200 lines, so an odd link in /etc cannot flood or hang
# the probe.
# The userland's bits are the ELF class of the shell that runs this, because `uname -m` tells the kernel's side only.
# Terminals are slow and many: few processes are started, and what was found is printed at once, since every print is a packet.
SCRIPT = r"""{
PATH=/usr/bin:/bin:/usr/sbin:/sbin:${PATH:-}
LC_ALL=C
export PATH LC_ALL
nl='
'
said=
say() { said=$said$1=${2%%"$nl"*}$nl; }
tell() { printf '%s' "$said"; said=; }
lines() {
  if [ -f "$2" ] && [ -r "$2" ]; then
    text=$(dd if="$2" bs=16384 count=1) || :
    left=200
    while [ -n "$text" ] && [ $left -gt 0 ]; do
      left=$((left-1))
      say "$1" "$text"
      case $text in (*"$nl"*) text=${text#*"$nl"} ;; (*) text= ;; esac
    done
    [ ${#said} -lt 32768 ] || tell
  fi
}
say facts begin
lines slackware /etc/slackware-version
lines mint /etc/linuxmint/info
if [ -s /etc/os-release ]; then lines os /etc/os-release; else lines os /usr/lib/os-release; fi
lines lsb /etc/lsb-release
lines debian /etc/debian_version
lines issue /etc/issue
exe=/proc/$$/exe
[ -r "$exe" ] || exe=/bin/sh
class=$(dd if="$exe" bs=1 skip=4 count=1 | tr '\001\002' '12') || class=
if [ -z "$class" ] && [ -r "$exe" ]; then
  IFS= read -r head <"$exe" || :
  case $head in (*ELF"$(printf '\002')"*) class=2 ;; (*ELF"$(printf '\001')"*) class=1 ;; esac
fi
say class "$class"
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
say user "$(id -un)"
say uid "$(id -u)"
say epoch "$(date +%s)"
say facts end
tell
} 2>/dev/null
"""

_BEGIN, _END = b"facts=begin", b"facts=end"
_LONGEST = 256
_CANONICAL = {"linuxmint": "mint"}
_DISTRO = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z.+~:_/-]{1,40}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,11}", re.ASCII)
_SLACKWARE = re.compile(r"slackware(?:64)?\s+(\S+)", re.IGNORECASE | re.ASCII)
_ISSUE = re.compile(r"(ubuntu|debian|linux ?mint|centos|fedora)\b[a-z/ ]*?([0-9][0-9.]*)", re.IGNORECASE | re.ASCII)
_ESCAPED = re.compile(r'\\([$"\\`])')
_ARCH: Mapping[str, tuple[str, str]] = {
    # kernel's word -> names of its 64 and 32 bit userland
    **dict.fromkeys(("x86_64", "amd64", "i386", "i486", "i586", "i686", "x86"), ("x86_64", "i686")),
    **dict.fromkeys(("aarch64", "arm64", "armv8l", "armv7l"), ("aarch64", "armv7")),
}
_BOTH_USERLANDS = ("x86_64", "amd64", "aarch64", "arm64")

Said = Mapping[str, Sequence[str]]
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
    said = _said(output)
    one = {key: values[0] for key, values in said.items()}
    distro, version, source = next(filter(None, (reader(said) for reader in _READERS)), ("", "", ""))
    bits = {"1": 32, "2": 64}.get(one.get("class", ""), 0)
    return Facts(
        distro=distro,
        version=version,
        source=source,
        machine=one.get("machine", ""),
        arch=_arch(one.get("machine", ""), bits),
        bits=bits,
        kernel=one.get("kernel", ""),
        init=_init(one.get("init", "")),
        user=one.get("user", ""),
        uid=-1 if (uid := _number(one.get("uid", ""))) is None else uid,
        hostname=one.get("hostname", ""),
        epoch=_number(one.get("epoch", "")),
    )


def _said(output: bytes) -> Said:
    lines = output.split(b"\n")
    if _BEGIN not in lines:
        raise BadFacts("the host answered something else than the facts asked for", _text(output[:_LONGEST]))
    lines = lines[lines.index(_BEGIN) + 1 :]
    if _END not in lines:
        raise BadFacts("the host's facts are cut off", _text(b" ".join(lines)[-_LONGEST:]))
    said: dict[str, list[str]] = {}
    for line in lines[: lines.index(_END)]:
        key, equals, value = line.partition(b"=")
        if equals:
            said.setdefault(_text(key), []).append(_text(value[:_LONGEST]))
    return said


def _text(value: bytes) -> str:
    """Readable text of whatever a file held: no control characters, no carriage returns, no byte order marks."""
    return "".join(filter(str.isprintable, value.decode("utf-8", "replace"))).strip()


def _slackware(said: Said) -> Found | None:
    match = _SLACKWARE.match(" ".join(said.get("slackware", ())).strip())
    return ("slackware", _version(match[1]), "slackware-version") if match else None


def _mint(said: Said) -> Found | None:
    """Before os-release, because Mint 17's says Ubuntu 14.04. A Mint whose own file tells no release has no version: unknown."""
    if info := said.get("mint"):
        return "mint", _version(_fields(info).get("RELEASE", "")), "linuxmint/info"
    found = _lsb(said)
    return found if found and found[0] == "mint" else None


def _os_release(said: Said) -> Found | None:
    fields = _fields(said.get("os", ()))
    return _found(fields.get("ID", ""), fields.get("VERSION_ID", ""), "os-release")


def _lsb(said: Said) -> Found | None:
    fields = _fields(said.get("lsb", ()))
    return _found(fields.get("DISTRIB_ID", ""), fields.get("DISTRIB_RELEASE", ""), "lsb-release")


def _debian(said: Said) -> Found | None:
    """Numbers only: Ubuntu has this file too, with the name of a Debian that was never released (jessie/sid)."""
    version = " ".join(said.get("debian", ())).strip()
    return ("debian", _version(version), "debian_version") if version[:1].isdigit() else None


def _issue(said: Said) -> Found | None:
    match = _ISSUE.match(" ".join(said.get("issue", ())).strip())
    return _found(match[1].replace(" ", ""), match[2], "issue") if match else None


# The first that recognises the system wins (W-61, W-62); what an old system says of itself counts more than what it inherited.
_READERS: tuple[Callable[[Said], Found | None], ...] = (_slackware, _mint, _os_release, _lsb, _debian, _issue)


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
