"""Simulated point-of-sale terminals for the demo, for benches and for tests: real scripts, honest answers, no root.

    with running(folder) as ready: ...                 the terminals of profiles.yaml, in a process of their own
    with fleet(1000, folder, memoised=True) as ready:  as many as a bench needs, all alike

For terminals inside a test's own event loop there is `demo.terminals.server.serve`. A script never reaches the machine's own
files: `demo.terminals.box` says how.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[2]


class NotStartedError(Exception):
    """The terminals' process ended before they were ready; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A running set: `pid` of its process, `document` as the command line prints it."""

    pid: int
    document: dict[str, Any]

    @property
    def terminals(self) -> list[dict[str, Any]]:
        """[{id, address, port, user, hostname, provider, role, behaviour, title}]"""
        listed: list[dict[str, Any]] = self.document["terminals"]
        return listed

    @property
    def credentials(self) -> dict[str, dict[str, str]]:
        """{terminal id (or 'fleet'): {user, password} or {user, key: path of a private key}}"""
        noted: dict[str, dict[str, str]] = json.loads(Path(self.document["credentials"]).read_bytes())
        return noted


@contextlib.contextmanager
def running(folder: Path, *options: str, python: Sequence[str] = (sys.executable,)) -> Iterator[Ready]:
    """Run `python -m demo.terminals --folder FOLDER OPTIONS` until the block ends. Raises NotStartedError."""
    argv = [*python, "-m", "demo.terminals", "--folder", str(folder), *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=_REPOSITORY) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            line = process.stdout.readline()
            if not line:
                raise NotStartedError(f"{' '.join(argv)} ended with {process.wait()}")
            yield Ready(process.pid, json.loads(line))
        finally:
            process.terminate()


def fleet(
    count: int, folder: Path, *, like: str = "unknown", memoised: bool = False, port: int = 0
) -> contextlib.AbstractContextManager[Ready]:
    """`count` terminals like the profile `like` until the block ends, with one password: `credentials["fleet"]`.

    They cost about a kilobyte each until they are asked. Answers are real (a box for each terminal, as long as it is used), or
    `memoised`: each script is run once and then answered from memory, which takes root logins (`like` 'unknown' is one).
    """
    options = ["--fleet", str(count), "--like", like, "--port", str(port), *(["--memoised"] if memoised else [])]
    return running(folder, *options)
