"""Trees, bases and boxes of the terminals of one run: made when first needed, gone at the end.

Called by `server`. A terminal's box is made at its first session and stays, as a machine stays on; a fleet's boxes go again when
they were idle for a while. `apart` runs a command on a tree of its own, for answers that are to be remembered.
"""

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.terminals import userland
from demo.terminals.answers import FIRST_STATE, HOSTNAME, Answer
from demo.terminals.box import Box, choose
from demo.terminals.isolation import Plan, Yard
from demo.terminals.profiles import Profile, System, Terminal
from demo.terminals.tree import copy, digest, erase, lay


@dataclass(slots=True)
class _Room:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    box: Box | None = None
    sessions: int = 0
    closing: asyncio.TimerHandle | None = None


class Rooms:
    """The rooms of a run, in `folder`. `ended(terminal id, exit status)` is told when a box ends by itself.

    `idle` (seconds) is how long a box stays after its last session; None: as long as the run.
    """

    def __init__(self, folder: Path, *, ended: Callable[[str, int], None], idle: float | None = None) -> None:
        self.method: str | None = None
        self.notes: list[str] = []
        self._folder = folder
        self._ended = ended
        self._idle = idle
        self._bases: dict[tuple[int, tuple[str, ...]], str] = {}
        self._rooms: dict[str, _Room] = {}
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, systems: Iterable[System], cache: Path, methods: Sequence[str]) -> None:
        """Build the bases and find out which of `methods` makes boxes here; `method` is None when none does."""
        erase(self._folder)
        for name in ("trees", "bases", "pipes", "states"):
            (self._folder / name).mkdir(parents=True)
            (self._folder / name).chmod(0o755)
        self._folder.chmod(0o755)  # the guest passes through
        for system in systems:
            self._build(system, cache)
        if self._bases:
            self.method, refusals = await choose(self._folder, next(iter(self._bases.values())), methods)
            self.notes += refusals

    async def close(self) -> None:
        """End all boxes and remove all trees."""
        for room in self._rooms.values():
            if room.closing:
                room.closing.cancel()
            if room.box:
                await room.box.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        erase(self._folder)

    @contextlib.asynccontextmanager
    async def entered(self, terminal: Terminal, password: str) -> AsyncIterator[Box]:
        """The terminal's box for the length of a session; made now if need be. Raises BoxError."""
        room = self._rooms.setdefault(terminal.id, _Room())
        room.sessions += 1
        if room.closing:
            room.closing.cancel()
            room.closing = None
        try:
            async with room.lock:
                if room.box is None or not room.box.alive:
                    room.box = await self._start(terminal, password)
            yield room.box
        finally:
            room.sessions -= 1
            if self._idle is not None and not room.sessions:
                loop = asyncio.get_running_loop()
                room.closing = loop.call_later(self._idle, lambda: self._spawn(self._leave(room)))

    async def apart(self, profile: Profile, password: str, state: str, command: str, given: bytes) -> Answer:
        """Run `command` as all terminals of this kind would that are in `state`."""
        kind = hashlib.blake2b(profile.model_dump_json().encode(), digest_size=6).hexdigest()
        name = f"apart-{next(self._numbers)}"
        tree, states = self._folder / "trees" / name, self._folder / "states" / kind
        if not states.exists():
            self._lay(states / FIRST_STATE, Terminal(name, "127.0.0.1", HOSTNAME, profile), password)
        copy(states / state, tree)
        box = self._box(name, Terminal(name, "127.0.0.1", HOSTNAME, profile))
        await box.start()
        try:
            pipe = asyncio.subprocess.PIPE
            session = await box.run(command, profile.uid, login_environment(profile), stdout=pipe, stderr=pipe)
            stdout, stderr = await session.process.communicate(given)
        finally:
            await box.stop()
        after = digest(tree)
        if after == digest(states / state):
            after = state
        if not (states / after).exists():
            copy(tree, states / after)
        erase(tree)
        return Answer(stdout, stderr, session.process.returncode or 0, after)

    def _build(self, system: System, cache: Path) -> None:
        key = (system.bits, system.tools)
        program = userland.busybox(system.bits, cache)
        if program is None and system.bits == 32:
            self.notes.append(
                f"{system.about}: no i386 busybox at hand, so its userland has 64 bits and only says i686"
            )
            program = userland.busybox(64, cache)
        if program is None:
            self.notes.append("no busybox at hand: install it, or run python -m demo.terminals.userland")
        elif key not in self._bases:
            self._bases[key] = "-".join((str(system.bits), *system.tools))
            userland.build(self._folder / "bases" / self._bases[key], program, system.tools)

    async def _start(self, terminal: Terminal, password: str) -> Box:
        tree = self._folder / "trees" / terminal.id
        if not tree.exists():
            self._lay(tree, terminal, password)
        box = self._box(terminal.id, terminal)
        await box.start()
        self._spawn(self._watch(terminal.id, box))
        return box

    def _box(self, name: str, terminal: Terminal) -> Box:
        if self.method is None:
            raise RuntimeError("boxes cannot be made here")
        yard = Yard(self._folder, self.method)
        yard.give(self._folder / "trees" / name)
        system = terminal.profile.system
        plan = Plan(
            f"trees/{name}", f"bases/{self._bases[system.bits, system.tools]}", f"pipes/{name}", terminal.hostname
        )
        return Box(yard, plan, system.bits)

    def _lay(self, tree: Path, terminal: Terminal, password: str) -> None:
        system = terminal.profile.system
        tree.mkdir(parents=True)
        lay(
            tree,
            terminal,
            password,
            self._folder / "bases" / self._bases[system.bits, system.tools] / userland.ZONES_IN_BASE,
        )

    async def _watch(self, name: str, box: Box) -> None:
        self._ended(name, await asyncio.shield(box.ended))

    async def _leave(self, room: _Room) -> None:
        async with room.lock:
            if room.box and not room.sessions:
                box, room.box = room.box, None
                await box.stop()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def login_environment(profile: Profile) -> dict[str, str]:
    """What a login finds in its environment."""
    path = "/usr/local/bin:/usr/bin:/bin"
    if profile.user == "root":
        path = f"/usr/local/sbin:/usr/sbin:/sbin:{path}"
    return {"PATH": path, "HOME": profile.home, "USER": profile.user, "LOGNAME": profile.user, "SHELL": "/bin/sh"}
