"""A box: the namespaces in which one simulated terminal's scripts run, with its own tree as `/` and no way out.

Called by `rooms`. A box has a first process that lives as long as the terminal is on; every session enters its namespaces
(nsenter), so sessions see each other's processes, as on a machine.

Users inside: the box maps one number, and each session makes a user namespace of its own in which it is root or the login user.
Its power then ends at its tree: mounts belong to the box, not to the session.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.terminals.isolation import GUEST, METHODS, Plan, Yard
from demo.terminals.tree import MOUNTED, erase

# A user inside who tries what only root may, and becomes root; asked of every method before it is used.
_WORKS = "[ $(id -u) = 1000 ] && ! mkdir /x && busybox unshare -r mkdir /x"


class BoxError(Exception):
    """A box could not be made; the message says what the machine answered."""


@dataclass(slots=True)
class Box:
    """One terminal's namespaces, once `start`ed. `ended` gives the exit status of its first process."""

    yard: Yard
    plan: Plan
    bits: int = 64
    ended: "asyncio.Task[int]" = field(init=False)
    _first: int = field(init=False)

    async def start(self) -> None:
        """Make the box and wait for its first process. Raises BoxError."""
        pipe = self.yard.folder / self.plan.pipe
        pipe.parent.mkdir(exist_ok=True)
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, 0o600)
        self.yard.give(pipe)
        maker = await asyncio.create_subprocess_exec(
            *self.yard.command(self.plan),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_plain(),
        )
        assert maker.stdout is not None and maker.stderr is not None  # noqa: S101, PT018 -- both are pipes
        if await maker.stdout.readline() != b"ready\n":
            said = (await maker.stderr.read()).decode(errors="replace").strip()
            raise BoxError(said or f"{self.yard.method} ended with {await maker.wait()}")
        self._first = _child_of(maker.pid)
        self.ended = asyncio.create_task(maker.wait())

    @property
    def alive(self) -> bool:
        """Whether the first process still runs."""
        return not self.ended.done()

    async def run(self, command: str, uid: int, env: Mapping[str, str], *, stdout: int, stderr: int) -> "Session":
        """Run `command` with `/bin/sh -c` as the user with this number, in a session and process group of its own."""
        spaces = ["--user", "--preserve-credentials", "--mount", "--pid", "--net", "--ipc", "--uts", "--wd"]
        user = [
            "/usr/lib/terminal/unshare",
            "--user",
            f"--map-user={uid}",
            f"--map-group={uid}",
            "/bin/busybox",
            "setsid",
        ]
        shell = ["/bin/sh", "-c", 'cd "$HOME" 2>/dev/null; exec /bin/sh -c "$0"', command]
        argv = ["nsenter", f"--target={self._first}", *spaces, *user, *shell]
        guest = GUEST if os.geteuid() == 0 else None
        process = await asyncio.create_subprocess_exec(
            *(["setarch", "i686", *argv] if self.bits == 32 else argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env={**_plain(), **env},
            start_new_session=True,
            user=guest,
            group=guest,
            extra_groups=None if guest is None else [],
        )
        return Session(process)

    async def stop(self) -> None:
        """End everything in the box; the tree stays as it is."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._first, signal.SIGKILL)  # the first of its namespace takes all others with it
        await self.ended


@dataclass(frozen=True, slots=True)
class Session:
    """A command at work in a box."""

    process: asyncio.subprocess.Process

    def signal(self, name: str) -> None:
        """Send the signal `name` (without SIG) to the command's process group, as an SSH server does when asked to."""
        with contextlib.suppress(
            ProcessLookupError, FileNotFoundError, KeyError, IndexError
        ):  # it has ended, or no such signal
            os.killpg(_child_of(self.process.pid), signal.Signals[f"SIG{name}"])


async def choose(folder: Path, base: str, methods: Sequence[str]) -> tuple[str | None, list[str]]:
    """The first of `methods` that makes a working box of `base` in the yard `folder`, or None; and why not those before it."""
    refusals: list[str] = []
    for method in methods:
        missing = [name for name in (METHODS[method], "nsenter", "setpriv") if not shutil.which(name)]
        refusal = f"{', '.join(missing)} not found" if missing else await _try(Yard(folder, method), base)
        if not refusal:
            return method, refusals
        refusals.append(f"{method}: {refusal}")
    return None, refusals


async def _try(yard: Yard, base: str) -> str:
    """Why a box of this kind does not work here; empty when it does."""
    tree = _bare_tree(yard)
    box = Box(yard, Plan(f"trees/{tree.name}", f"bases/{base}", f"pipes/{tree.name}", "probe"))
    try:
        await box.start()
        try:
            quiet = asyncio.subprocess.DEVNULL
            session = await box.run(_WORKS, 1000, {}, stdout=quiet, stderr=quiet)
            return "" if await session.process.wait() == 0 else "a user inside cannot become root"
        finally:
            await box.stop()
    except (BoxError, OSError) as error:
        return str(error).splitlines()[-1]
    finally:
        erase(tree)


def _bare_tree(yard: Yard) -> Path:
    tree = Path(tempfile.mkdtemp(prefix="probe-", dir=yard.folder / "trees"))
    for name in (*MOUNTED, "dev", "proc"):
        (tree / name).mkdir(parents=True)
    tree.chmod(0o555)
    yard.give(tree)
    return tree


def _child_of(pid: int) -> int:
    """The one child of `pid`."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _plain() -> dict[str, str]:
    """The little of our environment that may be seen inside."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
