"""Everything that the engine meets, in memory: terminals that are dictionaries, a clock set by hand, a ledger that is a list.

The real parts (sshd, SQLite, Zabbix) are in tests/integration; here are the cases that they cannot produce on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from contracts.config import NetworkConfig
from runtime.domain.action import Action, Decision, Done, Params, Script, Stage
from runtime.domain.catalogue import Catalogue, build
from runtime.domain.departure import Departure, Sign
from runtime.domain.errors import HostError, RunError
from runtime.domain.facts import Facts, Privilege
from runtime.domain.identity import Claim, Finding, IdentityRecord, entry_index
from runtime.domain.model import Host, HostResult, Reason, RunInfo, Selector
from runtime.domain.pipeline import Request, RunPlan, resolve
from runtime.domain.ports import Answer
from runtime.domain.providers import Provider
from runtime.domain.time import clocks
from runtime.domain.witnesses import Witness
from runtime.engine import gates
from runtime.engine.run_context import RunContext
from runtime.engine.stop import Stop
from runtime.engine.terminal import Terminals

ZONE = ZoneInfo("America/Sao_Paulo")
STAYS = Departure("there", 0.0, Sign.REFUSED)
NOON = dt.datetime(2026, 3, 10, 12, 0, tzinfo=ZONE)

FACTS = (
    b"facts=begin\nclass=\2\ninit=systemd\nmachine=x86_64\nkernel=5.15\nhostname=till\nwho=uid=0(root\nepoch=1773154800\n"
    b"files=begin\n==> /etc/os-release <==\nID=ubuntu\nVERSION_ID=22.04\n\nfacts=end\n"
)


class HandClock:
    """Both clocks stand still until moved."""

    def __init__(self, wall: dt.datetime = NOON) -> None:
        self.wall, self.ticks = wall.astimezone(dt.UTC), 5_000.0  # a monotonic clock says nothing but differences

    def now(self) -> dt.datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.wall += dt.timedelta(seconds=seconds)
        self.ticks += seconds

    def jump(self, seconds: float) -> None:
        self.wall += dt.timedelta(seconds=seconds)


@dataclass
class Terminal:
    """``value`` is its whole state; a step sets it. Hooks make it misbehave."""

    value: str = "old"
    facts: bytes = FACTS
    busy: bytes = b""
    observe_code: int = 0
    observe_output: bytes | None = None
    step_code: int = 0
    lose_on: str = ""
    wants_ignored: bool = False
    departure: Departure = STAYS
    scripts: list[str] = field(default_factory=list)
    on_step: Callable[[], None] | None = None
    on_look: Callable[[], None] | None = None
    refuse: HostError | None = None
    refusals: int = 1000  # as many connections are refused
    hang: bool = False
    hang_on_step: bool = False
    hang_on_confirm: bool = False
    slow: float = 0.0
    learned_key: str = ""

    @property
    def written(self) -> int:
        return sum("step:" in name for name in self.scripts)


class MemorySession:
    elevated = True
    elevation: Privilege = "root"

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.learned_key = terminal.learned_key

    async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
        terminal = self.terminal
        outputs: dict[str, bytes] = {}
        codes: dict[str, int] = {}
        if terminal.hang or (terminal.hang_on_step and sections[0][0].startswith("step:")):
            await asyncio.sleep(3600)
        await asyncio.sleep(terminal.slow)
        for name, text in sections:
            terminal.scripts.append(f"{name}\n{text}")
            kind = name.split(":")[0]
            if terminal.lose_on == kind:
                return Answer(outputs, codes, complete=False, stopped=Reason.CONNECTION_LOST)
            if kind == "facts":
                outputs[name], codes[name] = terminal.facts, 0
            elif kind == "busy":
                outputs[name], codes[name] = terminal.busy, 0
            elif kind == "observe":
                if terminal.on_look is not None:
                    terminal.on_look()
                told = (
                    f"value={terminal.value}\n".encode() if terminal.observe_output is None else terminal.observe_output
                )
                outputs[name], codes[name] = told, terminal.observe_code
            else:
                if terminal.on_step is not None:
                    terminal.on_step()
                codes[name] = terminal.step_code
                outputs[name] = b"step says no\n" if terminal.step_code else b""
                if terminal.step_code:
                    break
                if not terminal.wants_ignored:
                    terminal.value = "newest" if terminal.value == "new" else "new"
        return Answer(outputs, codes, complete=True)


class MemoryRemote:
    def __init__(self, terminals: Mapping[str, Terminal], session: type[MemorySession] = MemorySession) -> None:
        self.terminals, self.session = terminals, session
        self.connected: list[str] = []
        self.on_refusal: Callable[[], None] = lambda: None

    @contextlib.asynccontextmanager
    async def connect(self, host: Host, *, deadline: float) -> AsyncIterator[MemorySession]:
        terminal = self.terminals[host.name]
        self.connected.append(host.name)
        if terminal.refuse is not None and self.connected.count(host.name) <= terminal.refusals:
            self.on_refusal()
            raise type(terminal.refuse)(*vars(terminal.refuse).values())
        yield self.session(terminal)


class MemoryWatch:
    """Every witness answers; a host goes as its terminal says."""

    def __init__(self, terminals: Mapping[str, Terminal]) -> None:
        self.terminals = terminals

    async def answering(self, witnesses: Sequence[Witness]) -> Sequence[Witness]:
        return witnesses

    async def departure(
        self, host: Host, witnesses: Sequence[Witness], settle: float, *, own_address: bool = True
    ) -> Departure:
        terminal = self.terminals[host.name]
        if terminal.hang_on_confirm:
            await asyncio.sleep(3600)
        return terminal.departure


class MemoryLocks:
    def __init__(self, holders: Mapping[str, str] | None = None) -> None:
        self.holders = dict(holders or {})
        self.taken: list[str] = []
        self.names: list[str] = []

    @contextlib.asynccontextmanager
    async def try_lock(self, host: Host, owner: str, name: str = "") -> AsyncIterator[str | None]:
        self.taken.append(host.name)
        self.names.append(name)
        yield self.holders.get(host.name)


class MemoryIdentities:
    """``record`` is what the state would know of each host; what was found is kept in ``found``."""

    def __init__(self) -> None:
        self.known: dict[str, IdentityRecord] = {}
        self.found: dict[str, Finding] = {}

    async def record(self, host: Host, claim: Claim, **asked: Any) -> IdentityRecord:
        return self.known.get(host.name, IdentityRecord())

    async def remember(
        self, host: Host, claim: Claim, finding: Finding, record: IdentityRecord, *, at_once: bool
    ) -> None:
        self.found[host.name] = finding


class MemoryLedger:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.intents: list[tuple[str, str]] = []
        self.results: list[HostResult] = []
        self.finished: list[int] = []
        self.refused: list[str] = []
        self.refuses: set[str] = set()

    async def begin(self, info: RunInfo, hosts: Sequence[Host]) -> None:
        self.begun.append(info.run_id)

    async def at_work(self, run_id: str, host: Host, stage: str) -> None:
        if stage in self.refuses:
            raise RunError("state_full", "the disk is full", "free some")
        self.intents.append((host.name, stage))

    async def record(self, run_id: str, result: HostResult) -> None:
        self.results.append(result)

    async def finish(self, run_id: str, exit_code: int) -> None:
        self.finished.append(exit_code)

    async def refuse(self, info: RunInfo, error: RunError) -> None:
        self.refused.append(error.reason)


class Settings(Params):
    wanted: str = "new"


def decide(facts: Facts, params: BaseModel, host: Host) -> Decision:
    wanted = getattr(params, "wanted", "new")
    if facts.observed.get("value") == wanted:
        return Done(report={"value": wanted}, message=f"value is {wanted}")
    return Stage("set", (Script("set value", "set-it\n"),), settle=0.0, summary=(f"value -> {wanted}",))


def look(facts: Facts, params: BaseModel, host: Host) -> Decision:
    return Done(report={"value": facts.observed.get("value")})


def power_off(facts: Facts, params: BaseModel, host: Host) -> Decision:
    return Stage("power off", (Script("off", "off\n"),), confirm="gone", settle=1.0)


def climb(facts: Facts, params: BaseModel, host: Host) -> Decision:
    """Two stages: old, new, newest."""
    value = facts.observed.get("value")
    if value == "newest":
        return Done(message="on top")
    return Stage("first" if value == "old" else "second", (Script("climb", "climb\n"),), settle=0.0)


LOOK = Action("look_at_value", ("old_look",), "1.0.0", "Look.", "read", observe="look", decide=look)
SET = Action("set_value", ("old_set",), "1.0.0", "Set.", "change", params=Settings, observe="look", decide=decide)
OFF = Action(
    "power_off",
    (),
    "1.0.0",
    "Off.",
    "disrupt",
    observe="look",
    decide=power_off,
    stages=1,
    confirms=("gone",),
)
CLIMB = Action("climb_up", (), "1.0.0", "Climb.", "change", observe="look", decide=climb)
LATER = Action("later", (), "0.0.0", "Not yet.", "change")


def knowledge(*actions: Action) -> Catalogue:
    providers = {
        "arius": Provider(id="arius", display_name="Arius", default_rollout=100),
        "zanthus": Provider(id="zanthus", display_name="Zanthus", actions={"term_set": "set_value"}),
    }
    chosen = actions or (LOOK, SET, OFF, CLIMB, LATER)
    return Catalogue(build(chosen), providers, {action.name: "L2" for action in chosen})


def config(**parts: Any) -> NetworkConfig:
    return NetworkConfig.model_validate({"network": "ACME", "inventory": {"kind": "static"}, **parts})


def job(
    request: Request, document: NetworkConfig, *, now: dt.datetime = NOON, known: Catalogue | None = None
) -> RunPlan:
    return resolve(request, document, known or knowledge(), agent_id="agent-1", now=now)


def host(number: int = 201, **fields: Any) -> Host:
    values: dict[str, Any] = {
        "id": str(number),
        "name": f"ACME-LOJA001-PDV{number}",
        "network": "ACME",
        "address": "10.0.0.1",
        "store": 1,
        "terminal": number,
        "role": "checkout",
        **fields,
    }
    return Host(**values)


@dataclass
class World:
    """One run's surroundings, ready to be changed by a test before :func:`context`."""

    terminals: dict[str, Terminal]
    document: NetworkConfig = field(default_factory=config)
    clock: HandClock = field(default_factory=HandClock)
    stop: Stop = field(default_factory=Stop)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    locks: MemoryLocks = field(default_factory=MemoryLocks)
    identities: MemoryIdentities = field(default_factory=MemoryIdentities)
    entries: tuple[Host, ...] = ()
    busy: dict[str, str] = field(default_factory=dict)
    host_deadline: float = 30.0
    known: Catalogue = field(default_factory=knowledge)
    session: type[MemorySession] = MemorySession

    def __post_init__(self) -> None:
        self.remote = MemoryRemote(self.terminals, self.session)

    def context(self, action: str = "set_value", **request: Any) -> RunContext:
        request.setdefault("selector", Selector(all=True))
        made = job(Request(action, **request), self.document, now=self.clock.now(), known=self.known)
        terminals = Terminals(self.remote, MemoryWatch(self.terminals), self.busy, command_timeout=5.0)
        return RunContext(
            plan=made,
            policy=gates.policy(self.document, self.known.providers, ()),
            locks=self.locks,
            ledger=self.ledger,
            clock=self.clock,
            stop=self.stop,
            anchor=clocks.Anchor.take(self.clock),
            drivers={"terminal": terminals},
            host_deadline=self.host_deadline,
            connect_attempts=self.document.ssh.connect_attempts,
            identities=self.identities,
            entries=entry_index(self.entries),
        )
