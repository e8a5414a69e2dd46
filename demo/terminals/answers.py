"""Answers that are remembered: for loads where running every script for real would measure busybox, not the product.

Called by `server` when answers are `memoised`, and where this machine cannot make boxes at all: then only answers recorded
elsewhere (`save`, `load`) can be given. An answer belongs to (kind of terminal, state of its tree, command, input). Words of 16
and more hexadecimal digits count as random: any other in their place asks the same question, and gets itself back in the output.
A state is named by the digest of the tree it stands for, so a terminal that was changed answers as a changed one, although its
tree exists once for all that are like it. What a remembered script does to anything but the tree does not happen: a
remembered shutdown leaves the terminal on.

Only sessions that send all their input before they expect an answer can be remembered: root logins, not sudo's dialogue.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

HOSTNAME = "some-terminal"  # the one that scripts are run with; the asking terminal's name is put in its place
FIRST_STATE = "new"
_MARKER = re.compile(rb"[0-9a-f]{16,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script said, how it ended (exit status), and the state it left the tree in."""

    stdout: bytes
    stderr: bytes
    status: int
    state: str


Run = Callable[[str, str, bytes], Awaitable[Answer]]  # (state, command, input) → answer
UNKNOWN = Answer(b"", b"this answer was never recorded, and nothing can be run on this machine\n", 125, "")


class Memory:
    """Answers by question. `run` is asked for those that are not known yet; None gives `UNKNOWN` for them."""

    def __init__(self) -> None:
        self._answers: dict[str, asyncio.Future[Answer]] = {}

    async def ask(self, kind: str, state: str, command: str, given: bytes, hostname: str, run: Run | None) -> Answer:
        """The answer of a terminal of this `kind`, in this `state`, named `hostname`."""
        asked = command.encode() + b"\0" + given
        markers = list(dict.fromkeys(_MARKER.findall(asked)))
        key = hashlib.blake2b(repr((kind, state, _without(markers, asked))).encode(), digest_size=16).hexdigest()
        if key not in self._answers:
            if run is None:
                return UNKNOWN
            # Those who ask meanwhile wait for the same answer.
            self._answers[key] = asyncio.ensure_future(_learn(run, state, command, given, markers))
        try:
            known = await asyncio.shield(self._answers[key])
        except Exception:
            self._answers.pop(key, None)
            raise
        return replace(
            known, stdout=_with(markers, known.stdout, hostname), stderr=_with(markers, known.stderr, hostname)
        )

    def save(self, path: Path) -> None:
        """Write all answers that are known, for `load` elsewhere."""
        known = {key: asdict(future.result()) for key, future in self._answers.items() if future.done()}
        path.write_text(
            json.dumps(known, indent=1, default=lambda raw: base64.b64encode(raw).decode()), encoding="utf-8"
        )

    def load(self, path: Path) -> None:
        """Know what `save` wrote; nothing when there is no such file."""
        if not path.exists():
            return
        for key, raw in json.loads(path.read_text(encoding="utf-8")).items():
            future = asyncio.get_running_loop().create_future()
            said = {name: base64.b64decode(raw[name]) for name in ("stdout", "stderr")}
            future.set_result(Answer(**said, status=raw["status"], state=raw["state"]))
            self._answers[key] = future


async def _learn(run: Run, state: str, command: str, given: bytes, markers: list[bytes]) -> Answer:
    said = await run(state, command, given)
    return replace(said, stdout=_without(markers, said.stdout), stderr=_without(markers, said.stderr))


def _stand_in(number: int) -> bytes:
    return b"\0marker %d\0" % number


def _without(markers: list[bytes], text: bytes) -> bytes:
    for number, marker in enumerate(markers):
        text = text.replace(marker, _stand_in(number))
    return text


def _with(markers: list[bytes], text: bytes, hostname: str) -> bytes:
    for number, marker in enumerate(markers):
        text = text.replace(_stand_in(number), marker)
    return text.replace(HOSTNAME.encode(), hostname.encode())
