"""One POSIX sh script for one round trip, and the reading of its answer. Pure: called by the engine (steps, variables) and by the
SSH adapter (framing).

Every section's output stands between frames, lines that begin with a random marker which nobody on the host can know beforehand.
Nothing runs before the shell has read the script to its last line, so one that arrives cut does nothing. What has no end frame
did not finish, whatever an exit code says.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from contracts.bounded import whole
from contracts.secret import MASK, Secret
from contracts.visible import quoted
from runtime.domain.action import Script, WriteFile
from runtime.domain.model import Reason
from runtime.domain.ports import Answer

STEP_PREFIX = "step:"
NOISE_KEPT = 4096
SECTION_KEPT = 4096
LINE = 3000
_SPARE_FRAMES = 16  # group and end, and a few for a host that repeats itself

# The group is read from /proc because under dropbear, sudo and su the shell does not lead its process group. The watchdog looks
# every second, so that it goes away soon after the script; it also ends what a section left behind without setsid.
_HEAD = """\
_frame() {{ printf '\\n%s %s\\n' {marker} "$*"; }}
main() {{
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
unset CDPATH ENV BASH_ENV
_group=$$
read -r _a _b _c _d _group _e </proc/$$/stat || :
_frame group "$_group"
(
_main=$$ _i=0
while [ $_i -lt {watchdog} ]; do sleep 1 || exit 0; kill -0 $_main 2>/dev/null || exit 0; _i=$((_i+1)); done
trap '' TERM HUP
kill -TERM 0
sleep 2
kill -KILL 0
) </dev/null >/dev/null 2>&1 &
_watchdog=$!
"""
_SECTION = """\
_frame begin {name}
(
set -eu
{text}
)
_code=$?
_frame ended $_code {name}
"""
_STOP = "if [ $_code -ne 0 ]; then kill $_watchdog; _frame end; return 0; fi\n"
_TAIL = """\
kill $_watchdog
_frame end
}
main </dev/null 2>&1
"""

_WRITE = """\
path={path}
folder={folder}
new="$folder"/{new}.$$
content() {{
{content}
}}
if [ -d "$path" ]; then echo "$path is a folder"; exit 1; fi
if [ ! -L "$path" ] && [ -n "$(find "$path" -prune -type f {same} 2>/dev/null)" ] && content | cmp -s - "$path"; then
echo unchanged
exit 0
fi
[ -d "$folder" ] || mkdir -p "$folder"
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -f "$new"
(umask 077; set -C; content >"$new")
[ "$(wc -c <"$new")" -eq {size} ] || {{ echo "wrote only $(wc -c <"$new") of {size} bytes"; exit 1; }}
{own}chmod {mode} "$new"
{backup}mv -f "$new" "$path"
echo written
"""
# Names sort as their dates, so the oldest copies come first.
_BACKUP = """\
if [ -e "$path" ]; then
copy=$path.bak-$(date +%Y%m%d%H%M%S)
[ -e "$copy" ] || cp -p "$path" "$copy" || {{ rm -f "$copy"; exit 1; }}
set -- "$path".bak-[0-9]*
while [ $# -gt {keep} ]; do rm -f "$1"; shift; done
fi
"""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
# A shell's exit codes and the kernel's process ids have no more digits.
_FRAME = re.compile(
    rb"(?:group (?P<group>[0-9]{1,10})|begin (?P<begin>.*)|ended (?P<code>[0-9]{1,3}) (?P<ended>.*)|(?P<end>end))",
    re.DOTALL,
)
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"%\\'-")  # a dash that comes first would be an option


def quote(text: str) -> str:
    """One shell word that stands for exactly ``text``. Raises ValueError for a NUL, which no shell variable can hold."""
    if "\0" in text:
        raise ValueError("a NUL cannot be handed to a shell")
    return shlex.quote(text)


def assignments(variables: Mapping[str, str | Secret], *, masked: bool = False) -> str:
    """Lines ``name='value'``, exact and quoted. ``masked`` is for showing: secrets appear as ``***``."""
    lines = []
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{quoted(name)} is not a shell variable name")
        text = (MASK if masked else value.reveal()) if isinstance(value, Secret) else value
        lines.append(f"{name}={quote(text)}\n")
    return "".join(lines)


def render_step(step: Script | WriteFile, *, masked: bool = False) -> str:
    """The text of a section that does the step."""
    if isinstance(step, WriteFile):
        return _render_write(step)
    return assignments(step.variables, masked=masked) + step.text


def render(sections: Sequence[tuple[str, str]], marker: str, watchdog: int) -> bytes:
    """The whole script. ``watchdog``: seconds after which it ends itself and its process group, with or without a connection."""
    names = [name for name, _ in sections]
    if len(set(names)) != len(names) or any("\n" in name for name in names):
        raise ValueError(f"section names must be unique lines: {names}")
    parts = [_HEAD.format(marker=marker, watchdog=watchdog)]
    for name, text in sections:
        parts.append(_SECTION.format(name=quote(name), text=text))
        if name.startswith(STEP_PREFIX):
            parts.append(_STOP)
    parts.append(_TAIL)
    return "".join(parts).encode("utf-8", "surrogateescape")


def _render_write(step: WriteFile) -> str:
    path = PurePosixPath(step.path)
    if not path.is_absolute() or path.name in ("", ".."):
        raise ValueError(f"{quoted(step.path)} is not the absolute path of a file")
    if not _OWNER.fullmatch(step.owner):
        raise ValueError(f"{quoted(step.owner)} is not an owner such as root or root:root")
    user, _, group = step.owner.partition(":")
    same = f"-perm {step.mode:o} -user {quote(user)}" + (f" -group {quote(group)}" if group else "")
    return _WRITE.format(
        path=quote(step.path),
        folder=quote(str(path.parent)),
        new=quote(f".{path.name}.new"),
        content="\n".join(_printf(step.content)) or ":",
        same=same,
        size=len(step.content),
        own=f'chown {quote(step.owner)} "$new"\n',
        mode=f"{step.mode:o}",
        backup=_BACKUP.format(keep=step.backup) if step.backup else "",
    )


def _printf(content: bytes) -> Iterator[str]:
    """Commands that print exactly ``content``, in lines short enough for a printf that is a program with an argument limit."""
    for start in range(0, len(content), LINE):
        chunk = content[start : start + LINE]
        yield "printf '" + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in chunk) + "'"


class Reader:
    """Takes the output as it comes and keeps what belongs to the sections that were asked for: ``limit`` bytes, and a little of
    each even beyond that.

    The host has read the marker when it answers, so frames may be forged: a section that nobody asked for, or that begins or
    ends again, is passed over, and more frames than ``names`` can have are a flood. What is kept is bounded by names and limit.
    """

    def __init__(self, marker: str, limit: int, names: Iterable[str]) -> None:
        self._start = f"\n{marker} ".encode("ascii")
        self._limit = limit
        self._names = {name.encode("utf-8", "surrogateescape"): name for name in names}
        self._frames_left = 2 * len(self._names) + _SPARE_FRAMES
        self._rest = b"\n"  # a first frame needs no line before it
        self._sections: dict[str, bytearray] = {}
        self._codes: dict[str, int] = {}
        self._noise = bytearray()
        self._current: bytearray | None = None
        self._kept = 0
        self.truncated = False
        self.complete = False
        self.flooded = False
        self.group: int | None = None

    def feed(self, chunk: bytes) -> None:
        data, at = self._rest + chunk, 0
        while not (self.complete or self.flooded):
            found = data.find(self._start, at)
            if found < 0:
                keep = max(at, len(data) - len(self._start))
                self._keep(data[at:keep])
                at = keep
                break
            self._keep(data[at:found])
            line_end = data.find(b"\n", found + 1, found + LINE)
            if line_end < 0 and len(data) < found + LINE:
                at = found
                break
            if line_end < 0:
                line_end = found  # no frame of ours is that long
            self._frame(data[found + len(self._start) : line_end])
            at = line_end + 1
        self._rest = b"" if self.flooded else data[at:]

    def aside(self, chunk: bytes) -> None:
        """What came beside the output: errors of the shell itself."""
        self._noise += chunk[: max(0, NOISE_KEPT - len(self._noise))]

    def answer(self, stopped: Reason | None = None) -> Answer:
        """What was read; to be called once, after the last byte. ``stopped`` as in Answer."""
        if not self.complete and not self._rest.startswith(self._start):
            self._keep(self._rest)
        sections = {name: bytes(output) for name, output in self._sections.items()}
        ended = None if self.complete else stopped
        return Answer(sections, dict(self._codes), self.complete, self.truncated, ended, bytes(self._noise).strip())

    def _frame(self, line: bytes) -> None:
        match = _FRAME.fullmatch(line)
        self._current = None
        self._frames_left -= 1
        if self._frames_left < 0:
            self.flooded = self.truncated = True
        elif match is None:
            return
        elif match["group"] is not None:
            self.group = whole(match["group"])
        elif match["begin"] is not None:
            name = self._names.get(match["begin"])
            if name is not None and name not in self._sections:
                self._current = self._sections[name] = bytearray()
        elif match["ended"] is not None:
            name, code = self._names.get(match["ended"]), whole(match["code"], 0, 255)
            if name in self._sections and name not in self._codes and code is not None:
                self._codes[name] = code
        else:
            self.complete = True

    def _keep(self, data: bytes) -> None:
        if self._current is None:
            self.aside(data)
            return
        room = max(self._limit - self._kept, SECTION_KEPT - len(self._current), 0)
        self.truncated |= len(data) > room
        self._current += data[:room]
        self._kept += min(len(data), room)


def parse(output: bytes, marker: str, names: Iterable[str]) -> Answer:
    """The answer in the whole of a script's output. ``names``: of the sections that were asked for."""
    reader = Reader(marker, len(output), names)
    reader.feed(output)
    return reader.answer()
